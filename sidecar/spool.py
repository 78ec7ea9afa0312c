"""Where documents lie while they are read: a folder of this process alone, emptied whatever happens.

Names are ours; nothing a caller sends becomes part of a path. A process that was killed leaves its folder behind, and
the next one to start on this machine clears it away: a folder belongs to the process that holds its lock.
"""

import contextlib
import fcntl
import itertools
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import IO

from sidecar.errors import QueueFullError

log = logging.getLogger(__name__)

LOCK_NAME = "lock"
RUN_PREFIX = "run-"
UNLOCKED_GRACE_S = 60
"""A folder without a lock file is being made right now, unless it is older than this."""


class SpoolError(Exception):
    """The spool folder cannot be used; the text says why."""


class Spool:
    """Makes and removes temporary files. Open it before use and close it at the end."""

    def __init__(self, folder: Path | None = None, max_bytes: int = 2**62) -> None:
        self._max_bytes = max_bytes
        self.used_bytes = 0
        self._base = folder or Path(tempfile.gettempdir()) / f"ocr-sidecar-{os.getuid()}"
        self._numbers = itertools.count(1)
        self._lock: IO[bytes] | None = None
        self.folder = self._base

    def open(self) -> None:
        """Make this process's folder, and clear away those of processes that are gone.

        Raises:
            SpoolError: the folder cannot be made, or belongs to somebody else.
        """
        try:
            self._base.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._base.stat().st_uid != os.getuid():
                raise SpoolError("the spool folder belongs to another user: set OCR_SPOOL_DIR")
            self.folder = Path(tempfile.mkdtemp(prefix=RUN_PREFIX, dir=self._base))
            self._lock = (self.folder / LOCK_NAME).open("wb")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise SpoolError(f"the spool folder cannot be used: {exc.strerror}") from exc
        self._clear_abandoned()

    def close(self) -> None:
        """Remove this process's folder and all in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock:
            self._lock.close()
        with contextlib.suppress(OSError):
            self._base.rmdir()  # unless another process has its folder there

    @contextmanager
    def file(self) -> Iterator["SpoolFile"]:
        """Open a new file for writing. Removed at the end of the block."""
        path = self.folder / f"document-{next(self._numbers)}"
        spooled = SpoolFile(self, path)
        try:
            yield spooled
        finally:
            spooled.remove()
            self.used_bytes -= spooled.size_bytes

    def take(self, size_bytes: int) -> None:
        """Count bytes about to be written.

        Raises:
            QueueFullError: all documents together would be over the limit.
        """
        if self.used_bytes + size_bytes > self._max_bytes:
            raise QueueFullError(f"documents of {self.used_bytes} bytes are in work, no more fit", retry_after_s=5)
        self.used_bytes += size_bytes

    def _clear_abandoned(self) -> None:
        for folder in self._base.glob(f"{RUN_PREFIX}*"):
            if folder != self.folder and _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)
                log.info("cleared the spool of a process that is gone")


class SpoolFile:
    """One document in the spool."""

    def __init__(self, spool: Spool, path: Path) -> None:
        self._spool = spool
        self._file = FileIO(path, "xb")
        self.path = path
        self.size_bytes = 0

    def write(self, data: bytes | bytearray) -> None:
        """Append; counted against the spool's limit."""
        self._spool.take(len(data))
        self.size_bytes += len(data)
        self._file.write(data)

    def remove(self) -> None:
        """Close the file and delete it."""
        self._file.close()
        os.unlink(self.path)  # noqa: PTH108 - once a document, and a tenth of the time of Path.unlink


def _is_abandoned(folder: Path) -> bool:
    try:
        with (folder / LOCK_NAME).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        with contextlib.suppress(OSError):
            return time.time() - folder.stat().st_mtime > UNLOCKED_GRACE_S
        return False
    except OSError:
        return False
    return True
