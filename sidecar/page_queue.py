"""The queue of pages: bounded, and fair between documents.

A slot is the right to have one page read. Slots go round the waiting documents, one page each, so that a letter is not
kept waiting by the 300-page report before it.
"""

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager

from sidecar.errors import QueueFullError

PACE_WEIGHT = 0.2
"""Share of the newest page in the running mean of seconds a page: about the last ten pages count."""
MAX_RETRY_AFTER_S = 600


class PageQueue:
    """Hands out slots. ``max_pages`` bounds the pages admitted and not yet done."""

    def __init__(self, slots: int, max_pages: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._free = slots
        self._slots = slots
        self._max_pages = max_pages
        self._clock = clock
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()
        self._page_s = 1.0
        self.admitted = 0

    @property
    def waiting(self) -> int:
        """Pages that wait for a slot."""
        return sum(map(len, self._waiting.values()))

    @property
    def busy(self) -> int:
        """Slots in use."""
        return self._slots - self._free

    @property
    def is_full(self) -> bool:
        """Tell whether not even one page more would be admitted."""
        return self.admitted >= self._max_pages

    @property
    def retry_after_s(self) -> int:
        """Seconds until the pages admitted now should be done, at the recent pace."""
        return max(1, min(MAX_RETRY_AFTER_S, math.ceil(self.admitted * self._page_s / self._slots)))

    def refuse_if_full(self) -> None:
        """Refuse before a body is received that would be refused after."""
        if self.is_full:
            raise self._full(1)

    @contextmanager
    def admit(self, pages: int) -> Iterator[None]:
        """Count a document's pages in for as long as it is worked on.

        Raises:
            QueueFullError: they do not fit. One document is let in whatever its size when nothing else is there.
        """
        if self.admitted and self.admitted + pages > self._max_pages:
            raise self._full(pages)
        self.admitted += pages
        try:
            yield
        finally:
            self.admitted -= pages

    @asynccontextmanager
    async def slot(self, document: Hashable) -> AsyncIterator[None]:
        """Wait for this document's turn, and hold a slot."""
        await self._take(document)
        started = self._clock()
        try:
            yield
            self._page_s += PACE_WEIGHT * (self._clock() - started - self._page_s)
        finally:
            self._give_back()

    async def _take(self, document: Hashable) -> None:
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(document, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back()  # the slot came in the moment its page was given up
            else:
                self._leave(document, turn)
            raise

    def _leave(self, document: Hashable, turn: "asyncio.Future[None]") -> None:
        line = self._waiting.get(document)
        if line and turn in line:
            line.remove(turn)
            if not line:
                del self._waiting[document]

    def _give_back(self) -> None:
        while self._waiting:
            document, line = self._waiting.popitem(last=False)
            turn = line.popleft()
            if line:
                self._waiting[document] = line  # to the end of the round
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _full(self, pages: int) -> QueueFullError:
        wait_s = self.retry_after_s
        return QueueFullError(
            f"{self.admitted} pages are in work, {pages} more do not fit; the limit is {self._max_pages}",
            retry_after_s=wait_s,
        )
