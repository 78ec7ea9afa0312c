"""Lines on their way to a file: taken at once and written by a thread, so that no disk delays whoever has them."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

MAX_WAITING = 100_000
"""Lines that may wait for a disk that does not answer: some hundred bytes each."""
BATCH = 1000
"""Most lines that are written at once."""


class LineWriter:
    """Hands lines to ``append``, in their order, in a thread of its own; those that it cannot write are lost."""

    def __init__(self, append: Callable[[bytes], None], max_waiting: int = MAX_WAITING) -> None:
        self._append = append
        self._max_waiting = max_waiting
        self._waiting: deque[bytes] = deque()
        self._in_hand = 0
        self._changed = threading.Condition()
        self._ends_s: float | None = None
        self.lost = 0
        """Lines that were not written, and will not be."""
        self.failure: str | None = None
        """Why the latest lines could not be written, if so."""

    @property
    def waiting(self) -> int:
        """Lines that are not written yet."""
        return len(self._waiting) + self._in_hand

    def start(self) -> None:
        """Start the thread, which first finds out whether it can write; see ``failure``."""
        threading.Thread(target=self._work, name="line-writer", daemon=True).start()

    def put(self, lines: Sequence[bytes]) -> None:
        """Take lines, each with its end; what there is no room for is lost."""
        with self._changed:
            room = max(0, self._max_waiting - self.waiting)
            self._waiting.extend(lines[:room])
            if len(lines) > room:
                self._lose(len(lines) - room, "the disk does not keep up")
            self._changed.notify_all()

    def end(self, within_s: float) -> None:
        """Say that no line comes any more, and how long those that wait have left."""
        with self._changed:
            self._ends_s = time.monotonic() + within_s
            self._changed.notify_all()

    def finish(self) -> None:
        """Wait until all lines are written, or the time that :meth:`end` gave is over. Blocks."""
        with self._changed:
            while self.waiting and self._changed.wait(max(0, (self._ends_s or 0) - time.monotonic())):
                pass
            if self.waiting:
                self._lose(self.waiting, "the disk did not answer before the end")

    def _work(self) -> None:
        self._write([])
        while lines := self._next():
            self._write(lines)

    def _write(self, lines: Sequence[bytes]) -> None:
        try:
            self._append(b"".join(lines))
            failure = None
        except OSError as exc:
            failure = exc.strerror or type(exc).__name__
        with self._changed:
            self._in_hand = 0
            if failure:
                self._lose(len(lines), failure)
            else:
                self.failure = None
            self._changed.notify_all()

    def _next(self) -> list[bytes]:
        """Wait for lines, and take them in hand; none: it has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ends_s is not None)
            count = min(BATCH, len(self._waiting))
            lines = [self._waiting.popleft() for _ in range(count)]
            self._in_hand = count
            return lines

    def _lose(self, count: int, failure: str) -> None:
        """Count lines as lost; said in the log once, until lines are written again."""
        self.lost += count
        if self.failure is None:
            log.warning("lines of the audit file are lost", extra={"reason": failure})
        self.failure = failure
