"""PDF documents through pypdfium2. Runs in worker processes only."""

import functools
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from sidecar.documents import pdf_ink, pdf_objects, pdf_repair, raster
from sidecar.documents.layers import notes, pdf_glyphs, pdf_text, text_layer
from sidecar.documents.layers.anchors import page_anchors
from sidecar.documents.layers.text_layer import TextLayer
from sidecar.documents.layers.thai_marks import MarkEvidence
from sidecar.documents.pages import PageImage, PagePicture, ShownPage
from sidecar.documents.pictures.scaling import MAX_PDF_SIDE, POINTS_PER_INCH, Drawing, plan_drawing
from sidecar.documents.places import page_layout
from sidecar.documents.places.frame import Frame
from sidecar.errors import (
    EmptyDocumentError,
    EncryptedDocumentError,
    PageTooLargeError,
    PageUnreadableError,
    UnreadableDocumentError,
)
from sidecar.evidence.placement import Placement

PLACEHOLDER = "please wait"
"""How the page begins that forms of Adobe LiveCycle show in other programs."""
IMAGES_TRIED = 16
"""On a page that was drawn blank, this many images are decoded again to see whether they are broken."""

_SHOWING_ANNOTATIONS = frozenset(
    {pdfium_c.FPDF_ANNOT_FREETEXT, pdfium_c.FPDF_ANNOT_STAMP, pdfium_c.FPDF_ANNOT_WIDGET, pdfium_c.FPDF_ANNOT_INK}
)
_ENCRYPTED = {
    pdfium_c.FPDF_ERR_PASSWORD: "the document is encrypted and needs a password",
    pdfium_c.FPDF_ERR_SECURITY: "the document is encrypted for the holders of keys, or in a way that is unknown",
}


