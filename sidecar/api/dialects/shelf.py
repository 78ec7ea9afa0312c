"""Files that were uploaded to be read a little later: kept for a while in the spool, each for its own key alone."""

import asyncio
import secrets
import time
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sidecar.documents.spool import Spool, SpoolFile
from sidecar.errors import QueueFullError, QuotaExhaustedError, StorageError, UploadNotFoundError

MAX_FILES = 1000
MAX_FILES_EACH = 100
"""Of one key: who removes its files after it has read them never has as many."""
RETRY_AFTER_S = 30
TIDY_EACH_S = 1.0
COPY_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file on the shelf. ``ends_s`` is when it leaves, on the monotonic clock; ``held`` is the file's end."""

    id: str
    name: str
    owner: Hashable
    path: Path
    size_bytes: int
    ends_s: float
    held: ExitStack


class Shelf:
    """Keeps files for ``keep_s`` seconds; together they have at most ``max_bytes``."""

    def __init__(self, spool: Spool, keep_s: float, max_bytes: int) -> None:
        self._spool = spool
        self._max_bytes = max_bytes
        self._files: dict[str, KeptFile] = {}
        self.keep_s = keep_s

    @property
    def size_bytes(self) -> int:
        """Bytes of all files on the shelf."""
        return sum(one.size_bytes for one in self._files.values())

    def refuse_if_full(self, caller: Hashable) -> None:
        """Refuse a file before it is received that would be refused afterwards.

        Raises:
            QueueFullError: there is no room for a further file.
            QuotaExhaustedError: the caller has as many as it may.
        """
        self._tidy()
        if sum(one.owner == caller for one in self._files.values()) >= MAX_FILES_EACH:
            raise QuotaExhaustedError(
                f"this API key has {MAX_FILES_EACH} files here, which is the limit; remove those that were read",
                retry_after_s=RETRY_AFTER_S,
            )
        if len(self._files) >= MAX_FILES:
            raise QueueFullError(f"{MAX_FILES} files are kept, which is the limit", retry_after_s=RETRY_AFTER_S)

    @contextmanager
    def receiving(self, max_bytes: int) -> Iterator[tuple[SpoolFile, ExitStack]]:
        """Open a file to receive into; it is removed at the end of the block unless :meth:`keep` took its stack."""
        with ExitStack() as held:
            yield held.enter_context(self._spool.file(max_bytes)), held

    def keep(self, file: SpoolFile, held: ExitStack, name: str, caller: Hashable) -> KeptFile:
        """Put a file that was received on the shelf.

        Raises:
            QueueFullError: it does not fit beside the others.
        """
        self.refuse_if_full(caller)
        if self.size_bytes + file.size_bytes > self._max_bytes:
            raise QueueFullError(
                f"the files that are kept have {self.size_bytes} bytes, no more fit", retry_after_s=RETRY_AFTER_S
            )
        file.close()  # a thousand descriptors would be missed elsewhere
        ends_s = time.monotonic() + self.keep_s
        kept = KeptFile(secrets.token_hex(16), name, caller, file.path, file.size_bytes, ends_s, held.pop_all())
        self._files[kept.id] = kept
        return kept

    def find(self, file_id: str, caller: Hashable) -> KeptFile:
        """Return a caller's file.

        Raises:
            UploadNotFoundError: there is none of that id, it was removed, or it is another key's.
        """
        self._tidy()
        kept = self._files.get(file_id)
        if kept is None or kept.owner != caller:
            raise UploadNotFoundError(
                f"there is no file of the id {file_id[:40]!r}; files are kept for {self.keep_s:g} s"
            )
        return kept

    def drop(self, file_id: str, caller: Hashable) -> None:
        """Remove a caller's file.

        Raises:
            UploadNotFoundError: as for :meth:`find`.
        """
        self._remove(self.find(file_id, caller))

    async def copy(self, file_id: str, caller: Hashable, target: SpoolFile) -> int:
        """Copy a caller's file, so that it may leave while it is read; return its size in bytes.

        Raises:
            UploadNotFoundError: as for :meth:`find`.
            StorageError, QueueFullError: it cannot be copied now.
        """
        kept = self.find(file_id, caller)
        try:
            await asyncio.to_thread(_copy, kept.path, target)
        except FileNotFoundError as exc:  # it left while a thread was waited for
            raise UploadNotFoundError(f"the file of the id {file_id[:40]!r} was removed") from exc
        except OSError as exc:
            raise StorageError("the file cannot be read now", retry_after_s=RETRY_AFTER_S) from exc
        return kept.size_bytes

    async def keep_tidy(self) -> None:
        """Remove files whose time is over, whether or not anybody calls."""
        while True:
            await asyncio.sleep(TIDY_EACH_S)
            self._tidy()

    def clear(self) -> None:
        """Remove all."""
        for kept in list(self._files.values()):
            self._remove(kept)

    def _tidy(self) -> None:
        now_s = time.monotonic()
        for kept in [one for one in self._files.values() if one.ends_s <= now_s]:
            self._remove(kept)

    def _remove(self, kept: KeptFile) -> None:
        del self._files[kept.id]
        kept.held.close()


def _copy(path: Path, target: SpoolFile) -> None:
    with path.open("rb") as source:
        while data := source.read(COPY_BYTES):
            target.write(data)
