"""What becomes of the pages of a document once they are read: pages with blocks. Runs in worker processes. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sidecar.evidence.layout import Layout, Source
from sidecar.evidence.packed import Packed, PackedPages
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


def to_structure(pages: Iterable[PageResult], languages: str) -> list[PageToStructure]:
    """Return what structure is told from."""
    return [
        PageToStructure(page.page, page.layout, page.text, languages, source_of(page.engine), page.notes)
        for page in pages
    ]


def structure(pages: Sequence[PageToStructure]) -> PackedPages:
    """Tell the structure of a whole document; as many pages come back."""
    read = [ReadPage(page.number, _layout(page), page.text, page.languages) for page in pages]
    return PackedPages(map(Packed, structured(read)))


def _layout(page: PageToStructure) -> Layout:
    """Return what was found on a page; its text without places, where its reader tells none."""
    if page.layout is None:
        return Layout(0, 0, unplaced(page.text, page.source))
    layout = page.layout.open()
    notes = unplaced("\n".join(page.notes), Source.TEXT_LAYER)
    return replace(layout, lines=(*layout.lines, *notes)) if notes else layout


def source_of(engine: str | None) -> Source:
    """Return who read a page; an engine that is no program here is a model."""
    if engine == FAST_PATH:
        return Source.TEXT_LAYER
    return Source(engine) if engine in (Source.TESSERACT, Source.RAPIDOCR) else Source.MODEL
