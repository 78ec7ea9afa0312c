"""The order in which a page's pieces are read: columns one after the other, tables as a whole. Pure.

Rows that share a gutter form a group. A group is cut at its gutters if columns of text stand between them, or is a
table, or is read row by row.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from statistics import median

from sidecar.evidence.structure.gutters import Interval, common, free, gutters, row_runs
from sidecar.evidence.structure.pieces import Piece, rows_of
from sidecar.evidence.structure.tables import Table, columns_of, is_number, own_rows, table_of

Item = Piece | Table
Column = list[Item]

DEPTH = 6
"""How deep columns are searched for columns."""
GAPS_KEPT = 40
"""Of a row, the widest: what has more is no line of text."""
GUTTER = 0.8
"""Narrowest gutter between columns of text, in sizes of their font."""
FEW_ROWS, FEW_GUTTER = 4, 1.3
"""Where so few rows tell of a gutter, it must be wider: spaces may lie above one another by chance."""
BREAK, WIDE_BREAK = 3.5, 8.0
"""A gap across all columns, of so many sizes, ends them, if all begin anew in one row below it, or in any case."""
FILLED, COLUMN_WIDTH = 0.7, 9.0
"""Lines of running text fill so much of the column, which has so many sizes at least."""
MARKER_WIDTH = 3.0
"""Markers of lists are narrower than this, in sizes."""
TABLE_ROWS, TABLE_COLUMNS = 3, 3
"""What has fewer rows is no table; what has fewer columns is one if it has figures."""

_MARKER = re.compile(
    r"^(?:[•●▪◦‣·–—*-]|\(?[\d๐-๙]{1,3}(?:\.[\d๐-๙]{1,3})*[.):]?|\(?[A-Za-zก-ฮ][.)]|[ivxlc]{1,5}[.)]|\[\d+\])$"
)


def in_order(items: Sequence[Item], depth: int = 0) -> list[Column]:
    """Return columns of items in reading order, each from the top to the bottom."""
    rows = rows_of(items)
    if depth >= DEPTH or len(rows) < 2 or _is_one_column(rows):
        return [[item for row in rows for item in row]]
    columns: list[Column] = []
    is_open = False
    for group in _groups(rows):
        found = _read(group, depth)
        if found is None:
            flat = [item for row in group for item in row]
            if is_open:
                columns[-1] += flat
            else:
                columns.append(flat)
            is_open = True
        else:
            columns += found
            is_open = False
    return columns


def _is_one_column(rows: Sequence[Column]) -> bool:
    """Return whether no gutter can part rows: each is one run of words, and all stand over or under one another."""
    if any(len(row) > 1 for row in rows) or max(row[0].left for row in rows) >= min(row[0].right for row in rows):
        return False
    return all(len(row_runs(row)) == 1 for row in rows)


def _groups(rows: Sequence[Column]) -> list[list[Column]]:
    """Part rows into groups that share white space beside their words."""
    left, right = min(row[0].left for row in rows), max(item.right for row in rows for item in row)
    groups: list[list[Column]] = []
    shared: list[Interval] = []
    bottom = 0.0
    for row in rows:
        size = min(row[0].size, groups[-1][-1][0].size) if groups else row[0].size
        spaces = _widest(free(row_runs(row), left - size, right + size))
        both = _widest(common(shared, spaces, GUTTER * size)) if groups else []
        inner = [one for one in both if one[0] > left and one[1] < right]
        gap = min(item.top for item in row) - bottom
        if inner and gap <= (BREAK if _is_on_both_sides(row, inner) else WIDE_BREAK) * size:
            groups[-1].append(row)
            shared = both
        else:
            groups.append([row])
            shared, bottom = spaces, 0.0
        bottom = max(bottom, *(item.bottom for item in row))
    return groups


def _is_on_both_sides(row: Column, gaps: Sequence[Interval]) -> bool:
    return any(row[0].left < left and row[-1].right > right for left, right in gaps)


def _widest(spaces: Sequence[Interval]) -> list[Interval]:
    if len(spaces) <= GAPS_KEPT:
        return list(spaces)
    return sorted(sorted(spaces, key=lambda one: one[0] - one[1])[:GAPS_KEPT])


def _read(group: list[Column], depth: int) -> list[Column] | None:
    """Return the columns of a group, or its table; None if it is read row by row."""
    if any(isinstance(item, Table) for row in group for item in row) and len(group) == 1:
        return None
    size = median(item.size for row in group for item in row)
    least = GUTTER if len(group) >= FEW_ROWS else FEW_GUTTER
    found = gutters([row_runs(row) for row in group], least * size)
    cuts = [(left + right) / 2 for left, right in found]
    cuts = _without_markers(group, cuts) if len(cuts) <= GAPS_KEPT else []
    if not cuts:
        return None
    columns = _cut([item for row in group for item in row], cuts)
    found_table = _table(group, columns)
    if found_table:
        return found_table
    wordy = sum(map(_is_running_text, columns))
    if wordy < 2 and _is_aligned(group, cuts) and not (wordy and len(group) > 2 * FEW_ROWS):
        return None
    return [column for part in columns for column in in_order(part, depth + 1)]


def _cut(items: Sequence[Item], cuts: Sequence[float]) -> list[Column]:
    columns: list[Column] = [[] for _ in range(len(cuts) + 1)]
    for item in items:
        for part in item.parts(cuts):
            middle = (part.left + part.right) / 2
            columns[bisect_left(cuts, middle)].append(part)
    return [column for column in columns if column]


def _without_markers(group: Sequence[Column], cuts: list[float]) -> list[float]:
    """Leave out the gutters between the markers of lists and what they mark."""
    kept = []
    before = float("-inf")
    for cut in cuts:
        texts = [
            (part.text, part.right - part.left, part.size)
            for row in group
            for item in row
            if isinstance(item, Piece)
            for part in item.parts([before, cut])
            if before < (part.left + part.right) / 2 < cut
        ]
        if not texts or not all(width < MARKER_WIDTH * size and _MARKER.match(text) for text, width, size in texts):
            kept.append(cut)
        before = cut
    return kept


def _is_running_text(column: Column) -> bool:
    """Return whether most lines of a column fill it, as those of running text do."""
    rows = rows_of(column)
    widths = [row[-1].right - row[0].left for row in rows]
    return len(rows) >= 2 and max(widths) >= COLUMN_WIDTH * column[0].size and median(widths) >= FILLED * max(widths)


def _is_aligned(group: Sequence[Column], cuts: Sequence[float]) -> bool:
    """Return whether the columns' lines stand in common rows."""
    several = sum(len(_cut(row, cuts)) > 1 for row in group)
    return several >= len(group) / 2


