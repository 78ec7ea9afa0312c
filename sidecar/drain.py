"""The end of the service, in order: nothing new, what runs may finish for a while, then it is cancelled."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sidecar.errors import QueueFullError, ShuttingDownError

RETRY_AFTER_S = 5
"""By then another pod, or this one's successor, answers."""


class Drain:
    """Knows the documents in work, bounds their number, and ends them when their time is up."""

    def __init__(self, max_documents: int) -> None:
        self._max_documents = max_documents
        self._running: set[asyncio.Timeout] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self.stopping = False

    @property
    def running(self) -> int:
        """Documents in work."""
        return len(self._running)

    def refuse_if_full(self) -> None:
        """Refuse new work when there is no room for it, or the service has been told to stop.

        Raises:
            QueueFullError: as many documents as may be are in work.
            ShuttingDownError: the service stops.
        """
        if self.stopping:
            raise self._stopped()
        if len(self._running) >= self._max_documents:
            raise QueueFullError(f"{len(self._running)} documents are in work, which is the limit", retry_after_s=1)

    @asynccontextmanager
    async def document(self) -> AsyncIterator[None]:
        """Register one document for as long as it is worked on.

        Raises:
            QueueFullError: as many documents as may be are in work.
            ShuttingDownError: the service stops, or stopped while this one ran.
        """
        self.refuse_if_full()
        scope = asyncio.timeout(None)
        self._running.add(scope)
        self._idle.clear()
        try:
            async with scope:
                yield
        except TimeoutError as exc:
            if scope.expired():
                raise self._stopped() from exc
            raise
        finally:
            self._running.discard(scope)
            if not self._running:
                self._idle.set()

    async def finish(self, grace_s: float) -> None:
        """Stop taking documents, give the running ones ``grace_s`` seconds, then cancel them and see them end."""
        self.stopping = True
        try:
            async with asyncio.timeout(grace_s):
                await self._idle.wait()
        except TimeoutError:
            for scope in self._running:
                scope.reschedule(asyncio.get_running_loop().time())
            await self._idle.wait()

    @staticmethod
    def _stopped() -> ShuttingDownError:
        return ShuttingDownError("the service is shutting down; send the document again", retry_after_s=RETRY_AFTER_S)
