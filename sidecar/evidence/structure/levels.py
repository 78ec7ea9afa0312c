"""Levels of headings and of lists over a whole document. Pure."""

from collections.abc import Sequence
from itertools import pairwise

from sidecar.evidence.page import BlockKind
from sidecar.evidence.structure.blocks import Draft

SAME_SIZE = 1.06
"""Headings whose sizes differ by less have one level."""
MAX_LEVEL = 6
STEP = 0.9
"""How much farther in, in sizes, a list lies in another one."""


def with_levels(drafts: Sequence[Draft]) -> None:
    """Set the levels of headings, the largest first, and of neighbouring items, by how far in they begin."""
    headings = [draft for draft in drafts if draft.kind is BlockKind.HEADING]
    borders = _borders([_size(draft) for draft in headings])
    for draft in headings:
        draft.level = min(MAX_LEVEL, 1 + sum(_size(draft) < border for border in borders))
    lefts: list[float] = []
    for draft in drafts:
        if draft.kind is not BlockKind.LIST:
            lefts = []
            continue
        first = draft.pieces[0]
        lefts = [left for left in lefts if left < first.left - STEP * first.size]
        lefts.append(first.left)
        draft.level = min(MAX_LEVEL, len(lefts))


def _size(draft: Draft) -> float:
    return max(piece.size for piece in draft.pieces)


def _borders(sizes: Sequence[float]) -> list[float]:
    """Return the smallest size of each level but the last."""
    borders: list[float] = []
    ordered = sorted(set(sizes), reverse=True)
    for larger, smaller in pairwise(ordered):
        if larger > SAME_SIZE * smaller:
            borders.append(larger)
    return borders
