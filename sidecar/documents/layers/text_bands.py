"""Whether ink looks like lines of text: bands of many short strokes with gaps between them. Pure.

Photographs, charts and rules have long strokes, few strokes, or no gaps.
"""

INK = b"\xff"
STRIP_PIXELS = 140
"""Width of the strips that are searched for bands, 36 mm at 100 dpi: anything may stand beside text."""
MIN_BAND_PIXELS, MAX_BAND_PIXELS = 5, 40
"""Height of a line's letters at 100 dpi: 6 to 40 points."""
MIN_STROKES = 5
MIN_STROKES_TIMES_HEIGHT = STRIP_PIXELS
"""Fewest strokes in the fullest row of a band within a strip: smaller letters give more, as each is about as wide as
high. Half a strip of text has this many; curves and rules do not."""
MAX_STROKE_PIXELS = 7
"""Mean length of the strokes in a band's fullest row; letters have 1 to 4 pixels, and some are horizontal."""
UNEVEN_SHARE, MIN_UNEVEN_ROWS = 0.8, 2
"""At least 2 rows of a line have under 0.8 of its fullest row's strokes: bars and grids have the same number
everywhere."""
GAP_SHARE = 0.2
"""A row with less than this share of its band's strokes separates lines."""


def count_bands(mask: bytes, width: int) -> int:
    """Count pieces of text lines: bands within strips. ``mask`` has one byte per pixel at 100 dpi, 255 for ink."""
    height = len(mask) // width if width else 0
    return sum(_bands_of_strip(mask, width, height, left) for left in range(0, width, STRIP_PIXELS))


def _bands_of_strip(mask: bytes, width: int, height: int, left: int) -> int:
    right = min(left + STRIP_PIXELS, width)
    rows = [mask[row * width + left : row * width + right] for row in range(height)]
    strokes = [row.count(b"\0" + INK) for row in rows]
    bands, start, most = 0, 0, 0
    for at, crossed in enumerate([*strokes, 0]):
        if most and crossed <= GAP_SHARE * most:
            bands += _is_line(rows[start:at], strokes[start:at])
            most = 0
        elif crossed:
            start, most = start if most else at, max(most, crossed)
    return bands


def _is_line(rows: list[bytes], strokes: list[int]) -> bool:
    most = max(strokes)
    height = len(rows)
    if not MIN_BAND_PIXELS <= height <= MAX_BAND_PIXELS or most < max(MIN_STROKES, MIN_STROKES_TIMES_HEIGHT / height):
        return False
    if sum(crossed <= UNEVEN_SHARE * most for crossed in strokes) < MIN_UNEVEN_ROWS:
        return False
    inked = rows[strokes.index(most)].count(INK)
    return inked <= MAX_STROKE_PIXELS * most
