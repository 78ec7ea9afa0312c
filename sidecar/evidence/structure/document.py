"""The pages of a document with their blocks, from what was found on each of them. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sidecar.evidence.layout import Box, Layout, Line
from sidecar.evidence.page import Block, BlockKind, Page

PARAGRAPH_GAP = 0.8
"""A gap of at least so many line heights between two lines begins a paragraph."""


@dataclass(frozen=True)
class ReadPage:
    """A page as it was read: ``layout`` is None where there is none, ``text`` is the answer's."""

    number: int
    layout: Layout | None
    text: str
    languages: str


def structured(pages: Sequence[ReadPage]) -> tuple[Page, ...]:
    """Return a document's pages with their blocks, one for each page that was read."""
    return tuple(_structured(page) for page in pages)


def _structured(page: ReadPage) -> Page:
    layout = page.layout or Layout(0, 0, ())
    blocks = tuple(
        Block(BlockKind.PARAGRAPH, Box.around(line.box for line in lines if line.box), tuple(lines))
        for lines in _paragraphs(layout.lines)
    )
    return Page(page.number, layout.width, layout.height, blocks, layout.rotation, page.languages)


def _paragraphs(lines: Sequence[Line]) -> Iterator[list[Line]]:
    paragraph: list[Line] = []
    for line in lines:
        if paragraph and _is_apart(paragraph[-1].box, line.box):
            yield paragraph
            paragraph = []
        paragraph.append(line)
    if paragraph:
        yield paragraph


def _is_apart(above: Box | None, below: Box | None) -> bool:
    if above is None or below is None:
        return False
    gap = below.top - above.bottom
    return gap > PARAGRAPH_GAP * min(above.height, below.height) or below.bottom < above.top
