"""Tables between ruling lines: grids of cells, and rows between lines above and below. Pure."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from sidecar.evidence.layout import Box
from sidecar.evidence.structure.grid import grid_tables
from sidecar.evidence.structure.gutters import row_runs
from sidecar.evidence.structure.pieces import Piece, rows_of
from sidecar.evidence.structure.tables import Row, Table, columns_of, table_of

SAME_PLACE = 4.0
"""Points: rules whose ends are nearer begin and end at one place."""
THIN = 4.0
MAX_RULES = 1_500
MIN_WIDTH = 60.0
"""Points: shorter rules underline something in a table, or part it."""
PROSE_WIDTH = 0.6
"""Rows of one run that covers so much of the width between rules are running text."""
SEVERAL_SHARE = 0.5


def ruled_tables(pieces: Sequence[Piece], rules: Sequence[Box]) -> tuple[list[Table], list[Piece]]:
    """Return the tables that ruling lines tell of, and the pieces outside them."""
    level = [rule for rule in rules if rule.height <= THIN and rule.width >= MIN_WIDTH][:MAX_RULES]
    tables, rest = grid_tables(pieces, rules)
    for same in _alike(level):
        for region in _regions(same, rest):
            table = _between(region, rest)
            if table:
                taken = {id(piece) for piece in table.pieces}
                rest = [piece for piece in rest if id(piece) not in taken]
                tables.append(table)
    return tables, rest


def _alike(rules: Sequence[Box]) -> list[list[Box]]:
    """Group level rules by where they begin and end; of those drawn one over the other, one is kept."""
    groups: list[list[Box]] = []
    for rule in sorted(_whole(rules), key=lambda one: one.top):
        for group in groups:
            last = group[-1]
            if abs(last.left - rule.left) <= SAME_PLACE and abs(last.right - rule.right) <= SAME_PLACE:
                if rule.top - last.bottom > SAME_PLACE:
                    group.append(rule)
                break
        else:
            groups.append([rule])
    return [group for group in groups if len(group) > 1]


def _whole(rules: Sequence[Box]) -> Iterator[Box]:
    """Join rules that continue one another: tables are often ruled cell by cell."""
    current: Box | None = None
    for rule in sorted(rules, key=lambda one: (round(one.top), one.left)):
        if current and abs(rule.top - current.top) <= THIN / 2 and rule.left - current.right <= SAME_PLACE:
            current = Box(current.left, current.top, max(current.right, rule.right), current.bottom)
            continue
        if current:
            yield current
        current = rule
    if current:
        yield current


def _regions(rules: Sequence[Box], pieces: Sequence[Piece]) -> Iterator[list[Box]]:
    """Give runs of rules with no running text between neighbouring ones."""
    run = [rules[0]]
    for above, below in pairwise(rules):
        if _is_prose(rows_of(_inside(pieces, above, below)), below.width):
            if len(run) > 1:
                yield run
            run = []
        run.append(below)
    if len(run) > 1:
        yield run


def _inside(pieces: Sequence[Piece], above: Box, below: Box) -> list[Piece]:
    return [
        piece
        for piece in pieces
        if above.top - 1 <= piece.middle <= below.bottom + 1
        and piece.left >= above.left - 2 * SAME_PLACE
        and piece.right <= above.right + 2 * SAME_PLACE
    ]


def _is_prose(rows: Sequence[Row], width: float) -> bool:
    if len(rows) < 2:
        return False
    full = sum(_is_full(row, width) for row in rows)
    return full > len(rows) / 2


def _is_full(row: Row, width: float) -> bool:
    runs = row_runs(row)
    return len(runs) == 1 and runs[0][1] - runs[0][0] >= PROSE_WIDTH * width


def _between(rules: Sequence[Box], pieces: Sequence[Piece]) -> Table | None:
    rows = rows_of(_inside(pieces, rules[0], rules[-1]))
    if len(rows) < 2:
        return None
    cuts = columns_of(rows)
    if not cuts or sum(len(row_runs(row)) > 1 for row in rows) < SEVERAL_SHARE * len(rows):
        return None
    first_rule = rules[1].top if len(rules) > 2 else None
    heads = sum(row[0].middle < first_rule for row in rows) if first_rule else None
    return table_of(rows, cuts, header_rows=heads if heads and heads <= 4 else None)
