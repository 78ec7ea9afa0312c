"""A PDF with layers of text on some of its pages. Runs in worker processes only, which alone load pikepdf."""

import io
from collections.abc import Iterable
from pathlib import Path

import pikepdf

from sidecar.documents import pdf_repair
from sidecar.documents.searchable import update
from sidecar.documents.searchable.graft import Grafter
from sidecar.documents.searchable.pieces import Piece, Stretch
from sidecar.errors import UnreadableDocumentError
from sidecar.evidence.page import Page

BROKEN = "the PDF can be read but not written: it is too damaged"


def with_layers(path: Path, pages: Iterable[Page]) -> list[Piece]:
    """Put words on pages, one after the other; without any, the file stays as it is.

    Raises:
        UnreadableDocumentError: it can be shown, but is too damaged to be written.
    """
    try:
        return _with_layers(path, pages)
    except (pikepdf.PdfError, RuntimeError, ValueError, TypeError, KeyError, IndexError) as exc:
        raise UnreadableDocumentError(BROKEN) from exc


def _with_layers(path: Path, pages: Iterable[Page]) -> list[Piece]:
    unchanged, mended = Stretch(0, path.stat().st_size), pdf_repair.with_ends(path)
    with pikepdf.open(io.BytesIO(mended) if mended else path) as pdf:
        grafter = Grafter(pdf)
        first_new = pdf.make_indirect(pikepdf.Dictionary()).objgen[0] + 1
        for page in pages:
            grafter.add(page.number - 1, page)
        if not grafter.changed:
            return [unchanged]
        grafter.finish()
        added = None if mended else update.appended(pdf, path, grafter.changed, first_new)
        return [_whole(pdf)] if added is None else [unchanged, added]


def _whole(pdf: pikepdf.Pdf) -> bytes:
    """Write a document anew, its streams as they are; what was encrypted stays so."""
    written = io.BytesIO()
    if pdf.is_encrypted:  # QPDF refuses to be told how streams are kept; it keeps those that are deflated
        pdf.save(written, fix_metadata_version=False, encryption=True)
    else:
        kept = pikepdf.StreamDecodeLevel.none
        pdf.save(written, fix_metadata_version=False, compress_streams=False, stream_decode_level=kept)
    return written.getvalue()
