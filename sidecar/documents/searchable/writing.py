"""A document as a searchable PDF: the one door to this folder. Its functions run in worker processes only.

The service itself imports this module, to name them; what they need is imported by the worker.
"""

import mmap
from collections.abc import Sequence
from pathlib import Path

from sidecar.documents import document
from sidecar.documents.document import DocumentLimits
from sidecar.documents.searchable.pieces import Searchable, Stretch
from sidecar.evidence.page import Page

SIGNATURE = b"/ByteRange"
"""What every signature of a PDF says, and nothing else: which bytes it covers. It cannot stand in a packed object."""


def is_signed(path: Path) -> bool:
    """Return whether a document has a signature."""
    if document.sniff(path) != "pdf":
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(SIGNATURE) >= 0


def searchable(path: Path, limits: DocumentLimits, pages: Sequence[Page]) -> Searchable:
    """Make a searchable PDF of an inspected document; ``pages``, in order, are those that get a layer of text.

    A PDF to which there is nothing to add stays as it is, byte by byte.

    Raises:
        UnreadableDocumentError: it can be shown, but is too damaged to be written.
    """
    unchanged = Stretch(0, path.stat().st_size)
    if document.sniff(path) == "image":
        from sidecar.documents.searchable import pictures  # noqa: PLC0415 - it loads pikepdf

        return Searchable(pictures.as_pdf(path, limits, pages))
    if not pages:
        return Searchable([unchanged])
    from sidecar.documents.searchable import layered  # noqa: PLC0415 - it loads pikepdf

    pieces = layered.with_layers(path, pages)
    return Searchable(pieces, breaks_signature=list(pieces) != [unchanged] and is_signed(path))
