"""Slots: which page may be worked on now, fair between documents.

A slot is the right to have one page worked on. Slots go round the waiting documents, one page each, so that a letter
does not wait for the whole 300-page report before it.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class FairSlots:
    """Gives out at most ``slots`` slots at a time."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._free = slots
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()

    @property
    def waiting(self) -> int:
        """Pages that wait for their turn; may be asked for by another thread, so the lines are copied first."""
        return sum(map(len, list(self._waiting.values())))

    @property
    def busy(self) -> int:
        """Slots that are taken."""
        return self.slots - self._free

    @asynccontextmanager
    async def take(self, document: Hashable) -> AsyncIterator[None]:
        """Wait for a slot for a page of ``document``, and hold it for as long as the block."""
        await self._take(document)
        try:
            yield
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
                self._give_back()  # the slot was given in the moment the page was cancelled
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
