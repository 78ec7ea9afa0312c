"""Which pages a document is written from in other formats, and what stands on one whose structure nobody told. Pure."""

from collections.abc import Sequence

from sidecar.documents.pages import DocumentFacts
from sidecar.evidence.layout import Source
from sidecar.evidence.packed import Packed, PackedPages
from sidecar.evidence.page import Block, BlockKind, Page
from sidecar.evidence.unplaced import unplaced
from sidecar.ocr.engine import FAST_PATH
from sidecar.ocr.job import DocumentResult
from sidecar.ocr.page_reading import PageResult


def to_write(result: DocumentResult, *, by_engines: bool = False) -> PackedPages:
    """Return the pages of a document that were read, packed; ``by_engines``: those alone that no text layer gave."""
    structured: Sequence[Page] = result.structured
    is_told = isinstance(structured, PackedPages) and len(structured) == len(result.pages)
    packed = structured.packed if isinstance(structured, PackedPages) and is_told else map(_unstructured, result.pages)
    return PackedPages(
        one for one, page in zip(packed, result.pages, strict=True) if not by_engines or _is_by_engine(page)
    )


def needs_engine(facts: DocumentFacts) -> bool:
    """Return whether an engine must read a page of a document that was opened."""
    return any(page.text is None and not page.blank and page.error is None for page in facts.pages)


def _is_by_engine(page: PageResult) -> bool:
    return page.engine not in (None, FAST_PATH) and not page.blank


def _unstructured(page: PageResult) -> Packed[Page]:
    lines = unplaced(page.text, Source.TEXT_LAYER if page.engine == FAST_PATH else Source.MODEL)
    blocks = (Block(BlockKind.PARAGRAPH, None, lines),) if lines else ()
    return Packed(Page(page.page, 0, 0, blocks))
