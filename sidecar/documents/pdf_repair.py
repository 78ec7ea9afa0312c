"""The second opener: QPDF, through pikepdf, rebuilds files that PDFium cannot open. Runs in worker processes only."""

import functools
import io
import logging
from pathlib import Path

from sidecar.errors import EncryptedDocumentError

logging.getLogger("pikepdf").setLevel(
    logging.CRITICAL
)  # it names the file, and that the file is broken is already known


def repaired(path: Path) -> bytes | None:
    """Return the file rebuilt, if QPDF finds pages in it: its objects are searched for without their table.

    The last file is kept, since each page opens its document anew.

    Raises:
        EncryptedDocumentError: it needs a password.
    """
    status = path.stat()
    return _rebuilt(path, status.st_ino, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=1)
def _rebuilt(path: Path, *_identity: int) -> bytes | None:
    import pikepdf  # noqa: PLC0415 - 0.2 s and 30 MiB, for the few files that need it

    rebuilt = io.BytesIO()
    try:
        with pikepdf.open(io.BytesIO(_ended(path.read_bytes()))) as pdf:
            if not pdf.pages:
                return None
            pdf.save(rebuilt)
    except pikepdf.PasswordError as exc:
        raise EncryptedDocumentError("the document is encrypted and needs a password") from exc
    except (pikepdf.PdfError, RuntimeError, ValueError, TypeError, KeyError):  # whatever a broken file leads to
        return None
    return rebuilt.getvalue()


def _ended(content: bytes) -> bytes:
    """End the stream in which a file breaks off: else QPDF takes it for empty, though most of a page may be there."""
    return content if content.rstrip().endswith(b"%%EOF") else content + b"\nendstream\nendobj\n"