def _table(group: Sequence[Column], columns: Sequence[Column]) -> list[Column] | None:
    """Make a table of a group, if it is one: rows of several short cells, most of them figures if there are two.

    Rows above and below it that are none of its own stay before and behind it.
    """
    rows = [[item for item in row if isinstance(item, Piece)] for row in group]
    if any(len(row) != len(other) for row, other in zip(rows, group, strict=True)):
        return None
    if sum(map(_is_running_text, columns)) >= 2:
        return None
    cuts = columns_of(rows)
    start, end = own_rows(rows, cuts)
    own = rows[start:end]
    cells = [_cut(row, cuts) for row in own]
    filled = [len(row) for row in cells]
    if len(own) < TABLE_ROWS or sum(count >= 2 for count in filled) < max(TABLE_ROWS, len(own) / 2):
        return None
    if len(cuts) == 1 or median(filled) < TABLE_COLUMNS:
        texts = [" ".join(item.text for item in cell if isinstance(item, Piece)) for row in cells for cell in row[1:]]
        if sum(map(is_number, texts)) < len(texts) / 2:
            return None
    table = table_of(own, cuts)
    if table is None:
        return None
    parts: list[Column] = [[item for row in rows[:start] for item in row], [table], [i for r in rows[end:] for i in r]]
    return [part for part in parts if part]
