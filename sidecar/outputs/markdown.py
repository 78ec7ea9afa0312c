"""Pages as Markdown: furniture left out, tables in pipes, or in HTML where cells span others. Pure."""

import html
import re
from collections.abc import Iterator, Sequence

from sidecar.evidence.layout import Line
from sidecar.evidence.page import FURNITURE, Block, BlockKind, Cell, Page
from sidecar.evidence.structure.blocks import item_mark
from sidecar.outputs.joining import joined

MAX_LEVEL = 6
INDENT = "  "

_SPECIAL = re.compile(r"([\\`*_\[\]<>]|~(?=~)|(?<=~)~|&(?=#?\w{1,31};))")
_INNER_UNDERSCORE = re.compile(r"(?<=\w)\\_(?=\w)")
_START = re.compile(r"^(\s*)(#{1,6}(?=\s|$)|[-+](?=\s|$)|\d{1,9}[.)](?=\s)|={3,}$|-{3,}$|\|)")
_CLOSING = re.compile(r"(?<=\s)(#+)$")
"""What would end a heading, and be left out."""
_NUMBERED = re.compile(r"^\d{1,9}[.)]$")


def markdown(pages: Sequence[Page]) -> str:
    """Return all pages as Markdown, without what only runs along with them."""
    return "\n\n".join(filter(None, ("\n\n".join(_blocks(page.blocks)) for page in pages)))


def _blocks(blocks: Sequence[Block]) -> Iterator[str]:
    """Give what stands between empty lines: a list is one of them."""
    items: list[str] = []
    for block in blocks:
        if block.kind is BlockKind.LIST:
            items.append(_item(block))
            continue
        if items:
            yield "\n".join(items)
            items = []
        text = _block(block)
        if text:
            yield text
    if items:
        yield "\n".join(items)


def _block(block: Block) -> str:
    if block.kind in FURNITURE or block.kind is BlockKind.FIGURE:
        return ""
    if block.kind is BlockKind.TABLE:
        return table(block.cells)
    text = _escaped(joined(block.lines))
    if block.kind is BlockKind.HEADING and text:
        return f"{'#' * min(MAX_LEVEL, block.level or 1)} " + _CLOSING.sub(r"\\\1", text)
    return _not_markup(text)


def _item(block: Block) -> str:
    text = joined(block.lines)
    mark = item_mark(text)
    rest = _escaped(text[len(mark) :].lstrip() if mark else text)
    shown = mark if mark and _NUMBERED.match(mark) else "-"
    kept = f"{_escaped(mark)} " if mark and shown == "-" and len(mark) > 1 else ""
    return f"{INDENT * ((block.level or 1) - 1)}{shown} {kept}{rest}"


# ── escapes ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _escaped(text: str) -> str:
    """Escape what would become markup within a line; an underscore within a word is none."""
    return _INNER_UNDERSCORE.sub("_", _SPECIAL.sub(r"\\\1", text))


def _not_markup(text: str) -> str:
    """Escape what would become markup at the start of a line."""
    found = _START.match(text)
    if not found:
        return text
    sign = found[2]
    at = found.end(2) - 1 if sign[0].isdigit() else found.start(2)
    return f"{text[:at]}\\{text[at:]}"


# ── tables ────────────────────────────────────────────────────────────────────────────────────────────────────────


def table(cells: Sequence[Cell]) -> str:
    """Return a table: in pipes, or in HTML where a cell spans others."""
    if not cells:
        return ""
    if any(cell.row_span > 1 or cell.column_span > 1 for cell in cells):
        return html_table(cells)
    rows, columns = max(cell.row for cell in cells) + 1, max(cell.column for cell in cells) + 1
    texts = {(cell.row, cell.column): _in_pipes(cell.lines) for cell in cells}
    lines = [f"| {' | '.join(texts.get((row, column), '') for column in range(columns))} |" for row in range(rows)]
    return "\n".join([lines[0], f"|{' --- |' * columns}", *lines[1:]])


def _in_pipes(lines: Sequence[Line]) -> str:
    return _escaped(joined(lines)).replace("|", "\\|")


def html_table(cells: Sequence[Cell]) -> str:
    """Return a table in HTML, with empty cells where none is."""
    rows, columns = (
        max(cell.row + cell.row_span for cell in cells),
        max(cell.column + cell.column_span for cell in cells),
    )
    at = {(cell.row, cell.column): cell for cell in cells}
    covered = {
        (cell.row + down, cell.column + across)
        for cell in cells
        for down in range(cell.row_span)
        for across in range(cell.column_span)
    }
    parts = ["<table>"]
    for row in range(rows):
        shown = [
            _html_cell(at.get((row, column)))
            for column in range(columns)
            if (row, column) in at or (row, column) not in covered
        ]
        parts.append(f"<tr>{''.join(shown)}</tr>")
    return "\n".join([*parts, "</table>"])


def _html_cell(cell: Cell | None) -> str:
    if cell is None:
        return "<td></td>"
    spans = f' rowspan="{cell.row_span}"' if cell.row_span > 1 else ""
    spans += f' colspan="{cell.column_span}"' if cell.column_span > 1 else ""
    name = "th" if cell.is_header else "td"
    return f"<{name}{spans}>{html.escape(joined(cell.lines), quote=False)}</{name}>"
