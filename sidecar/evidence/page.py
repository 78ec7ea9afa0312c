"""The model of a page: what every reader fills, and every output is written from. Pure.

Every length is in PDF points, from the top left corner of the page as a viewer shows it.
"""

from dataclasses import dataclass
from enum import StrEnum

from sidecar.evidence.layout import Box, Line


class BlockKind(StrEnum):
    """What a block is."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST = "list"
    TABLE = "table"
    FIGURE = "figure"
    HEADER = "header"
    FOOTER = "footer"
    PAGE_NUMBER = "pageNumber"
    CAPTION = "caption"
    FORMULA = "formula"


FURNITURE = frozenset({BlockKind.HEADER, BlockKind.FOOTER, BlockKind.PAGE_NUMBER})
"""What stands on many pages and belongs to none of their texts."""


@dataclass(frozen=True)
class Cell:
    """A cell of a table, whose row and column count from 0."""

    row: int
    column: int
    lines: tuple[Line, ...]
    box: Box | None = None
    row_span: int = 1
    column_span: int = 1
    is_header: bool = False


@dataclass(frozen=True)
class Block:
    """A part of a page. ``level`` is a heading's, from 1, or how deep a list's item lies, from 1.

    A list is one block an item; a table has ``cells`` and no lines; a figure has neither.
    """

    kind: BlockKind
    box: Box | None
    lines: tuple[Line, ...] = ()
    level: int | None = None
    cells: tuple[Cell, ...] = ()


@dataclass(frozen=True)
class Page:
    """A page with its blocks in reading order; ``number`` counts from 1.

    ``rotation``: degrees, clockwise, by which it must be turned to read upright.
    """

    number: int
    width: float
    height: float
    blocks: tuple[Block, ...]
    rotation: float = 0
    languages: str = ""
