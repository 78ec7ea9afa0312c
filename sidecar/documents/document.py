"""Documents of any format: what one contains, and one page of it as a picture.

Everything here runs in worker processes, on a file in the spool; nothing here knows HTTP or an engine.
"""

import base64
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from sidecar.documents import pdf_repair
from sidecar.documents.images import Images
from sidecar.documents.layers.text_layer import TextLayer, clean, reads_like_text
from sidecar.documents.page_selection import PageRequest
from sidecar.documents.pages import DocumentFacts, PageFacts, PageImage, PagePicture, ShownPage
from sidecar.documents.pdf import Pdf
from sidecar.documents.pdf_bombs import check_streams
from sidecar.documents.places.units import user_units
from sidecar.errors import EmptyDocumentError, SidecarError, UnsupportedMediaError
from sidecar.evidence.confidence import of_text
from sidecar.evidence.layout import Layout
from sidecar.evidence.packed import Packed

PDF_HEADER_BYTES = 1024
"""A PDF header may have this many bytes before it: Acrobat accepts that, and the contract promises it."""


FEW_PAGES = 32
"""Of so many pages the places fit in a worker's memory as they are."""


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """What a document may cost. Pixels a page, bytes a stream, dots per inch."""

    max_page_pixels: int
    max_stream_bytes: int
    dpi: int


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What the use case wants to know of a document before any engine works."""

    request: PageRequest
    use_text_layer: bool
    char_threshold: int
    wants_layout: bool = False
    """Whether the places of a text layer's words are wanted, too."""
    wants_digest: bool = False
    """Whether the file's SHA-256 is wanted, too."""
    wants_units: bool = False
    """Whether it is wanted what a unit of each page is, though no layout is."""


class Document(Protocol):
    """An open document; pages count from 0."""

    @property
    def library(self) -> str:
        """Name what opened it, with its version."""

    @property
    def page_count(self) -> int:
        """Count the pages."""

    @property
    def is_repaired(self) -> bool:
        """Return whether the file is damaged, and was mended to be opened."""

    @property
    def hides_form(self) -> bool:
        """Return whether the document is a form whose content its pages do not show."""

    @property
    def has_evidence(self) -> bool:
        """Return whether the text layers read so far prove something that helps to read others correctly."""

    def text_layer(self, index: int, char_threshold: int, *, wants_layout: bool = False) -> TextLayer | None:
        """Return the page's text layer, or None if it cannot replace reading the page."""

    def is_empty(self, index: int) -> bool:
        """Return whether nothing is drawn on the page."""

    def undrawn_notes(self, index: int) -> tuple[str, ...]:
        """Return the texts of notes on a page that cannot be drawn, once the page has been looked at."""

    def check_page(self, index: int, dpi: int) -> None:
        """Refuse a page that is too large to render."""

    def render(self, index: int, dpi: int) -> PageImage:
        """Draw the page in grey."""

    def picture(self, index: int, longest_side: int) -> PagePicture:
        """Draw the page in colour, as a file."""

    def shown(self, index: int) -> ShownPage:
        """Draw the page for people to look at."""

    def anchors(self, index: int) -> str:
        """Tell the page's size, and where its text and its pictures stand, for a model that is shown it."""


@contextmanager
def open_document(path: Path, limits: DocumentLimits) -> Iterator[Document]:
    """Open a document by its content; its name is ignored.

    Nothing stays open between two pages: opening 21 MiB takes 0.3 ms, and no page depends on what another one left.

    Raises:
        EmptyDocumentError: it has no bytes.
        UnsupportedMediaError: its format is not supported.
        UnreadableDocumentError: it is broken; see :meth:`Pdf.open` and :meth:`Images.open`.
    """
    match sniff(path):
        case "pdf":
            with Pdf.open(path, limits.max_page_pixels) as pdf:
                yield pdf
        case "image":
            with Images.open(path, limits.max_page_pixels) as images:
                yield images


def sniff(path: Path) -> str:
    """Distinguish ``pdf`` from ``image`` by the first bytes."""
    with path.open("rb") as file:
        head = file.read(PDF_HEADER_BYTES - 1 + len(b"%PDF-"))
    if not head:
        raise EmptyDocumentError("the file is empty")
    if _is_image(head):
        return "image"
    if b"%PDF-" in head:
        return "pdf"
    if head.startswith(b"BM"):
        return "image"  # last: two letters are weak evidence
    raise UnsupportedMediaError("the file is not a document that is read here: PDF, PNG, JPEG, TIFF, WebP or BMP")


