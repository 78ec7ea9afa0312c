"""Tables whose cells have lines around them: a grid of level and upright rules, cells that span where one is missing.

Pure.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import median

from sidecar.evidence.layout import Box
from sidecar.evidence.page import Cell
from sidecar.evidence.structure.pieces import Piece, rows_of
from sidecar.evidence.structure.tables import Table

NEAR = 3.0
"""Points: rules nearer than this touch one another, or are one."""
BARS = "|_[]"
TORN = 9.0
"""Points: rules on scans have gaps up to so wide."""
THIN = 4.0
MIN_LENGTH = 7.0
"""Points: nothing lower or narrower than this holds a line of text."""
MAX_RULES = 600
MAX_CELLS = 5_000
FRAME_SHARE, FRAME_ROWS = 0.6, 12
"""A cell with this share of the words, in so many rows, is no cell but a frame around running text."""
SUB_ROWS = 3
"""Where no lines part the rows, a band of the grid holds at least so many."""


@dataclass(slots=True)
class _Grid:
    """Where the lines of a grid are, and which pieces of them are drawn: to the right of, and below, each place."""

    xs: list[float]
    ys: list[float]
    right: set[tuple[int, int]]
    below: set[tuple[int, int]]

    @property
    def rows(self) -> int:
        return len(self.ys) - 1

    @property
    def columns(self) -> int:
        return len(self.xs) - 1


def grid_tables(pieces: Sequence[Piece], rules: Sequence[Box]) -> tuple[list[Table], list[Piece]]:
    """Return the tables that grids of rules tell of, and the pieces outside them."""
    level = _joined([rule for rule in rules if rule.height <= THIN and rule.width >= MIN_LENGTH])
    upright = [_flipped(rule) for rule in rules if rule.width <= THIN and rule.height >= MIN_LENGTH]
    upright = [_flipped(rule) for rule in _joined(upright)]
    tables: list[Table] = []
    rest = list(pieces)
    if len(level) + len(upright) > MAX_RULES:
        return tables, rest
    for levels, uprights in _connected(level, upright):
        grid = _grid(levels, uprights)
        table = _table(grid, rest) if grid else None
        if table:
            taken = {id(piece) for piece in table.pieces}
            rest = [piece for piece in rest if id(piece) not in taken]
            tables.append(table)
    return tables, rest


def _flipped(box: Box) -> Box:
    return Box(box.top, box.left, box.bottom, box.right)


def _joined(rules: Sequence[Box]) -> list[Box]:
    """Join level rules that continue one another, or lie on one another."""
    joined: list[Box] = []
    for rule in sorted(rules, key=lambda one: (round((one.top + one.bottom) / 2 / NEAR), one.left)):
        last = joined[-1] if joined else None
        if last and abs(last.top - rule.top) <= NEAR and rule.left <= last.right + TORN and rule.left >= last.left:
            joined[-1] = Box(last.left, min(last.top, rule.top), max(last.right, rule.right), last.bottom)
        else:
            joined.append(rule)
    return joined


def _connected(level: Sequence[Box], upright: Sequence[Box]) -> Iterator[tuple[list[Box], list[Box]]]:
    """Give the level and upright rules that touch one another, grid by grid."""
    ordered = sorted(upright, key=lambda one: one.left)
    lefts = [one.left for one in ordered]
    owner = list(range(len(ordered) + len(level)))

    def root(at: int) -> int:
        while owner[at] != at:
            owner[at] = owner[owner[at]]
            at = owner[at]
        return at

    for number, rule in enumerate(level, len(ordered)):
        for at in range(bisect_left(lefts, rule.left - NEAR), bisect_right(lefts, rule.right + NEAR)):
            if ordered[at].top - NEAR <= rule.top <= ordered[at].bottom + NEAR:
                owner[root(at)] = root(number)
    groups: dict[int, tuple[list[Box], list[Box]]] = {}
    for at, rule in enumerate(ordered):
        groups.setdefault(root(at), ([], []))[1].append(rule)
    for number, rule in enumerate(level, len(ordered)):
        groups.setdefault(root(number), ([], []))[0].append(rule)
    yield from (group for group in groups.values() if len(group[0]) > 1 and len(group[1]) > 1)


def _grid(level: Sequence[Box], upright: Sequence[Box]) -> _Grid | None:
    xs, ys = _places([one.left for one in upright]), _places([one.top for one in level])
    if not 2 <= (len(xs) - 1) * (len(ys) - 1) <= MAX_CELLS or min(len(xs), len(ys)) < 2:
        return None
    right, below = set[tuple[int, int]](), set[tuple[int, int]]()
    for rule in upright:
        column = _at(xs, rule.left) - 1
        right |= {(row, column) for row in _covered(ys, rule.top, rule.bottom)}
    for rule in level:
        row = _at(ys, rule.top) - 1
        below |= {(row, column) for column in _covered(xs, rule.left, rule.right)}
    return _Grid(xs, ys, right, below)


def _places(values: Sequence[float]) -> list[float]:
    """Return where lines are, those near one another as one."""
    places: list[float] = []
    for value in sorted(values):
        if not places or value - places[-1] > NEAR:
            places.append(value)
    return places


def _at(places: Sequence[float], value: float) -> int:
    """Return the last of the places at or before a value."""
    return max(0, bisect_right(places, value + NEAR / 2) - 1)


def _covered(places: Sequence[float], start: float, end: float) -> range:
    """Return the spaces between places whose middles lie between two ends."""
    middles = [(one + other) / 2 for one, other in pairwise(places)]
    return range(bisect_left(middles, start - NEAR), bisect_right(middles, end + NEAR))


def _table(grid: _Grid, pieces: Sequence[Piece]) -> Table | None:
    inside = [
        piece
        for piece in pieces
        if grid.ys[0] - NEAR <= piece.middle <= grid.ys[-1] + NEAR
        and grid.xs[0] - NEAR <= (piece.left + piece.right) / 2 <= grid.xs[-1] + NEAR
    ]
    owners = _owners(grid)
    held: dict[tuple[int, int], list[Piece]] = {}
    for piece in inside:
        row = min(grid.rows - 1, _at(grid.ys, piece.middle - NEAR / 2))
        cuts = [grid.xs[column + 1] for column in range(grid.columns - 1) if (row, column) in grid.right]
        for part in filter(None, map(_without_bars, piece.parts(cuts))):
            column = min(grid.columns - 1, _at(grid.xs, (part.left + part.right) / 2 - NEAR / 2))
            held.setdefault(owners[row, column][:2], []).append(part)
    if len(held) < 2 or _is_frame(held, inside):
        return None
    return _filled(grid, owners, held, inside)


def _without_bars(part: Piece) -> Piece | None:
    """Return a part without the bars at its ends that rules were read as; None if nothing else is left."""
    words = part.text.split(" ")
    bars = [word.strip(BARS) == "" for word in words]
    if not bars[0] and not bars[-1]:
        return part
    if all(bars) or len(part.edges) != 2 * len(words):
        return None if all(bars) else part
    start, stop = bars.index(False), len(bars) - bars[::-1].index(False)
    return part.part(start, stop)


Span = tuple[int, int, int, int]
"""First row and column of a cell, and how many of each it spans."""


def _owners(grid: _Grid) -> dict[tuple[int, int], Span]:
    """Return for each place the cell that it belongs to."""
    owners: dict[tuple[int, int], Span] = {}
    for row in range(grid.rows):
        for column in range(grid.columns):
            if (row, column) in owners:
                continue
            wide = 1
            while column + wide < grid.columns and (row, column + wide - 1) not in grid.right:
                wide += 1
            high = 1
            while row + high < grid.rows and not any((row + high - 1, column + at) in grid.below for at in range(wide)):
                high += 1
            owners |= {
                (row + down, column + across): (row, column, high, wide)
                for down in range(high)
                for across in range(wide)
            }
    return owners


def _is_frame(held: dict[tuple[int, int], list[Piece]], inside: Sequence[Piece]) -> bool:
    words = sum(len(piece.edges) for piece in inside)
    return any(
        len(cell) >= FRAME_ROWS and sum(len(piece.edges) for piece in cell) > FRAME_SHARE * words
        for cell in held.values()
    )


def _filled(
    grid: _Grid,
    owners: dict[tuple[int, int], Span],
    held: dict[tuple[int, int], list[Piece]],
    inside: Sequence[Piece],
) -> Table:
    cells: list[Cell] = []
    spans = sorted(set(owners.values()))
    bands = [_bands([span for span in spans if span[0] == row], held) for row in range(grid.rows)]
    starts = list(accumulate((len(one or (0,)) for one in bands), initial=0))
    for span in spans:
        row, column, high, wide = span
        texts, within = rows_of(held.get(span[:2], [])), bands[row] if high == 1 else None
        parts = [[piece for line in texts for piece in line]] if within is None else _shared(texts, within)
        box = Box(grid.xs[column], grid.ys[row], grid.xs[column + wide], grid.ys[row + high])
        height = starts[row + high] - starts[row] if within is None else 1
        for number, part in enumerate(parts):
            lines = tuple(piece.line for piece in part)
            cells.append(Cell(starts[row] + number, column, lines, box, height, wide, is_header=row == 0))
    size = median(piece.size for piece in inside)
    cells.sort(key=lambda cell: (cell.row, cell.column))
    return Table(tuple(cells), grid.xs[0], grid.ys[0], grid.xs[-1], grid.ys[-1], size, list(inside))


def _bands(spans: Sequence[Span], held: dict[tuple[int, int], list[Piece]]) -> list[float] | None:
    """Return the middles of the rows that the cells of one row of the grid consist of; None if it is one."""
    low = [span for span in spans if span[2] == 1]
    return _sub_rows([held.get(span[:2], []) for span in low])


def _sub_rows(cells: Sequence[list[Piece]]) -> list[float] | None:
    """Return the middles of the rows that stand in a band without lines between them; None if it is one row."""
    filled = [cell for cell in cells if cell]
    rows = rows_of(piece for cell in filled for piece in cell)
    if len(filled) < 2 or len(rows) < SUB_ROWS:
        return None
    full = sum(len(rows_of(cell)) == len(rows) for cell in filled)
    return [row[0].middle for row in rows] if full >= max(2, len(filled) / 2) else None


def _shared(texts: Sequence[list[Piece]], middles: Sequence[float]) -> list[list[Piece]]:
    """Share the lines of a cell among the rows of its band."""
    parts: list[list[Piece]] = [[] for _ in middles]
    for line in texts:
        nearest = min(range(len(middles)), key=lambda at: abs(middles[at] - line[0].middle))
        parts[nearest] += line
    return parts
