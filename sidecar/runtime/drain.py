"""Graceful shutdown: no new work, running work may finish for a while, then it is cancelled."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from sidecar.errors import QueueFullError, ShuttingDownError

RETRY_AFTER_S = 5
"""By then another pod, or this one's successor, answers."""


class Drain:
    """Tracks documents that arrive and documents in work, limits the latter, and cancels all after the grace period."""

    def __init__(self, max_documents: int) -> None:
        self._max_documents = max_documents
        self._scopes: set[asyncio.Timeout] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self.running = 0
        """Documents in work."""
        self.kept: frozenset[object] = frozenset()
        """Connections that were open when draining began. Each gets one more answer, its last."""
        self.draining = False
        """New work on any other connection is refused."""
        self.began = asyncio.Event()
        """Set as soon as draining begins."""
        self.stopping = False
        """No new work is taken at all."""

    def refuse_if_full(self) -> None:
        """Refuse new work when there is no room for it, or the service has been told to stop.

        Raises:
            QueueFullError: as many documents as may be are in work.
            ShuttingDownError: the service stops.
        """
        if self.stopping:
            raise self._stopped()
        if self.running >= self._max_documents:
            raise QueueFullError(f"{self.running} documents are in work, which is the limit", retry_after_s=1)

    def start(self, connections: Iterable[object]) -> None:
        """Start draining; ``connections`` are those that are open now."""
        self.kept = frozenset(connections)
        self.draining = True
        self.began.set()

    def refuse_new_connection(self, connection: object) -> None:
        """Refuse work on a connection that was not open when draining began.

        Raises:
            ShuttingDownError: it was not.
        """
        if self.draining and connection not in self.kept:
            raise self._stopped()

    @asynccontextmanager
    async def arriving(self) -> AsyncIterator[None]:
        """Hold up the end of the service while a document arrives; it takes no place of those in work.

        Raises:
            QueueFullError, ShuttingDownError: as for :meth:`refuse_if_full`, or it took too long while stopping.
        """
        self.refuse_if_full()
        async with self._scope():
            yield

    @asynccontextmanager
    async def document(self) -> AsyncIterator[None]:
        """Hold up the end of the service while a document that has arrived is worked on.

        Raises:
            QueueFullError: as many documents as may be are in work.
            ShuttingDownError: it took too long while stopping.
        """
        if self.running >= self._max_documents:
            raise QueueFullError(f"{self.running} documents are in work, which is the limit", retry_after_s=1)
        self.running += 1
        try:
            async with self._scope():
                yield
        finally:
            self.running -= 1

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Hold up the end of the service while a request is answered that takes no document's place.

        Raises:
            ShuttingDownError: the service stops, or it took too long while stopping.
        """
        if self.stopping:
            raise self._stopped()
        async with self._scope():
            yield

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Hold up the end of the service while an answer is on its way; it takes no place of those in work.

        Raises:
            ShuttingDownError: it took too long while stopping.
        """
        async with self._scope():
            yield

    async def finish(self, grace_s: float) -> None:
        """Stop taking documents, give those that are here ``grace_s`` seconds, then cancel them and see them end."""
        self.draining = self.stopping = True
        self.began.set()
        try:
            async with asyncio.timeout(grace_s):
                await self._all_ended()
        except TimeoutError:
            for scope in self._scopes:
                scope.reschedule(asyncio.get_running_loop().time())
            await self._all_ended()

    async def _all_ended(self) -> None:
        while self._scopes:  # again, since a document that has just arrived goes on to be worked on
            await self._idle.wait()

    @asynccontextmanager
    async def _scope(self) -> AsyncIterator[None]:
        scope = asyncio.timeout(None)
        self._scopes.add(scope)
        self._idle.clear()
        try:
            async with scope:
                yield
        except TimeoutError as exc:
            if scope.expired():
                raise self._stopped() from exc
            raise
        finally:
            self._scopes.discard(scope)
            if not self._scopes:
                self._idle.set()

    @staticmethod
    def _stopped() -> ShuttingDownError:
        return ShuttingDownError("the service is shutting down; send the request again", retry_after_s=RETRY_AFTER_S)