class Pdf:
    """A PDF file. Pages are loaded when asked for and closed at once: memory follows the page, not the file."""

    library = f"pypdfium2-{pdfium.PYPDFIUM_INFO.version}"

    def __init__(self, document: pdfium.PdfDocument, max_page_pixels: int, *, is_repaired: bool = False) -> None:
        self._document = document
        self.is_repaired = is_repaired
        self._max_page_pixels = max_page_pixels
        self.page_count = len(document)
        self._evidence = MarkEvidence()
        self._undrawn: dict[int, tuple[str, ...]] = {}

    @classmethod
    @contextmanager
    def open(cls, path: Path, max_page_pixels: int) -> Iterator[Self]:
        """Open a PDF file whose streams were checked by :func:`sidecar.documents.pdf_bombs.check_streams`.

        Raises:
            EncryptedDocumentError: it needs a password or a key.
            EmptyDocumentError: it has no pages.
            UnreadableDocumentError: it is broken beyond what PDFium and QPDF repair.
        """
        document, is_repaired = _load(path)
        try:
            if document.get_formtype() != pdfium_c.FORMTYPE_NONE:
                document.init_forms()  # or filled-in form fields are not drawn
            if len(document) == 0:
                raise EmptyDocumentError("the document has no pages")
            yield cls(document, max_page_pixels, is_repaired=is_repaired)
        finally:
            document.close()

    @functools.cached_property
    def hides_form(self) -> bool:
        """Return whether the document is an XFA form, whose content its pages do not show."""
        form = self._document.get_formtype()
        if form not in (pdfium_c.FORMTYPE_XFA_FULL, pdfium_c.FORMTYPE_XFA_FOREGROUND):
            return False
        return form == pdfium_c.FORMTYPE_XFA_FULL or self._is_placeholder(0)

    def _is_placeholder(self, index: int) -> bool:
        """Return whether a page asks its reader to wait for another program."""
        with self._page(index) as page:
            text_page = page.get_textpage()
            try:
                return PLACEHOLDER in text_page.get_text_range().casefold()
            finally:
                text_page.close()

    @property
    def has_evidence(self) -> bool:
        """Return whether the text layers read so far prove something that helps to read others correctly."""
        return bool(self._evidence.swaps or self._evidence.before_aa)

    def text_layer(self, index: int, char_threshold: int, *, wants_layout: bool = False) -> TextLayer | None:
        """Read a page's text layer; None if the page shows more than it, or nothing of it.

        A layer of up to ``char_threshold`` characters may be only a stamp or page number: then nothing else may look
        like text.
        """
        with self._page(index) as page:
            frame = _frame(page) if wants_layout else None
            text_page = pdf_text.open_upright(page)
            try:
                text = text_page.get_text_range()
                found = pdf_objects.survey(page)
                short = text_layer.is_short(text, char_threshold)
                hidden = pdf_glyphs.NOTHING_HIDDEN
                found.may_hide_text = found.may_hide_text or pdf_text.reaches_outside(page, text_page, text)
                is_doubtful = bool(text) and (short or found.needs_a_look)
                if is_doubtful and (inch := self._points_per_inch(page, index, found)):
                    sight = pdf_ink.Sight(page, text_page, inch)
                    if not sight.is_accounted_for(found, is_short=short):
                        return None
                    hidden = sight.hidden() if found.may_hide_text else hidden
                layer = pdf_text.OpenLayer(page, text_page, hidden, found.text_objects, self._evidence)
                reading = pdf_text.read(layer, text)
                return TextLayer(
                    reading.text,
                    pdf_glyphs.mapped_share(text_page.raw, text),
                    tuple(sorted(reading.repairs)),
                    is_plausible=reading.is_plausible,
                    over_picture=found.image_share >= pdf_ink.FULL_PAGE_IMAGE_SHARE,
                    layout=page_layout.read_layout(page, text_page, reading, frame) if frame else None,
                )
            finally:
                text_page.close()

    def _points_per_inch(self, page: pdfium.PdfPage, index: int, found: pdf_objects.Survey) -> float | None:
        """Return how many points of the page make an inch; None if it cannot be drawn and is not mostly pictures.

        Raises:
            PageTooLargeError: it cannot be drawn and is mostly pictures, so that its layer is not enough.
        """
        try:
            return self._drawing(page, index, raster.INK_DPI).points_per_inch
        except PageTooLargeError:
            if found.image_share >= pdf_ink.FULL_PAGE_IMAGE_SHARE:
                raise
            return None

    def is_empty(self, index: int) -> bool:
        """Return whether nothing at all is drawn on the page, not even an annotation."""
        with self._page(index) as page:
            return not (pdfium_c.FPDFPage_CountObjects(page) or pdfium_c.FPDFPage_GetAnnotCount(page))

    def undrawn_notes(self, index: int) -> tuple[str, ...]:
        """Return the texts of a page's notes that cannot be drawn, once the page has been looked at."""
        return self._undrawn.get(index, ())

    def check_page(self, index: int, dpi: int) -> None:
        """Refuse a page that cannot be drawn, or contains an image with too many pixels."""
        with self._page(index) as page:
            self._drawing(page, index, dpi)

    def render(self, index: int, dpi: int) -> PageImage:
        """Draw a page in grey at about ``dpi`` dots per inch, rotated as the file says."""
        with self._page(index) as page:
            drawing = self._drawing(page, index, dpi)
            image = page.render(scale=drawing.scale, grayscale=True).to_pil()
            drawn = raster.page_image(image, drawing.dpi, Placement.filling(page.get_size(), image.size))
            _check_decoded(page, index, blank=raster.is_blank(drawn))
            return drawn

    def picture(self, index: int, longest_side: int) -> PagePicture:
        """Draw a page in colour with this many pixels on its longest side, rotated as the file says."""
        with self._page(index) as page:
            planned = self._drawing(page, index, raster.INK_DPI)
            width, height = page.get_size()
            scale = raster.fitted(width, height, longest_side)
            dpi = max(1, round(scale * planned.points_per_inch))
            drawn = raster.page_picture(page.render(scale=scale).to_pil(), dpi, (width, height))
            _check_decoded(page, index, blank=drawn.blank)
            return drawn

    def shown(self, index: int) -> ShownPage:
        """Draw a page for people to look at."""
        with self._page(index) as page:
            self._drawing(page, index, raster.INK_DPI)
            width, height = page.get_size()
            scale = raster.fitted(width, height, raster.SHOWN_SIDE)
            return raster.shown_page(page.render(scale=scale).to_pil())

    def anchors(self, index: int) -> str:
        """Tell the page's size, and where its text and its pictures stand."""
        with self._page(index) as page:
            return page_anchors(page)

    @contextmanager
    def _page(self, index: int) -> Iterator[pdfium.PdfPage]:
        try:
            page = self._document[index]
            is_to_flatten, undrawn = _annotations(page)
            self._undrawn.setdefault(index, undrawn)  # afterwards they are gone
            if is_to_flatten:
                page = self._flattened(page, index)
            try:
                yield page
            finally:
                page.close()
        except pdfium.PdfiumError as exc:
            raise PageUnreadableError(f"page {index + 1} is broken") from exc

    def _flattened(self, page: pdfium.PdfPage, index: int) -> pdfium.PdfPage:
        """Make filled-in fields and stamps part of the page: text extraction ignores annotations."""
        flattened = pdfium_c.FPDFPage_Flatten(page, pdfium_c.FLAT_NORMALDISPLAY)
        if flattened != pdfium_c.FLATTEN_SUCCESS:
            return page
        page.close()
        return self._document[index]

    def _drawing(self, page: pdfium.PdfPage, index: int, dpi: int) -> Drawing:
        """Decide how a page is drawn, and refuse one that cannot be: see :func:`plan_drawing`.

        Raises:
            PageTooLargeError: it is larger than a page can be, and no picture tells its real size; or an image on it
                has too many pixels.
        """
        size = page.get_size()
        if min(size) <= 0:
            raise PageUnreadableError(f"page {index + 1} has no size")
        scan_dpi = pdf_objects.scan_dpi(page)
        if max(size) > MAX_PDF_SIDE and (scan_dpi is None or pdf_objects.has_text(page)):
            inches = [side / POINTS_PER_INCH for side in size]
            raise PageTooLargeError(
                f"page {index + 1} has {inches[0]:.0f} x {inches[1]:.0f} inches, "
                f"the limit is {MAX_PDF_SIDE // POINTS_PER_INCH} on a side"
            )
        self._check_images(page, index)
        return plan_drawing(size, scan_dpi, dpi, self._max_page_pixels)

    def _check_images(self, page: pdfium.PdfPage, index: int) -> None:
        for image, _ in pdf_objects.images(page):
            width, height = pdf_objects.pixel_size(image)
            if width * height > self._max_page_pixels:
                raise PageTooLargeError(
                    f"page {index + 1} shows an image of {width} x {height} pixels, "
                    f"the limit is {self._max_page_pixels} pixels"
                )


