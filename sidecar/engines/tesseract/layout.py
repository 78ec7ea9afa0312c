"""Whether Tesseract's page layout can be trusted with Thai. Pure.

Layout analysis mistakes the marks stacked above Thai letters for lines or vertical text of their own, and the words
lose them ("ผู้รับจ้าง" becomes "รับจ้าง" and a line of noise). It does not if Tesseract is told that the page is one
column. Pages that really have columns or tables keep the detected layout.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import combinations

COLUMN_OVERLAP_INCHES = 0.4
"""Blocks side by side for at least two lines are columns; for less, a heading with a date beside it."""
COLUMN_WIDTH_SHARE = 0.1
"""A block narrower than this share of the page's width is a fragment, not a column."""


class BlockKind(Enum):
    """A block's kind according to layout analysis."""

    TEXT = "text"
    VERTICAL_TEXT = "vertical text"
    TABLE = "table"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Block:
    """A block of the layout; pixels from the top left corner. ``on_its_side``: its lines run down the page."""

    kind: BlockKind
    left: int
    top: int
    right: int
    bottom: int
    on_its_side: bool = False

    @property
    def area(self) -> int:
        """Square pixels."""
        return (self.right - self.left) * (self.bottom - self.top)

    def overlap_across(self, other: "Block") -> int:
        """Pixel columns of the page that both share; negative is the gap between them."""
        return min(self.right, other.right) - max(self.left, other.left)

    def overlap_down(self, other: "Block") -> int:
        """Pixel rows of the page that both share; negative is the gap between them."""
        return min(self.bottom, other.bottom) - max(self.top, other.top)


def lies_on_its_side(blocks: Sequence[Block]) -> bool:
    """Return whether the largest block's lines run down the page; Thai and English seldom do on purpose."""
    text = [block for block in blocks if block.kind in (BlockKind.TEXT, BlockKind.VERTICAL_TEXT)]
    return bool(text) and max(text, key=lambda block: block.area).on_its_side


def is_broken_single_column(blocks: Sequence[Block], page_width: int, dpi: int) -> bool:
    """Return whether the page should be read as one column: it is one, and its layout shows detached marks."""
    text = [block for block in blocks if block.kind in (BlockKind.TEXT, BlockKind.VERTICAL_TEXT)]
    if any(block.kind is BlockKind.TABLE for block in blocks) or _has_columns(text, page_width, dpi):
        return False
    return any(block.kind is BlockKind.VERTICAL_TEXT for block in text) or any(
        one.overlap_across(two) > 0 and one.overlap_down(two) > 0 for one, two in combinations(text, 2)
    )


def _has_columns(text: Sequence[Block], page_width: int, dpi: int) -> bool:
    wide = [block for block in text if block.right - block.left >= COLUMN_WIDTH_SHARE * page_width]
    return any(
        one.overlap_across(two) <= 0 and one.overlap_down(two) >= COLUMN_OVERLAP_INCHES * dpi
        for one, two in combinations(wide, 2)
    )