def _is_image(head: bytes) -> bool:
    webp = head.startswith(b"RIFF") and head[8:12] == b"WEBP"
    return webp or head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"))


def inspect(path: Path, limits: DocumentLimits, inquiry: Inquiry) -> DocumentFacts:
    """Inspect a document: its pages, and the text layers that replace reading them. One task, however many pages.

    Its streams are checked only here, as that takes 45 ms for 17 MiB: no page of an uninspected document is drawn.

    Raises:
        ExpansionBombError: a stream expands beyond reason.
        SidecarError: it cannot be opened; see :func:`open_document`.
    """
    is_damaged = sniff(path) == "pdf" and check_streams(path, limits.max_stream_bytes, pdf_repair.with_ends(path))
    with open_document(path, limits) as document:
        selection = inquiry.request.select(document.page_count)
        pack = Packed.lazily if len(selection.indices) <= FEW_PAGES else Packed
        pages = [_page_facts(document, index, limits, inquiry, pack) for index in selection.indices]
        if document.has_evidence:
            pages = [
                _page_facts(document, one.index, limits, inquiry, pack) if one.implausible_layer else one
                for one in pages
            ]
        kind = "pdf" if isinstance(document, Pdf) else "image"
        units = (
            user_units(path, selection.indices)
            if kind == "pdf" and (inquiry.wants_layout or inquiry.wants_units)
            else {}
        )
        pages = [replace(one, unit=units[one.index]) if one.index in units else one for one in pages]
        return DocumentFacts(
            kind,
            document.page_count,
            tuple(pages),
            selection.limited,
            repaired=is_damaged or document.is_repaired,
            hides_form=document.hides_form,
            size_bytes=path.stat().st_size,
            sha256=_digest(path) if inquiry.wants_digest else None,
            library=document.library,
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _page_facts(
    document: Document, index: int, limits: DocumentLimits, inquiry: Inquiry, pack: Callable[[Layout], Packed[Layout]]
) -> PageFacts:
    try:
        layer = _text_layer(document, index, inquiry) if inquiry.use_text_layer or inquiry.wants_layout else None
        says_something = layer is not None and bool(layer.text.strip())
        reads_well = layer is not None and says_something and reads_like_text(layer)
        layout = pack(layer.layout) if layer and reads_well and layer.layout else None
        if layer and reads_well and inquiry.use_text_layer:
            notes = document.undrawn_notes(index)
            text = clean(layer.text)
            certainty = of_text(text, was_read=layer.over_picture)
            return PageFacts(index, text, repaired=layer.repaired, certainty=certainty, notes=notes, layout=layout)
        document.check_page(index, limits.dpi)
        is_empty = document.is_empty(index)
        notes = document.undrawn_notes(index)
        is_implausible = says_something and inquiry.use_text_layer
        return PageFacts(index, blank=is_empty, implausible_layer=is_implausible, notes=notes, layout=layout)
    except SidecarError as error:
        return PageFacts(index, error=error)


def _text_layer(document: Document, index: int, inquiry: Inquiry) -> TextLayer | None:
    return document.text_layer(index, inquiry.char_threshold, wants_layout=inquiry.wants_layout)


def render(path: Path, index: int, limits: DocumentLimits) -> PageImage:
    """Draw one page of an inspected document in grey."""
    with open_document(path, limits) as document:
        return document.render(index, limits.dpi)


def shown(path: Path, index: int, limits: DocumentLimits) -> ShownPage:
    """Draw one page of an inspected document for people to look at."""
    with open_document(path, limits) as document:
        return document.shown(index)


def picture(  # noqa: PLR0913, PLR0917 - a worker gets all it needs at once
    path: Path, index: int, limits: DocumentLimits, longest_side: int, anchored: bool = False, digested: bool = False
) -> PagePicture:
    """Draw one page in colour for a vision model, with at most this many pixels on its longest side.

    ``anchored``: also tell what the model's prompt has a place for, see :mod:`sidecar.documents.layers.anchors`.
    ``digested``: also tell the SHA-256 of the PNG file.
    """
    with open_document(path, limits) as document:
        drawn = document.picture(index, longest_side)
        if digested:
            drawn = replace(drawn, sha256=hashlib.sha256(base64.b64decode(drawn.png_base64)).hexdigest())
        return replace(drawn, anchors=document.anchors(index)) if anchored else drawn
