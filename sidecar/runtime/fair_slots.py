"""Slots: which page may be worked on now, fair between callers, and between the documents of each.

A slot is the right to have one page worked on. Slots go round the waiting callers, one page each, so that none waits
for all that another sends; and round each caller's documents, so that a letter does not wait for the whole 300-page
report before it.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

_Turn = asyncio.Future[None]
_Lines = OrderedDict[Hashable, deque[_Turn]]
"""The waiting pages of each document of one caller; the document whose turn is next comes first."""


class FairSlots:
    """Gives out at most ``slots`` slots at a time."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._free = slots
        self._waiting: OrderedDict[Hashable, _Lines] = OrderedDict()

    @property
    def waiting(self) -> int:
        """Pages that wait for their turn; may be asked for by another thread, so the lines are copied first."""
        return sum(len(line) for lines in list(self._waiting.values()) for line in list(lines.values()))

    @property
    def busy(self) -> int:
        """Slots that are taken."""
        return self.slots - self._free

    @asynccontextmanager
    async def take(self, document: Hashable, caller: Hashable = None) -> AsyncIterator[None]:
        """Wait for a slot for a page of ``document``, which ``caller`` sent, and hold it for as long as the block."""
        await self._take(document, caller)
        try:
            yield
        finally:
            self._give_back()

    async def _take(self, document: Hashable, caller: Hashable) -> None:
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, OrderedDict()).setdefault(document, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back()  # the slot was given in the moment the page was cancelled
            else:
                self._leave(document, caller, turn)
            raise

    def _leave(self, document: Hashable, caller: Hashable, turn: _Turn) -> None:
        lines = self._waiting.get(caller, OrderedDict())
        line = lines.get(document)
        if line and turn in line:
            line.remove(turn)
            if not line:
                del lines[document]
            if not lines:
                del self._waiting[caller]

    def _give_back(self) -> None:
        while self._waiting:
            turn = self._next_turn()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _next_turn(self) -> _Turn:
        """Take the next page out; its caller, and its document among the caller's, go to the end of the round."""
        caller, lines = self._waiting.popitem(last=False)
        document, line = lines.popitem(last=False)
        turn = line.popleft()
        if line:
            lines[document] = line
        if lines:
            self._waiting[caller] = lines
        return turn