def _frame(page: pdfium.PdfPage) -> Frame:
    """Return the part of a page that is shown, before it is turned for reading."""
    left, bottom, right, top = page.get_bbox()
    return Frame(left, bottom, right, top, page.get_rotation())


def _check_decoded(page: pdfium.PdfPage, index: int, *, blank: bool) -> None:
    if blank and _has_broken_image(page):
        raise PageUnreadableError(f"page {index + 1} shows an image that cannot be decoded")


def _load(path: Path) -> tuple[pdfium.PdfDocument, bool]:
    """Open a file, rebuilt if PDFium cannot open it or finds no page; also return whether it was rebuilt.

    PDFium is called directly: its last error is valid only after a failed call, and pypdfium2 also reads it when a
    document has no pages, and gets the error of an earlier document.
    """
    lacks_ends = pdf_repair.with_ends(path) is not None
    if lacks_ends and (rebuilt := pdf_repair.repaired(path)):
        return pdfium.PdfDocument(rebuilt), True
    handle = pdfium_c.FPDF_LoadDocument(os.fsencode(path), None)
    error = None if handle else pdfium_c.FPDF_GetLastError()
    if error in _ENCRYPTED:
        raise EncryptedDocumentError(_ENCRYPTED[error])
    if handle and pdfium_c.FPDF_GetPageCount(handle):
        return pdfium.PdfDocument(handle), False
    rebuilt = pdf_repair.repaired(path)
    if rebuilt:
        if handle:
            pdfium_c.FPDF_CloseDocument(handle)
        with suppress(pdfium.PdfiumError):
            return pdfium.PdfDocument(rebuilt), True
    elif handle:
        return pdfium.PdfDocument(handle), False
    raise UnreadableDocumentError("the PDF is broken and cannot be opened")


def _annotations(page: pdfium.PdfPage) -> tuple[bool, tuple[str, ...]]:
    """Return whether annotations show something on the page, and the texts of notes that cannot be drawn.

    Notes without an appearance get one.
    """
    found, undrawn = False, list[str]()
    for at in range(min(pdfium_c.FPDFPage_GetAnnotCount(page), pdf_objects.OBJECTS_LOOKED_AT)):
        annotation = pdfium_c.FPDFPage_GetAnnot(page, at)
        subtype = pdfium_c.FPDFAnnot_GetSubtype(annotation)
        if subtype == pdfium_c.FPDF_ANNOT_FREETEXT:
            undrawn.append(notes.give_appearance(annotation))
        pdfium_c.FPDFPage_CloseAnnot(annotation)
        found = found or subtype in _SHOWING_ANNOTATIONS
    return found, tuple(filter(None, undrawn))


def _has_broken_image(page: pdfium.PdfPage) -> bool:
    """Return whether one of the page's first images cannot be decoded; PDFium silently draws nothing for it."""
    for image, _ in itertools.islice(pdf_objects.images(page), IMAGES_TRIED):
        bitmap = pdfium_c.FPDFImageObj_GetBitmap(image)
        if not bitmap:
            return True
        pdfium_c.FPDFBitmap_Destroy(bitmap)
    return False
