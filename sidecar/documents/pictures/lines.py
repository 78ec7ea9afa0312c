"""How high the lines of text on a picture are, where they are clearly separate. Pure."""

import statistics
from array import array
from collections.abc import Iterator

from PIL import Image

WANTED_HEIGHT = 50.0
"""Pixels from the top to the bottom of a line: 12-point text at 300 dpi, which Tesseract's models were trained on."""
COLUMNS = 64
"""Columns that rows are averaged in before their shades become fractions, which need four times the memory."""
LEAST_HEIGHT = 6
LEAST_LINES = 3
LEAST_CONTRAST = 0.4
"""By how much, of 255, a row must be darker than paper, on average, to hold ink: three letters on a wide page."""
LIKE_SHARE, LIKE_HEIGHTS = 0.6, (0.6, 1.6)
"""At least this share of the lines must be about as high as the middle one, else they are no lines of text."""


def line_height(image: Image.Image) -> float | None:
    """Return the middle height of a grey picture's lines in pixels; None where they cannot be told apart."""
    columns = image.resize((min(COLUMNS, image.width), image.height), Image.Resampling.BOX).convert("F")
    rows = array("f", columns.resize((1, image.height), Image.Resampling.BOX).tobytes())
    heights = [height for height in _runs(rows, max(rows) - LEAST_CONTRAST) if height >= LEAST_HEIGHT]
    if len(heights) < LEAST_LINES:
        return None
    middle = statistics.median(heights)
    like = sum(LIKE_HEIGHTS[0] * middle <= height <= LIKE_HEIGHTS[1] * middle for height in heights)
    return middle if like >= LIKE_SHARE * len(heights) else None


def _runs(rows: "array[float]", paper: float) -> Iterator[int]:
    """Yield the lengths of runs of rows with ink."""
    length = 0
    for row in [*rows, paper]:
        if row < paper:
            length += 1
        elif length:
            yield length
            length = 0
