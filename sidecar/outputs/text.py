"""Pages as plain text: blocks in reading order, lines as they stand on the page, furniture included. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from sidecar.evidence.layout import Line
from sidecar.evidence.page import Block, BlockKind, Cell, Page


def text(pages: Sequence[Page]) -> str:
    """Write pages with a blank line between them, and between their blocks."""
    return "\n\n".join(filter(None, map(page_text, pages)))


def page_text(page: Page) -> str:
    """Write the blocks of a page; the items of a list follow one another without a blank line."""
    blocks = [(block, written) for block in page.blocks if (written := block_text(block))]
    parts = [written for _, written in blocks[:1]]
    for (before, _), (block, written) in pairwise(blocks):
        both_items = before.kind is block.kind is BlockKind.LIST
        parts += ["\n" if both_items else "\n\n", written]
    return "".join(parts)


def block_text(block: Block) -> str:
    """Write a block's lines; of a table each row on one line, with tabs between its cells."""
    if block.cells:
        return "\n".join(filter(None, map(_row_text, rows(block.cells))))
    return "\n".join(line.text for line in block.lines)


def rows(cells: Iterable[Cell]) -> Iterator[list[Cell]]:
    """Divide the cells of a table into rows, from top to bottom and from left to right."""
    row: list[Cell] = []
    for cell in sorted(cells, key=lambda one: (one.row, one.column)):
        if row and cell.row != row[0].row:
            yield row
            row = []
        row.append(cell)
    if row:
        yield row


def _row_text(row: Sequence[Cell]) -> str:
    columns = [""] * (row[-1].column + 1)
    for cell in row:
        columns[cell.column] = cell_text(cell)
    return "\t".join(columns).rstrip("\t")


def cell_text(cell: Cell) -> str:
    """Write a cell on one line."""
    return flowing(cell.lines)


def flowing(lines: Sequence[Line]) -> str:
    """Write lines one after the other, as one: with a space between them, where the script has spaces."""
    texts = [line.text for line in lines if line.text]
    joined = texts[:1]
    for before, after in pairwise(texts):
        joined += ["" if runs_on(before, after) else " ", after]
    return "".join(joined)


def runs_on(before: str, after: str) -> bool:
    """Return whether a line continues another without a space: Thai, Lao, Khmer, Burmese, Chinese and Japanese do."""
    return _is_without_spaces(before[-1:]) and _is_without_spaces(after[:1])


def _is_without_spaces(char: str) -> bool:
    return any(first <= char <= last for first, last in WITHOUT_SPACES)


WITHOUT_SPACES = (
    ("\u0e01", "\u0e4e"),
    ("\u0e81", "\u0ecd"),
    ("\u1000", "\u109f"),
    ("\u1780", "\u17d3"),
    ("\u3040", "\u9fff"),
)
"""Letters and marks of scripts that write words without spaces; their digits are not among them."""
