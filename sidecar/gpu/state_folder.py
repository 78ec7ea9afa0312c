"""Files that outlive the process: written whole or not at all, in one folder, each with a version of its own.

A folder that cannot be written, and a file that cannot be understood, cost what they would have remembered, and
nothing else. What the files mean is their owners' business.
"""

import asyncio
import fcntl
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Generic, ParamSpec, TypeVar

from pydantic import BaseModel, ValidationError

from sidecar.runtime.blocking_pool import BlockingPool, PoolFullError

log = logging.getLogger(__name__)

M = TypeVar("M", bound=BaseModel)
P = ParamSpec("P")
T = TypeVar("T")

WAIT_S = 5.0
"""A folder on a network file system that does not answer for so long counts as one that cannot be used."""
MAX_BYTES = 4 * 1024 * 1024
HANGS = "the state folder does not answer"


class StateFolder:
    """A folder for small files, used in threads of its own. ``failure`` says why it cannot be used, if so."""

    def __init__(self, folder: Path, pool: BlockingPool) -> None:
        self._folder = folder
        self._pool = pool
        self._locks: dict[str, int] = {}
        self.failure: str | None = None

    async def open(self) -> None:
        """Make the folder, and find out whether it can be written; see ``failure``."""
        await self._guarded(self._try_out)

    async def read(self, name: str) -> bytes | None:
        """Return a file's content, which is empty if there is no file; None if it cannot be read."""
        return await self._guarded(self._read, name)

    async def write(self, name: str, content: bytes) -> bool:
        """Replace a file, so that a crash leaves the old or the new one; tell whether it is on the disk."""
        if not await self._guarded(self._write, name, content):
            return False
        self.failure = None
        return True

    async def lock(self, name: str) -> bool:
        """Take a lock for this process's life; False if another process has it. A dead process holds none."""
        return name in self._locks or bool(await self._guarded(self._lock, name))

    def close(self) -> None:
        """Give the locks back."""
        for descriptor in self._locks.values():
            os.close(descriptor)
        self._locks.clear()

    async def _guarded(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Do it in a thread; None if it fails, and ``failure`` says why. Logged once."""
        try:
            async with asyncio.timeout(WAIT_S):
                return await self._pool.run(call, *args, **kwargs)
        except (TimeoutError, PoolFullError):
            self._fail(HANGS)
        except OSError as exc:
            self._fail(f"the state folder cannot be used: {exc.strerror}")
        return None

    def _fail(self, failure: str) -> None:
        if self.failure is None:
            log.warning("what should outlive this process cannot be kept", extra={"reason": failure})
        self.failure = failure

    def _try_out(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write(".written", b"")

    def _read(self, name: str) -> bytes:
        with suppress(FileNotFoundError), (self._folder / name).open("rb") as file:
            return file.read(MAX_BYTES)
        return b""

    def _write(self, name: str, content: bytes) -> bool:
        partial = self._folder / f".{name}.{os.getpid()}.partial"
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._folder / name)
        self._sync_folder()
        return True

    def _sync_folder(self) -> None:
        """Have the new name on the disk, too."""
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _lock(self, name: str) -> bool:
        descriptor = os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._locks[name] = descriptor
        return True


class StateFile(Generic[M]):
    """One file of the folder, as a value of one model; without a folder nothing is kept."""

    def __init__(self, folder: StateFolder | None, name: str, kind: type[M]) -> None:
        self._folder = folder
        self._name = name
        self._kind = kind
        self.is_read = True
        """Whether the folder gave its answer to the last :meth:`load`; else nobody knows what was saved."""

    async def load(self) -> M | None:
        """Return what was saved; None if nothing was, or nothing that can be understood: that is set aside."""
        content = await self._folder.read(self._name) if self._folder else b""
        self.is_read = content is not None
        if not content or self._folder is None:
            return None
        try:
            return self._kind.model_validate_json(content)
        except ValidationError as exc:
            log.warning("a state file cannot be understood", extra={"file": self._name, "errors": exc.error_count()})
            await self._folder.write(f"{self._name}.unreadable", content)
            return None

    async def save(self, value: M) -> bool:
        """Keep it; tell whether it is on the disk."""
        content = value.model_dump_json(indent=1).encode()
        return self._folder is not None and await self._folder.write(self._name, content)
