"""Puts lines that were found in a picture into reading order: columns first, then rows, then from left to right. Pure.

A detector of lines knows nothing of columns. What tells columns of running text from columns of a table is the width of
their lines: a table's cells are short, and its rows are read across.
"""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

FLOWING = 7.0
"""Least median width, in line heights, of a column of running text."""
COLUMN_LINES = 3
"""Fewest lines of a column of running text."""
CROSSING_SHARE = 0.2
"""Most lines, headings for example, that run across the space between two columns, of all."""
SAME_ROW = 0.5
"""Two lines are in one row if their middles are nearer to each other than this share of the lower one's height."""
PARAGRAPH_GAP = 0.9
"""A gap of at least so many line heights between two rows is an empty line."""
MOST_DEPTH = 6
"""Columns within columns, at most."""
TALL = 1.5
"""A box that is so much higher than wide holds a line that runs down or up the page."""

Point = tuple[float, float]
Corners = tuple[Point, Point, Point, Point]
"""Of a line's box in a picture, in pixels, from the text's top left corner clockwise."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text, how sure its reader is (0 to 1), and its box's edges, in pixels from the top left corner.

    ``corners`` are those of its box before the page's slope was taken out.
    """

    text: str
    score: float
    left: float
    top: float
    right: float
    bottom: float
    corners: Corners = ((0, 0), (0, 0), (0, 0), (0, 0))

    @property
    def height(self) -> float:
        """Pixels from top to bottom."""
        return self.bottom - self.top

    @property
    def width(self) -> float:
        """Pixels from left to right."""
        return self.right - self.left

    @property
    def middle(self) -> float:
        """The height of its middle."""
        return (self.top + self.bottom) / 2


@dataclass(frozen=True, slots=True)
class FoundLine:
    """A line as it was found: its text, how sure its reader is (0 to 1), and its box's corners."""

    text: str
    score: float
    corners: Corners


def degrees_to_upright(found: Sequence[FoundLine], upside_down_share: float) -> int:
    """Return by how many degrees clockwise the page must be turned: 0, 90, 180 or 270.

    ``upside_down_share``: of the lines, how many were upside down, after those that run down or up the page had been
    turned by 90 degrees against the clock.
    """
    tall = sum(is_tall(line.corners) for line in found) > len(found) / 2
    is_upside_down = upside_down_share > 0.5
    if tall:
        return 90 if is_upside_down else 270
    return 180 if is_upside_down else 0


def is_tall(corners: Corners) -> bool:
    """Return whether a box holds a line that runs down or up the page."""
    xs, ys = zip(*corners, strict=True)
    return max(ys) - min(ys) >= TALL * (max(xs) - min(xs))


def confidence(found: Sequence[FoundLine]) -> int:
    """Return the mean score of the characters, 0 to 100."""
    characters = sum(len(line.text) for line in found)
    return round(100 * sum(line.score * len(line.text) for line in found) / characters) if characters else 0


def arrange(found: Sequence[FoundLine], degrees: int = 0) -> str:
    """Return the page's text. ``degrees``: by how much the picture must be turned clockwise to be upright."""
    return text_of(rows_of(found, degrees))


def rows_of(found: Sequence[FoundLine], degrees: int = 0) -> list[list[list[Line]]]:
    """Return the page's blocks in reading order, each with its rows of lines from left to right."""
    lines = [_upright(line, degrees) for line in found]
    return [[sorted(row, key=lambda line: line.left) for row in _rows(block)] for block in _blocks(_levelled(lines), 0)]


def text_of(blocks: Sequence[Sequence[Sequence[Line]]]) -> str:
    """Return the text of blocks."""
    return "\n\n".join(_in_rows(block) for block in blocks)


def _upright(line: FoundLine, degrees: int) -> FoundLine:
    """Turn the corners about the origin, so that the line is upright."""
    if degrees == 0 and not is_tall(line.corners):
        return line
    one, two, three, four = (turned(corner, degrees) for corner in line.corners)
    if degrees == 180 and not is_tall(line.corners):
        return replace(line, corners=(three, four, one, two))
    xs, ys = zip(one, two, three, four, strict=True)  # which corner was found first says nothing here, nor does a slope
    left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
    return replace(line, corners=((left, top), (right, top), (right, bottom), (left, bottom)))


def turned(point: Point, degrees: int) -> Point:
    """Turn a spot clockwise about the origin by 0, 90, 180 or 270 degrees."""
    x, y = point
    return {0: (x, y), 90: (-y, x), 180: (-x, -y), 270: (y, -x)}[degrees]


