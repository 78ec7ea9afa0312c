"""What becomes of the pages of a document once they are read: pages with blocks. Runs in worker processes. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sidecar.evidence.layout import Layout
from sidecar.evidence.packed import Packed, PackedPages
from sidecar.evidence.structure.document import ReadPage, structured
from sidecar.ocr.page_reading import PageResult

# Sent to workers by the thousand. Without slots it is pickled in C instead of Python.


@dataclass(frozen=True)
class PageToStructure:
    """A page that was read, its layout still packed."""

    number: int
    layout: Packed[Layout] | None
    text: str
    languages: str


def to_structure(pages: Iterable[PageResult], languages: str) -> list[PageToStructure]:
    """Return what structure is told from."""
    return [PageToStructure(page.page, page.layout, page.text, languages) for page in pages]


def structure(pages: Sequence[PageToStructure]) -> PackedPages:
    """Tell the structure of a whole document; as many pages come back."""
    read = [
        ReadPage(page.number, page.layout.open() if page.layout else None, page.text, page.languages) for page in pages
    ]
    return PackedPages(map(Packed, structured(read)))
