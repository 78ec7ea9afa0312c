"""The second opener: QPDF, through pikepdf, rebuilds files that PDFium cannot open. Runs in worker processes only."""

import functools
import io
import logging
import re
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
        with pikepdf.open(io.BytesIO(_ended(with_ends(path) or path.read_bytes()))) as pdf:
            if not pdf.pages:
                return None
            pdf.save(rebuilt)
    except pikepdf.PasswordError as exc:
        raise EncryptedDocumentError("the document is encrypted and needs a password") from exc
    except (pikepdf.PdfError, RuntimeError, ValueError, TypeError, KeyError):  # whatever a broken file leads to
        return None
    return rebuilt.getvalue()


_START_OF_OBJECT = re.compile(rb"(?<!\w)\d{1,9}\s\d{1,5}\sobj\b")
_STREAM = re.compile(rb">>\s*stream\r?\n")


def with_ends(path: Path) -> bytes | None:
    """Return the content with the ends of objects and streams that it lacks; None if it lacks none.

    Where they are missing, PDFium takes one object for a part of another, and shows pages as empty. The last file is
    kept, since each page opens its document anew.
    """
    status = path.stat()
    return _with_ends(path, status.st_ino, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=1)
def _with_ends(path: Path, *_identity: int) -> bytes | None:
    content = path.read_bytes()
    if content.count(b" obj") <= content.count(b"endobj"):
        return None  # nearly every file, at the speed of memory
    starts = [found.start() for found in _START_OF_OBJECT.finditer(content)]
    pieces = [content[start:end] for start, end in zip([0, *starts], [*starts, len(content)], strict=True)]
    if all(b"endobj" in piece for piece in pieces[1:-1]):
        return None  # the last one may be broken off: that is another damage
    return b"".join((pieces[0], *map(_with_end, pieces[1:])))


def _with_end(piece: bytes) -> bytes:
    """End one object: all up to the start of the next one."""
    if b"endobj" in piece:
        return piece
    stream = _STREAM.search(piece)
    lacks_stream_end = stream is not None and b"endstream" not in piece[stream.end() :]
    body, rest = _split_tail(piece)
    return body + (b"\nendstream" if lacks_stream_end else b"") + b"\nendobj\n" + rest


def _split_tail(piece: bytes) -> tuple[bytes, bytes]:
    """Split the last object from the table and the trailer that follow it."""
    tail = re.search(rb"[\r\n](?:xref|trailer|startxref)[\s<]", piece)
    return (piece[: tail.start()], piece[tail.start() :]) if tail else (piece, b"")


def _ended(content: bytes) -> bytes:
    """End the stream in which a file breaks off: else QPDF takes it for empty, though most of a page may be there."""
    return content if content.rstrip().endswith(b"%%EOF") else content + b"\nendstream\nendobj\n"
