"""Downloads one file whose content is known beforehand by its hash."""

import hashlib
import http.client
import tempfile
import urllib.request
from pathlib import Path
from typing import IO

CHUNK_BYTES = 1 << 20
STALL_S = 60.0
"""Longest wait for the next bytes, in seconds."""


class DownloadError(Exception):
    """The file cannot be downloaded, or is not the expected one; the text says why."""


def is_file(path: Path, sha256: str) -> bool:
    """Return whether a file is there, with this content."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def download(url: str, path: Path, sha256: str, max_bytes: int) -> None:
    """Download a file to ``path``, whose folder is made. An existing file is replaced, and only by the right one.

    Raises:
        DownloadError: there is no answer, its content does not have this ``sha256`` or is longer than ``max_bytes``,
            or it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as partial:
            try:
                _receive(url, partial, sha256, max_bytes)
                partial.close()
                Path(partial.name).replace(path)
            except BaseException:
                Path(partial.name).unlink(missing_ok=True)
                raise
    except (OSError, ValueError, http.client.HTTPException) as exc:
        raise DownloadError(f"{url} cannot be downloaded to {path}: {exc}") from exc


def _receive(url: str, partial: IO[bytes], sha256: str, max_bytes: int) -> None:
    seen, size = hashlib.sha256(), 0
    with urllib.request.urlopen(url, timeout=STALL_S) as answer:  # noqa: S310 - the settings accept http alone
        while chunk := answer.read(CHUNK_BYTES):
            size += len(chunk)
            if size > max_bytes:
                raise DownloadError(f"{url} gives more than {max_bytes} bytes, which is not the file that is expected")
            seen.update(chunk)
            partial.write(chunk)
    if seen.hexdigest() != sha256:
        raise DownloadError(f"{url} gives another file: its SHA-256 is {seen.hexdigest()}, expected is {sha256}")