def _levelled(found: Sequence[FoundLine]) -> list[Line]:
    """Turn all lines about the origin by the page's slope, so that rows are level."""
    slopes = [_slope(line) for line in found if _length(line) > 4 * _thickness(line)]
    slope = statistics.median(slopes) if slopes else 0.0
    cosine, sine = math.cos(slope), math.sin(slope)
    return [_level(line, cosine, sine) for line in found]


def _level(line: FoundLine, cosine: float, sine: float) -> Line:
    corners = [(x * cosine + y * sine, y * cosine - x * sine) for x, y in line.corners]
    top_left, top_right, bottom_right, bottom_left = corners
    return Line(
        line.text,
        line.score,
        left=min(top_left[0], bottom_left[0]),
        top=(top_left[1] + top_right[1]) / 2,
        right=max(top_right[0], bottom_right[0]),
        bottom=(bottom_left[1] + bottom_right[1]) / 2,
        corners=line.corners,
    )


def _slope(line: FoundLine) -> float:
    (left, top), (right, end), *_ = line.corners
    return math.atan2(end - top, right - left)


def _length(line: FoundLine) -> float:
    return math.dist(line.corners[0], line.corners[1])


def _thickness(line: FoundLine) -> float:
    return math.dist(line.corners[0], line.corners[3])


def _blocks(lines: Sequence[Line], depth: int) -> Iterator[list[Line]]:
    """Yield the blocks of a page in reading order: what is not cut by the space between two columns of running text."""
    gutter = _gutter(lines) if depth < MOST_DEPTH else None
    if gutter is None:
        if lines:
            yield list(lines)
        return
    for band, is_crossing in _bands(lines, gutter):
        if is_crossing:
            yield from _blocks(band, MOST_DEPTH)
        else:
            yield from _blocks([line for line in band if line.right <= gutter], depth + 1)
            yield from _blocks([line for line in band if line.left >= gutter], depth + 1)
            yield from _blocks([line for line in band if _crosses(line, gutter)], MOST_DEPTH)


def _gutter(lines: Sequence[Line]) -> float | None:
    """Find the column of pixels that parts two columns of running text and that the fewest lines cross."""
    best, fewest = None, CROSSING_SHARE * len(lines)
    for place in sorted({line.left for line in lines}):
        left = [line for line in lines if line.right <= place]
        right = [line for line in lines if line.left >= place]
        crossing = len(lines) - len(left) - len(right)
        if crossing < fewest and _flows(left) and _flows(right):
            best, fewest = place, crossing
    return best


def _flows(lines: Sequence[Line]) -> bool:
    """Return whether these can be a column of running text: enough lines, most of them long."""
    if len(lines) < COLUMN_LINES:
        return False
    return statistics.median(line.width / max(1.0, line.height) for line in lines) >= FLOWING


def _bands(lines: Sequence[Line], gutter: float) -> Iterator[tuple[list[Line], bool]]:
    """Part the page at the lines that run across it, from top to bottom; tell of each band whether it is of those.

    A line that crosses the gutter with other lines beside it is a caption between the columns, and parts nothing.
    """
    beside = [line for line in lines if not _crosses(line, gutter)]
    band: list[Line] = []
    is_crossing = False
    for line in sorted(lines, key=lambda line: line.middle):
        parts = _crosses(line, gutter) and not any(_overlap_down(line, one) > 0 for one in beside)
        if parts != is_crossing and band:
            yield band, is_crossing
            band = []
        is_crossing = parts
        band.append(line)
    if band:
        yield band, is_crossing


def _crosses(line: Line, gutter: float) -> bool:
    return line.left < gutter < line.right


def _overlap_down(one: Line, other: Line) -> float:
    return min(one.bottom, other.bottom) - max(one.top, other.top) - 0.3 * min(one.height, other.height)


def _in_rows(rows: Sequence[Sequence[Line]]) -> str:
    usual = statistics.median(line.height for row in rows for line in row)
    text = ""
    bottom = 0.0
    for row in rows:
        top = statistics.mean(line.top for line in row)
        if text:
            text += "\n\n" if top - bottom > PARAGRAPH_GAP * usual else "\n"
        text += " ".join(line.text.strip() for line in row)
        bottom = statistics.mean(line.bottom for line in row)
    return text


def _rows(lines: Sequence[Line]) -> list[list[Line]]:
    """Group lines that stand side by side; the last one of a row decides whether the next belongs to it."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: line.middle):
        row = rows[-1] if rows else []
        if row and _stands_beside(line, row):
            row.append(line)
        else:
            rows.append([line])
    return rows


def _stands_beside(line: Line, row: Sequence[Line]) -> bool:
    near = abs(line.middle - row[-1].middle) < SAME_ROW * min(line.height, row[-1].height)
    return near and not any(min(line.right, one.right) - max(line.left, one.left) > 0.5 * line.height for one in row)
