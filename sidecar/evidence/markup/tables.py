"""Tables that a model wrote, in HTML or with bars, as cells. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

from sidecar.evidence.markup.inline import lines_of
from sidecar.evidence.page import Block, BlockKind, Cell

MOST_SPAN = 100
"""Rows or columns that one cell covers at most, and what is more is a model's mistake."""
_RULE = re.compile(r"^\s*\|?\s*:?-{1,}:?\s*(?:\|\s*:?-{1,}:?\s*)*\|?\s*$")
_BAR = re.compile(r"(?<!\\)\|")


@dataclass
class _Open:
    """A cell that is being read."""

    is_header: bool
    row_span: int
    column_span: int
    texts: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    """Collects the rows of the outermost table; what stands in a table inside it belongs to its cell."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.rows: list[list[_Open]] = []
        self._cell: _Open | None = None
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._depth += 1
        elif self._depth > 1:
            return
        elif tag == "tr":
            self.rows.append([])
            self._cell = None
        elif tag in ("td", "th"):
            known = dict(attrs)
            self._cell = _Open(tag == "th", _span(known.get("rowspan")), _span(known.get("colspan")))
            self.rows = self.rows or [[]]
            self.rows[-1].append(self._cell)
        elif tag == "br" and self._cell:
            self._cell.texts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._depth -= 1
        elif tag in ("td", "th", "tr") and self._depth <= 1:
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._cell:
            self._cell.texts.append(data)


def _span(value: str | None) -> int:
    return min(MOST_SPAN, max(1, int(value))) if value and value.isdecimal() and len(value) < 6 else 1


def html_table(text: str) -> Block:
    """Return a table that is written in HTML."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return Block(BlockKind.TABLE, None, cells=tuple(_cells(reader.rows)))


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
            lines = lines_of("".join(cell.texts).split("\n"))
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
