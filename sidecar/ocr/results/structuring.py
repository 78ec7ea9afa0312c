"""What becomes of the pages of a document once they are read: pages with blocks. Runs in worker processes. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sidecar.evidence.layout import Layout, Source
from sidecar.evidence.markup.blocks import placed_blocks
from sidecar.evidence.packed import Packed, PackedPages
from sidecar.evidence.page import Page
from sidecar.evidence.scaling import scaled
from sidecar.evidence.structure.document import ReadPage, structured
from sidecar.evidence.unplaced import unplaced
from sidecar.ocr.engine import FAST_PATH
from sidecar.ocr.page_reading import PageResult

# Sent to workers by the thousand. Without slots it is pickled in C instead of Python.


@dataclass(frozen=True)
class PageToStructure:
    """A page that was read by ``source``, its layout still packed; ``notes`` are a part of the text that it lacks."""

    number: int
    layout: Packed[Layout] | None
    text: str
    languages: str
    source: Source
    notes: tuple[str, ...] = ()
    witness: Packed[Layout] | None = None
    """Another reading, of a page whose own reader tells no places."""
    unit: float = 1.0
    """Points of a unit of both layouts."""


def to_structure(pages: Iterable[PageResult], languages: str) -> list[PageToStructure]:
    """Return what structure is told from."""
    return [
        PageToStructure(
            page.page,
            page.layout,
            page.text,
            languages,
            source_of(page.engine),
            page.notes,
            page.witness or (page.other_reading[1].layout if page.other_reading else None),
            page.unit,
        )
        for page in pages
    ]


def structure(pages: Sequence[PageToStructure]) -> PackedPages:
    """Tell the structure of a whole document; as many pages come back."""
    read = [ReadPage(page.number, _layout(page), page.text, page.languages) for page in pages]
    return PackedPages(
        Packed.lazily(_as_marked(page, told) if told.layout is None and told.source is Source.MODEL else page)
        for page, told in zip(structured(read), pages, strict=True)
    )


def _as_marked(page: Page, told: PageToStructure) -> Page:
    """Return a page that a model read with the blocks that it marked, where another reader saw their words."""
    witness = scaled(told.witness.unpack(), told.unit) if told.witness else None
    return replace(page, blocks=placed_blocks(told.text, witness))


def _layout(page: PageToStructure) -> Layout:
    """Return what was found on a page; its text without places, where its reader tells none."""
    if page.layout is None:
        lines = unplaced(page.text, page.source)
        return replace(scaled(page.witness.unpack(), page.unit), lines=lines) if page.witness else Layout(0, 0, lines)
    layout = scaled(page.layout.unpack(), page.unit)
    notes = unplaced("\n".join(page.notes), Source.TEXT_LAYER)
    return replace(layout, lines=(*layout.lines, *notes)) if notes else layout


def source_of(engine: str | None) -> Source:
    """Return who read a page; an engine that is no program here is a model."""
    if engine == FAST_PATH:
        return Source.TEXT_LAYER
    return Source(engine) if engine in (Source.TESSERACT, Source.RAPIDOCR) else Source.MODEL
