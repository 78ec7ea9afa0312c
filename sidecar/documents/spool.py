"""Where documents are kept while they are read: a folder of this process alone, emptied whatever happens.

File names are our own; nothing a caller sends becomes part of a path. A killed process leaves its folder behind, and
the next one to start on this machine removes it: a folder belongs to the process that holds its lock.
"""

import contextlib
import fcntl
import itertools
import logging
import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from sidecar.errors import QueueFullError, StorageError, TooLargeError

log = logging.getLogger(__name__)

UNBOUNDED = 2**62
RUN_PREFIX = "run-"
NEW_PREFIX = "new-"
NEW_GRACE_S = 60
"""A folder is locked before it gets its final name; one not renamed within this time belongs to a process that died."""
RETRY_AFTER_S = 30
"""Space on a disk, or in the table of files, is freed when other documents are done."""
OPEN_TRIES = 20
"""Another process may end and remove the common folder in between."""


class SpoolError(Exception):
    """The spool folder cannot be used; the text says why."""


class Spool:
    """Makes and removes temporary files. Open it before use and close it at the end."""

    def __init__(self, folder: Path | None = None, max_bytes: int = UNBOUNDED) -> None:
        self._base = folder or Path(tempfile.gettempdir()) / f"ocr-sidecar-{os.getuid()}"
        self._max_bytes = max_bytes
        self._numbers = itertools.count(1)
        self._lock: int | None = None
        self._counting = threading.Lock()
        self.used_bytes = 0
        self.folder = self._base

    def open(self) -> None:
        """Make this process's folder, and remove those of processes that have ended.

        Raises:
            SpoolError: the folder cannot be made, or belongs to somebody else.
        """
        for last in (False,) * (OPEN_TRIES - 1) + (True,):
            try:
                self._make_folder()
                break
            except (FileNotFoundError, FileExistsError) as exc:
                if last:
                    raise SpoolError("the spool folder cannot be used: others keep removing it") from exc
            except OSError as exc:
                raise SpoolError(f"the spool folder cannot be used: {exc.strerror}") from exc
        self._clear_abandoned()

    def close(self) -> None:
        """Remove this process's folder and all in it."""
        if self._lock is None:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)
        self._lock = None
        with contextlib.suppress(OSError):
            self._base.rmdir()  # unless another process has its folder there

    @contextmanager
    def file(self, max_bytes: int = UNBOUNDED) -> Iterator["SpoolFile"]:
        """Open a new file for a document of at most ``max_bytes``. Removed at the end of the block.

        Raises:
            StorageError: no descriptor, no inode, or another failure of the file system.
        """
        try:
            spooled = SpoolFile(self, self.folder / f"document-{next(self._numbers)}", max_bytes)
        except OSError as exc:
            raise StorageError("the document cannot be stored now", retry_after_s=RETRY_AFTER_S) from exc
        try:
            yield spooled
        finally:
            spooled.remove()

    def count(self, size_bytes: int) -> None:
        """Add to the bytes in use, or subtract when negative.

        Raises:
            QueueFullError: all documents together would be over the limit.
        """
        with self._counting:
            if size_bytes > 0 and self.used_bytes + size_bytes > self._max_bytes:
                raise QueueFullError(
                    f"the documents in work have {self.used_bytes} bytes, no more fit", retry_after_s=5
                )
            self.used_bytes += size_bytes

    def _make_folder(self) -> None:
        self._base.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = self._base.lstat()
        if stat.S_ISLNK(about.st_mode):  # anybody can put one into /tmp; its target would be cleared as if ours
            raise SpoolError("the spool folder is a link: set OCR_SPOOL_DIR to a folder itself")
        if about.st_uid != os.getuid():
            raise SpoolError("the spool folder belongs to another user: set OCR_SPOOL_DIR")
        new = Path(tempfile.mkdtemp(prefix=NEW_PREFIX, dir=self._base))
        lock = os.open(new, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # The folder itself is locked: it always exists, and cleaners of /tmp leave it alone (systemd-tmpfiles).
            # Shared, as network file systems grant no other lock on a folder.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            self.folder = new.rename(self._base / (RUN_PREFIX + new.name.removeprefix(NEW_PREFIX)))
        except OSError:
            os.close(lock)
            raise
        self._lock = lock

    def _clear_abandoned(self) -> None:
        for folder in self._base.iterdir():
            if folder != self.folder and _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)
                log.info("cleared the spool of a process that is gone")


class SpoolFile:
    """One document in the spool. Threads may write to it, even for a moment after it was removed."""

    def __init__(self, spool: Spool, path: Path, max_bytes: int) -> None:
        self._spool = spool
        self._file = FileIO(path, "xb")
        self._max_bytes = max_bytes
        self._changing = threading.Lock()
        self.path = path
        self.size_bytes = 0

    def write(self, data: bytes | bytearray) -> None:
        """Append all of ``data``.

        Raises:
            TooLargeError: the document is over its limit.
            QueueFullError: all documents together are over theirs.
            StorageError: it cannot be written, or was removed meanwhile.
        """
        with self._changing:
            if self._file.closed:
                raise StorageError("the document was removed meanwhile")
            if self.size_bytes + len(data) > self._max_bytes:
                raise TooLargeError(f"the document has more than {self._max_bytes} bytes, which is the limit")
            self._spool.count(len(data))
            self.size_bytes += len(data)
            self._write_all(memoryview(data))

    def close(self) -> None:
        """Free its descriptor; the file stays until it is removed."""
        with self._changing:
            self._file.close()

    def remove(self) -> None:
        """Close the file and delete it."""
        with self._changing:
            self._file.close()
            self._spool.count(-self.size_bytes)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)  # noqa: PTH108 - once a document, and a tenth of the time of Path.unlink

    def _write_all(self, rest: memoryview) -> None:
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as exc:
            raise StorageError("the document cannot be stored now", retry_after_s=RETRY_AFTER_S) from exc


def _is_abandoned(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        if folder.name.startswith(NEW_PREFIX):
            return time.time() - folder.stat().st_mtime > NEW_GRACE_S
        if folder.name.startswith(RUN_PREFIX):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            finally:
                os.close(lock)
            return True
    return False
