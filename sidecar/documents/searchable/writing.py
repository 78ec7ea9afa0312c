"""A document as a searchable PDF: the one door to this folder. Runs in worker processes only."""

import io
import mmap
from collections.abc import Mapping, Sequence
from pathlib import Path

import pikepdf

from sidecar.documents import document, pdf_repair
from sidecar.documents.document import DocumentLimits
from sidecar.documents.searchable import pictures, update
from sidecar.documents.searchable.graft import Grafter
from sidecar.documents.searchable.pieces import Searchable, Stretch
from sidecar.errors import UnreadableDocumentError
from sidecar.evidence.page import Page

SIGNATURE = b"/ByteRange"
"""What every signature of a PDF says, and nothing else: which bytes it covers. It cannot stand in a packed object."""
BROKEN = "the PDF can be read but not written: it is too damaged"


def is_signed(path: Path) -> bool:
    """Return whether a document has a signature."""
    if document.sniff(path) != "pdf":
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(SIGNATURE) >= 0


def searchable(path: Path, limits: DocumentLimits, pages: Sequence[Page]) -> Searchable:
    """Make a searchable PDF of an inspected document; ``pages`` are those that get a layer of text.

    A PDF to which there is nothing to add stays as it is, byte by byte.

    Raises:
        UnreadableDocumentError: it can be shown, but is too damaged to be written.
    """
    by_index = {page.number - 1: page for page in pages}
    if document.sniff(path) == "image":
        return Searchable(pictures.as_pdf(path, limits, by_index))
    unchanged = Stretch(0, path.stat().st_size)
    if not by_index:
        return Searchable([unchanged])
    try:
        return _with_layers(path, by_index, unchanged)
    except (pikepdf.PdfError, RuntimeError, ValueError, TypeError, KeyError, IndexError) as exc:
        raise UnreadableDocumentError(BROKEN) from exc


def _with_layers(path: Path, pages: Mapping[int, Page], unchanged: Stretch) -> Searchable:
    mended = pdf_repair.with_ends(path)
    with pikepdf.open(io.BytesIO(mended) if mended else path) as pdf:
        grafter = Grafter(pdf)
        first_new = pdf.make_indirect(pikepdf.Dictionary()).objgen[0] + 1
        for index, page in pages.items():
            grafter.add(index, page)
        if not grafter.changed:
            return Searchable([unchanged])
        grafter.finish()
        added = None if mended else update.appended(pdf, path, grafter.changed, first_new)
        breaks_signature = is_signed(path)
        if added is not None:
            return Searchable([unchanged, added], breaks_signature)
        return Searchable([_whole(pdf)], breaks_signature)


def _whole(pdf: pikepdf.Pdf) -> bytes:
    """Write a document anew, its streams as they are; what was encrypted stays so."""
    written = io.BytesIO()
    if pdf.is_encrypted:  # QPDF refuses to be told how streams are kept; it keeps those that are deflated
        pdf.save(written, fix_metadata_version=False, encryption=True)
    else:
        kept = pikepdf.StreamDecodeLevel.none
        pdf.save(written, fix_metadata_version=False, compress_streams=False, stream_decode_level=kept)
    return written.getvalue()
