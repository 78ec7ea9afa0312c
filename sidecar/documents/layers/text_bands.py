"""Whether ink looks like lines of text: bands of many short strokes with gaps between them. Pure.

Photographs, charts and rules have long runs, few of them, or no gaps.
"""

INK = b"\xff"
STRIP_PIXELS = 140
"""Width of the strips in which bands are looked for, 36 mm at 100 dpi: beside text there may be anything."""
MIN_BAND_PIXELS, MAX_BAND_PIXELS = 5, 40
"""Height of a line's letters at 100 dpi: 6 to 40 points."""
MIN_STROKES = 5
MIN_STROKES_TIMES_HEIGHT = STRIP_PIXELS
"""Strokes that the fullest row of a band crosses within a strip: the smaller the letters, the more of them, as each is
about as wide as high. Half a strip of text has as many; curves and rules do not."""
MAX_STROKE_PIXELS = 7
"""Mean length of what a band's fullest row crosses; letters' strokes have 1 to 4 pixels, and some are horizontal."""
UNEVEN_SHARE, MIN_UNEVEN_ROWS = 0.8, 2
"""Rows of a line that cross so many fewer strokes than its fullest: bars and grids cross the same number all along."""
GAP_SHARE = 0.2
"""A row with less than this share of its band's strokes lies between lines."""


def count_bands(mask: bytes, width: int) -> int:
    """Count pieces of lines of text: bands within strips. ``mask`` has a byte a pixel at 100 dpi, 255 where ink is."""
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
