"""Whether Tesseract's page layout can be trusted with Thai, and in which order its blocks are read. Pure.

Layout analysis mistakes the marks stacked above Thai letters for lines or vertical text of their own, and the words
lose them ("ผู้รับจ้าง" becomes "รับจ้าง" and a line of noise). It does not if Tesseract is told that the page is one
column. Pages that really have columns or tables keep the detected layout.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import combinations

COLUMN_OVERLAP_INCHES = 0.4
"""Blocks side by side for at least two lines are columns; for less, a heading with a date beside it."""
COLUMN_WIDTH_SHARE = 0.1
"""A block narrower than this share of the page's width is a fragment, not a column."""

GUTTER = 0.85
"""Narrowest gutter between columns, in heights of their lines: spaces may lie above one another by chance, above all in
letters that are all as wide."""
UNDER_SHARE = 0.5
"""A block under at least this share of another one's width stands below it."""


class BlockKind(Enum):
    """A block's kind according to layout analysis."""

    TEXT = "text"
    VERTICAL_TEXT = "vertical text"
    TABLE = "table"
    PICTURE = "picture"
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
    def width(self) -> int:
        """Pixels."""
        return self.right - self.left

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


def reading_order(blocks: Sequence[Block]) -> list[int]:
    """Return the positions of blocks in the order to be read: a headline below several columns comes after them all.

    Layout analysis puts it behind the column above its beginning. Nothing else is moved but what stands below it.
    """
    order = list(range(len(blocks)))
    for moved in range(len(blocks)):
        block, at = blocks[moved], order.index(moved)
        above = [place for place in range(at + 1, len(order)) if _stands_below(block, blocks[order[place]])]
        if above:
            end = above[-1] + 1
            stays = [one == moved or _stands_below(blocks[one], block, of_narrower=True) for one in order[at:end]]
            passed = [one for one, behind in zip(order[at:end], stays, strict=True) if not behind]
            order[at:end] = passed + [one for one, behind in zip(order[at:end], stays, strict=True) if behind]
    return order


def _stands_below(block: Block, other: Block, *, of_narrower: bool = False) -> bool:
    """Return whether a block of text lies below another one, under at least half of its (or the narrower's) width."""
    if not {block.kind, other.kind}.isdisjoint((BlockKind.PICTURE, BlockKind.OTHER)):
        return False
    width = min(block.width, other.width) if of_narrower else other.width
    return block.top >= other.bottom and block.overlap_across(other) >= UNDER_SHARE * width


def lies_on_its_side(blocks: Sequence[Block]) -> bool:
    """Return whether the largest block's lines run down the page; Thai and English seldom do on purpose."""
    text = [block for block in blocks if block.kind in (BlockKind.TEXT, BlockKind.VERTICAL_TEXT)]
    return bool(text) and max(text, key=lambda block: block.area).on_its_side


def is_broken_single_column(blocks: Sequence[Block], page_width: int, dpi: int, line_height: float = 0) -> bool:
    """Return whether the page should be read as one column: it is one, and its layout shows detached marks, or is torn.

    ``line_height`` is what is usual on the page, in pixels.
    """
    text = [block for block in blocks if block.kind in (BlockKind.TEXT, BlockKind.VERTICAL_TEXT)]
    if any(block.kind is BlockKind.TABLE for block in blocks):
        return False
    if any(gap >= GUTTER * line_height for gap in _gaps(text, page_width, dpi)):
        return False
    return any(block.kind is BlockKind.VERTICAL_TEXT for block in text) or any(
        _lie_in_each_other(one, two) or _are_torn(one, two, dpi, GUTTER * line_height)
        for one, two in combinations(text, 2)
    )


def _lie_in_each_other(one: Block, two: Block) -> bool:
    return one.overlap_across(two) > 0 and one.overlap_down(two) > 0


def _are_torn(one: Block, two: Block, dpi: int, gutter: float) -> bool:
    """Return whether blocks stand side by side with less than a gutter between them."""
    return 0 <= -one.overlap_across(two) < gutter and one.overlap_down(two) >= COLUMN_OVERLAP_INCHES * dpi


def _gaps(text: Sequence[Block], page_width: int, dpi: int) -> Iterator[int]:
    """Give the widest white space between each column and the next one: fragments may stand between them."""
    wide = [block for block in text if block.right - block.left >= COLUMN_WIDTH_SHARE * page_width]
    for block in wide:
        beside = [
            other
            for other in wide
            if other.left >= block.right and block.overlap_down(other) >= COLUMN_OVERLAP_INCHES * dpi
        ]
        if beside:
            yield _widest_gap(block, min(beside, key=lambda other: other.left), text)


def _widest_gap(block: Block, other: Block, text: Sequence[Block]) -> int:
    """Return the widest white space between two blocks, in pixels."""
    between = [
        one
        for one in text
        if block.right <= one.left and one.right <= other.left and min(map(one.overlap_down, (block, other))) > 0
    ]
    passed, widest = block.right, 0
    for one in sorted([*between, other], key=lambda one: one.left):
        passed, widest = max(passed, one.right), max(widest, one.left - passed)
    return widest
