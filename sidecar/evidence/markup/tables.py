"""Tables that a model wrote, in HTML or with bars, as cells. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sidecar.evidence.markup.inline import lines_of
from sidecar.evidence.page import Block, BlockKind, Cell

MOST_SPAN = 100
"""Rows or columns that one cell covers at most, and what is more is a model's mistake."""
_TAG = re.compile(r"<(/?)(table|tr|td|th)\b([^<>]{0,500})>", re.IGNORECASE)
_ROW_SPAN = re.compile(r"rowspan\s*=\s*[\"']?(\d{1,5})", re.IGNORECASE)
_COLUMN_SPAN = re.compile(r"colspan\s*=\s*[\"']?(\d{1,5})", re.IGNORECASE)
_RULE = re.compile(r"^\s*\|?\s*:?-{1,}:?\s*(?:\|\s*:?-{1,}:?\s*)*\|?\s*$")
_BAR = re.compile(r"(?<!\\)\|")


@dataclass
class _Open:
    """A cell that is being read."""

    is_header: bool
    row_span: int
    column_span: int
    texts: list[str] = field(default_factory=list)


def html_table(text: str) -> Block:
    """Return a table that is written in HTML; what stands in a table inside it belongs to its cell."""
    return Block(BlockKind.TABLE, None, cells=tuple(_cells(_rows(text))))


def _rows(text: str) -> list[list[_Open]]:
    """Read the rows by their tags alone: models close few of them, and the library's parser takes quadratic time."""
    rows: list[list[_Open]] = [[]]
    cell: _Open | None = None
    depth = end = 0
    for tag in _TAG.finditer(text):
        name, closes = tag[2].casefold(), bool(tag[1])
        if cell:
            cell.texts.append(text[end : tag.start()])
        end = tag.end()
        if name == "table":
            depth += -1 if closes else 1
        elif depth > 1:
            continue
        elif name == "tr":
            rows.append([])
            cell = None
        elif closes:
            cell = None
        else:
            cell = _Open(name == "th", _span(_ROW_SPAN.search(tag[3])), _span(_COLUMN_SPAN.search(tag[3])))
            rows[-1].append(cell)
    if cell:
        cell.texts.append(text[end:])
    return [row for row in rows if row]


def _span(found: re.Match[str] | None) -> int:
    return min(MOST_SPAN, max(1, int(found[1]))) if found else 1


def _cells(rows: Sequence[Sequence[_Open]]) -> Iterator[Cell]:
    """Yield cells with their rows and columns: a cell that covers several rows moves those of the rows below."""
    taken: dict[int, int] = {}
    for row, cells in enumerate(rows):
        column = 0
        for cell in cells:
            while taken.get(column, 0) > row:
                column += 1
            for covered in range(column, column + cell.column_span):
                taken[covered] = row + cell.row_span
            lines = lines_of(" ".join(cell.texts).split("\n"))
            yield Cell(row, column, lines, None, cell.row_span, cell.column_span, cell.is_header)
            column += cell.column_span


def is_rule(line: str) -> bool:
    """Return whether a line parts the headings of a table with bars from its rows."""
    return "-" in line and "|" in line and bool(_RULE.match(line))


def bar_table(lines: Sequence[str]) -> Block:
    """Return a table whose columns stand between bars."""
    rules = [at for at, line in enumerate(lines) if is_rule(line)]
    rows = [line for at, line in enumerate(lines) if at not in rules]
    headings = rules[0] if rules else 0
    return Block(
        BlockKind.TABLE,
        None,
        cells=tuple(
            Cell(row, column, lines_of([text]), is_header=row < headings)
            for row, line in enumerate(rows)
            for column, text in enumerate(_columns(line))
        ),
    )


def _columns(line: str) -> list[str]:
    bare = line.strip().removeprefix("|")
    return _BAR.split(bare[:-1] if bare.endswith("|") and not bare.endswith("\\|") else bare)
