"""Tables from the alignment of their words: rows, columns between gutters, cells that span several. Pure."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median

from sidecar.evidence.layout import Box
from sidecar.evidence.page import Cell
from sidecar.evidence.structure.gutters import WORD_GAP, Interval, gutters, row_runs
from sidecar.evidence.structure.pieces import Piece

CROSSED_SHARE = 0.25
"""Rows that may cross a gutter, as headings above several columns do."""
FULL_SHARE = 0.6
"""Rows with fewer runs than this share of the fullest ones tell nothing of columns: titles of groups, sums."""
FAR_ROW = 2.2
"""A lone row this many sizes below a table is none of its rows."""
MIN_GUTTER = 0.6
"""Narrowest gutter of a table, in sizes of its font."""
AT_EDGE = 0.25
"""How far, in sizes, a word may begin from where its column's words begin."""
NEAR_ROW = 0.8
"""Rows nearer than this share of the usual distance continue the row above."""
MAX_SPREAD, MAX_FIGURE = 12, 40
MAX_COLUMNS, MAX_ROWS = 60, 500
"""What has more is no table that anybody reads."""

_CURRENCY = re.compile(r"^[$€£¥฿()%]*$")
_NUMBER = re.compile(
    r"^[\s$€£¥฿(\-–—+±~<>]*[\d๐-๙][\d๐-๙.,:%\s/×x\-–]*\)?\s*[%A-Za-zก-๛.]{0,3}\)?$|^[-–—]+$|^n/?a$", re.IGNORECASE
)

Row = list[Piece]


@dataclass(slots=True)
class Table:
    """A table that was found, as large as its cells: it has a place in the order of a page's pieces."""

    cells: tuple[Cell, ...]
    left: float
    top: float
    right: float
    bottom: float
    size: float
    pieces: list[Piece] = field(default_factory=list)
    is_upright: bool = True

    @property
    def edges(self) -> tuple[float, ...]:
        """Its left and right edge, as of one word."""
        return self.left, self.right

    @property
    def middle(self) -> float:
        """How far down its middle is."""
        return (self.top + self.bottom) / 2

    @property
    def height(self) -> float:
        """Points."""
        return self.bottom - self.top

    def runs(self, gap: float) -> Iterator[Interval]:  # noqa: ARG002 - as of a piece
        """Give its edges: no gap parts a table."""
        yield self.left, self.right

    def parts(self, cuts: Sequence[float]) -> Iterator["Table"]:  # noqa: ARG002 - as of a piece
        """Give the whole."""
        yield self


def is_number(text: str) -> bool:
    """Return whether a cell holds a figure, an amount, a share or a date in figures."""
    return len(text) <= MAX_FIGURE and bool(_NUMBER.match(text.strip()))


