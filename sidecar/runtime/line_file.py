"""A file of lines that several processes append to, divided by size: ``name``, ``name.1``, ``name.2`` and so on.

Whoever writes holds the file's lock, and what could not be written whole is taken back: no line is ever torn.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class LineFile:
    """At most ``files`` files of about ``max_bytes`` each; the oldest is deleted. Blocks: call it in a thread."""

    def __init__(self, path: Path, max_bytes: int, files: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._files = files

    def append(self, lines: bytes) -> None:
        """Append whole lines, or nothing.

        Raises:
            OSError: they cannot be written.
        """
        while True:
            with self._locked() as descriptor:
                size_bytes = os.fstat(descriptor).st_size
                if not self._is_current(descriptor):
                    continue  # another process has begun a new file meanwhile
                if size_bytes and size_bytes + len(lines) > self._max_bytes:
                    self._begin_another()
                    continue
                _write_whole(descriptor, lines, size_bytes)
                return

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Open the file and hold its lock; both end with the descriptor."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def _is_current(self, descriptor: int) -> bool:
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(descriptor), self._path.lstat())
        return False

    def _begin_another(self) -> None:
        """Give each file the next number, the full one last: until then nobody can begin a new one."""
        for number in range(self._files - 1, 0, -1):
            with suppress(FileNotFoundError):
                self._numbered(number - 1).replace(self._numbered(number))
        if self._files == 1:
            self._path.unlink(missing_ok=True)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path


def _write_whole(descriptor: int, lines: bytes, size_bytes: int) -> None:
    rest = memoryview(lines)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, size_bytes)
        raise
