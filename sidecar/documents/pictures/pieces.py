"""Long pages as pieces that Tesseract can take: screenshots and receipts, cut between their lines. Pure."""

from collections.abc import Iterator

from PIL import Image

from sidecar.documents.pages import PageImage
from sidecar.documents.raster import MAX_SIDE_PIXELS, pillow

LONG = 4.0
"""A page this many times as high as wide is cut: its layout changes from screen to screen."""
CUT_SHARE = 0.25
"""Share of a piece, at its end, in which the best place for the cut is looked for."""


def pieces(page: PageImage) -> Iterator[PageImage]:
    """Cut a long page into pieces, each at most :data:`LONG` times as high as wide; any other is one piece."""
    most = min(MAX_SIDE_PIXELS, round(LONG * page.width))
    if page.height <= most:
        yield page
        return
    image, top = pillow(page), 0
    while top < page.height:
        bottom = (
            page.height if page.height - top <= most else _cut(image, top + round(most * (1 - CUT_SHARE)), top + most)
        )
        pixels = page.pixels[top * page.width : bottom * page.width]
        yield PageImage(page.width, bottom - top, page.dpi, pixels, page.placement.below(top))
        top = bottom


def _cut(image: Image.Image, first: int, last: int) -> int:
    """Return the middle of the longest run of rows that are all of one colour, else the most even row."""
    contrasts = _contrasts(image.crop((0, first, image.width, last)))
    least = min(contrasts)
    best, start = (0, 0), None
    for row, contrast in enumerate([*contrasts, least + 1]):
        if contrast == least:
            start = row if start is None else start
        elif start is not None:
            best = max(best, (row - start, start))
            start = None
    length, start_of_best = best
    return first + start_of_best + length // 2


def _contrasts(image: Image.Image) -> list[int]:
    """Return for each row how far its lightest and darkest pixels are apart, in steps that noise does not reach."""
    step = 32
    return [(high - low) // step for low, high in (_row(image, row) for row in range(image.height))]


def _row(image: Image.Image, row: int) -> tuple[int, int]:
    low, high = image.crop((0, row, image.width, row + 1)).getextrema()
    return int(low), int(high)  # type: ignore[arg-type]