def columns_of(rows: Sequence[Row]) -> list[float]:
    """Return the places that part the columns of these rows, told from those that have most of the cells."""
    size = median(piece.size for row in rows for piece in row)
    runs = [row_runs(row, MIN_GUTTER * 0.9) for row in rows]
    counts = sorted(map(len, runs))
    usual = counts[(9 * len(counts)) // 10]
    full = [run for run in runs if len(run) > max(1, FULL_SHARE * usual)]
    crossed = int(CROSSED_SHARE * len(full)) if len(full) >= 3 else 0
    return [(left + right) / 2 for left, right in gutters(full, MIN_GUTTER * size, crossed)][:MAX_COLUMNS]


def own_rows(rows: Sequence[Row], cuts: Sequence[float]) -> tuple[int, int]:
    """Return where a table's own rows start and end: lone pieces above and below that fit no column are none."""
    start, end = 0, len(rows)
    while start < end and _is_alone(rows[start], rows[start : start + 2], cuts, is_above=True):
        start += 1
    while end > start and _is_alone(rows[end - 1], rows[end - 2 : end], cuts, is_above=False):
        end -= 1
    return start, end


def _is_alone(row: Row, neighbours: Sequence[Row], cuts: Sequence[float], *, is_above: bool) -> bool:
    runs = row_runs(row)
    if len(runs) > 1 or not cuts:
        return False
    left, right = runs[0]
    starts_left = left < cuts[0]
    if starts_left and (right > cuts[0] or is_above):
        return True
    step = neighbours[-1][0].middle - neighbours[0][0].middle
    return starts_left and step > FAR_ROW * row[0].size


def table_of(rows: Sequence[Row], cuts: Sequence[float], *, header_rows: int | None = None) -> Table | None:
    """Make a table of rows whose columns these places part; None where nothing of a table is left."""
    rows = [row for row in rows if row]
    if not rows or not cuts or len(rows) > MAX_ROWS:
        return None
    lefts = _common_lefts(rows, cuts)
    grid = _continued([_cells(row, cuts, lefts) for row in rows])
    grid = _without_lone_signs(grid, len(cuts) + 1)
    heads = _header_rows(grid) if header_rows is None else header_rows
    if heads > 1:
        edges = _column_edges(grid, heads)
        grid = [*(_spread(row, edges) for row in grid[: heads - 1]), *grid[heads - 1 :]]
    cells = tuple(_cell(number, one, is_header=number < heads) for number, row in enumerate(grid) for one in row)
    if len({cell.column for cell in cells}) < 2:
        return None
    pieces = [piece for row in rows for piece in row]
    return Table(
        cells,
        min(piece.left for piece in pieces),
        min(piece.top for piece in pieces),
        max(piece.right for piece in pieces),
        max(piece.bottom for piece in pieces),
        median(piece.size for piece in pieces),
        pieces,
    )


@dataclass(frozen=True, slots=True)
class _Spot:
    """What stands in one cell: pieces in reading order, from one column to another."""

    first: int
    last: int
    pieces: tuple[Piece, ...]

    @property
    def left(self) -> float:
        return min(piece.left for piece in self.pieces)

    @property
    def right(self) -> float:
        return max(piece.right for piece in self.pieces)

    @property
    def text(self) -> str:
        return " ".join(piece.text for piece in self.pieces)


def _common_lefts(rows: Sequence[Row], cuts: Sequence[float]) -> list[float]:
    """Return where the words of most cells of each column begin."""
    found: list[list[float]] = [[] for _ in range(len(cuts) + 1)]
    for row in rows:
        for left, right in row_runs(row, MIN_GUTTER * 0.9):
            at = bisect_right(cuts, left)
            if at == len(cuts) or right <= cuts[at]:
                found[at].append(left)
    return [median(lefts) if lefts else float("inf") for lefts in found]


def _cells(row: Row, cuts: Sequence[float], lefts: Sequence[float]) -> list[_Spot]:
    """Share a row's words among the columns: those of a run that crosses a gutter stay together.

    Unless a word behind the gutter begins where the column's other words begin.
    """
    spots: list[_Spot] = []
    for piece in row:
        runs = list(piece.runs(WORD_GAP * piece.size))
        borders = [(one[1] + other[0]) / 2 for one, other in pairwise(runs)]
        borders += [
            start - 0.01
            for start in piece.edges[2::2]
            for at, cut in enumerate(cuts)
            if cut < start + piece.size and abs(start - lefts[at + 1]) <= AT_EDGE * piece.size
        ]
        for part in piece.parts(sorted(borders)):
            first, last = _columns(part, cuts)
            if spots and first <= spots[-1].last:
                before = spots.pop()
                first, last = min(before.first, first), max(before.last, last)
                spots.append(_Spot(first, last, (*before.pieces, part)))
            else:
                spots.append(_Spot(first, last, (part,)))
    return spots


def _columns(part: Piece, cuts: Sequence[float]) -> tuple[int, int]:
    slack = min(part.width / 3, part.size / 2)
    first, last = bisect_right(cuts, part.left + slack), bisect_left(cuts, part.right - slack)
    return first, max(first, last)


def _continued(rows: Sequence[list[_Spot]]) -> list[list[_Spot]]:
    """Join rows that continue the row above: nearer to it than others are, and with fewer cells."""
    middles = [min(piece.middle for spot in row for piece in spot.pieces) for row in rows]
    usual = median([other - one for one, other in pairwise(middles)] or [0.0])
    joined: list[list[_Spot]] = []
    widest = max(len(row) for row in rows)
    for at, row in enumerate(rows):
        near = at > 0 and middles[at] - middles[at - 1] < NEAR_ROW * usual
        if joined and near and len(row) <= widest / 2 and _fits(row, joined[-1]):
            joined[-1] = [_with(spot, row) for spot in joined[-1]]
        else:
            joined.append(row)
    return joined


def _fits(row: Sequence[_Spot], above: Sequence[_Spot]) -> bool:
    places = {(spot.first, spot.last) for spot in above}
    return all((spot.first, spot.last) in places for spot in row)


def _with(spot: _Spot, row: Sequence[_Spot]) -> _Spot:
    more = [piece for other in row if other.first == spot.first for piece in other.pieces]
    return replace(spot, pieces=(*spot.pieces, *more))


def _without_lone_signs(rows: Sequence[list[_Spot]], count: int) -> list[list[_Spot]]:
    """Join columns of nothing but currency signs with the amounts at their right."""
    filled = [[spot.text for row in rows for spot in row if spot.first == spot.last == at] for at in range(count)]
    lone = [bool(texts) and all(_CURRENCY.match(text) for text in texts) for texts in filled]
    signs = [at for at in range(count) if lone[at] and at + 1 < count]
    if lone and lone[-1] and count > 1:
        signs.append(count - 2)  # closing signs, at the right of the last amounts
    new = [at - sum(sign < at for sign in signs) for at in range(count)]
    return [_merged([replace(spot, first=new[spot.first], last=new[spot.last]) for spot in row]) for row in rows]


def _merged(row: Sequence[_Spot]) -> list[_Spot]:
    merged: list[_Spot] = []
    for spot in row:
        if merged and spot.first <= merged[-1].last:
            before = merged.pop()
            merged.append(_Spot(before.first, max(before.last, spot.last), (*before.pieces, *spot.pieces)))
        else:
            merged.append(spot)
    return merged


def _header_rows(grid: Sequence[Sequence[_Spot]]) -> int:
    """Count the rows at the top without figures, if figures follow; else the first is the header."""
    figures = [sum(is_number(spot.text) for spot in row) / len(row) for row in grid]
    first = next((at for at, share in enumerate(figures) if share >= 0.4), None)
    return min(first, 4) if first else 1


def _column_edges(grid: Sequence[Sequence[_Spot]], heads: int) -> dict[int, tuple[float, float]]:
    """Return the left and right edge of each column below the headings."""
    edges: dict[int, tuple[float, float]] = {}
    for row in grid[heads:]:
        for spot in row:
            if spot.first == spot.last:
                left, right = edges.get(spot.first, (float("inf"), float("-inf")))
                edges[spot.first] = min(left, spot.left), max(right, spot.right)
    return edges


def _spread(row: Sequence[_Spot], edges: Mapping[int, tuple[float, float]]) -> list[_Spot]:
    """Let a heading above others span the columns that it stands in the middle of, as far as they have none."""
    spread: list[_Spot] = []
    for at, spot in enumerate(row):
        lowest = spread[-1].last + 1 if spread else 1
        highest = row[at + 1].first - 1 if at + 1 < len(row) else max(edges, default=spot.last)
        spread.append(_widest_span(spot, lowest, highest, edges))
    return spread


def _widest_span(spot: _Spot, lowest: int, highest: int, edges: Mapping[int, tuple[float, float]]) -> _Spot:
    middle, size = (spot.left + spot.right) / 2, spot.pieces[0].size
    best = spot
    for first in range(max(lowest, spot.first - MAX_SPREAD), spot.first + 1):
        for last in range(max(spot.last, first + 1), min(highest, spot.last + MAX_SPREAD) + 1):
            if first not in edges or last not in edges:
                continue
            centre = (edges[first][0] + edges[last][1]) / 2
            if abs(centre - middle) <= size and last - first > best.last - best.first:
                best = replace(spot, first=first, last=last)
    return best


def _cell(row: int, spot: _Spot, *, is_header: bool) -> Cell:
    lines = tuple(piece.line for piece in spot.pieces)
    box = Box.around(line.box for line in lines if line.box)
    return Cell(row, spot.first, lines, box, 1, spot.last - spot.first + 1, is_header)
