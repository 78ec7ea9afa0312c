"""Which pages a document is written from in other formats. Pure, and quick: whoever answers others waits for it."""

from collections.abc import Iterable, Iterator

from sidecar.evidence.layout import Source
from sidecar.evidence.packed import PackedPages, Small
from sidecar.evidence.unplaced import UnplacedText
from sidecar.ocr.engine import FAST_PATH
from sidecar.ocr.job import DocumentResult
from sidecar.ocr.page_reading import PageResult
from sidecar.ocr.results.structuring import source_of


def to_write(result: DocumentResult) -> PackedPages:
    """Return the pages of a document that were read, packed."""
    return PackedPages(one for one, _ in _packed(result))


def to_lay(result: DocumentResult, *, mended: bool) -> PackedPages:
    """Return the pages that get a layer of text: what an engine read and, if ``mended``, whose layer was mended."""
    return PackedPages(
        one for one, page in _packed(result) if _is_by_engine(page) or (mended and page.repaired and page.layout)
    )


def verbatim(result: DocumentResult) -> dict[int, str]:
    """Return the texts of pages that a model read, by their numbers: models write Markdown, which stays as it is."""
    return {page.page: page.text for page in result.pages if page.engine and source_of(page.engine) is Source.MODEL}


def _packed(result: DocumentResult) -> Iterator[tuple[Small, PageResult]]:
    structured = result.structured
    is_told = isinstance(structured, PackedPages) and len(structured) == len(result.pages)
    packed: Iterable[Small] = (
        structured.packed if isinstance(structured, PackedPages) and is_told else map(_unstructured, result.pages)
    )
    yield from zip(packed, result.pages, strict=True)


def _is_by_engine(page: PageResult) -> bool:
    return page.engine not in {None, FAST_PATH} and not page.blank


def _unstructured(page: PageResult) -> UnplacedText:
    return UnplacedText(page.page, page.text, source_of(page.engine))
