"""Documents of jobs that are read here: fetched once each, and kept a while, since the next slice often comes soon."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.documents.spool import Spool
from sidecar.jobs.jetstream.blobs import Blobs
from sidecar.jobs.queue import document_name
from sidecar.jobs.record import Order

KEPT_S = 30.0
MOST_KEPT = 8
"""Documents that nobody reads at the moment."""


@dataclass(eq=False, slots=True)
class _Kept:
    held: AsyncExitStack = field(default_factory=AsyncExitStack)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    path: Path | None = None
    readers: int = 0
    left_at_s: float = 0.0


class DocumentShelf:
    """Fetches documents into the spool."""

    def __init__(self, blobs: Blobs, spool: Spool, max_bytes: int) -> None:
        self._blobs = blobs
        self._spool = spool
        self._max_bytes = max_bytes
        self._kept: dict[str, _Kept] = {}

    @asynccontextmanager
    async def document(self, order: Order) -> AsyncIterator[Path]:
        """Give a job's document for as long as the block.

        Raises:
            BlobMissingError: it was deleted, as the job has ended.
            JobsUnavailableError, QueueFullError, StorageError: it cannot be fetched now.
        """
        kept = self._kept.setdefault(order.ref.id, _Kept())
        kept.readers += 1
        try:
            async with kept.lock:
                if kept.path is None:
                    kept.path = await self._fetch(order, kept.held)
            yield kept.path
        finally:
            kept.readers -= 1
            kept.left_at_s = time.monotonic()
            await self.tidy()

    async def _fetch(self, order: Order, held: AsyncExitStack) -> Path:
        async with AsyncExitStack() as trying:
            file = trying.enter_context(self._spool.file(self._max_bytes))
            await self._blobs.get_file(order.ref.id, document_name(order), file)
            await held.enter_async_context(trying.pop_all())
            return file.path

    async def tidy(self) -> None:
        """Remove documents that nobody has read for a while, and the oldest of too many."""
        idle = sorted((one for one in self._kept.items() if not one[1].readers), key=lambda one: one[1].left_at_s)
        old = time.monotonic() - KEPT_S
        for at, (job, kept) in enumerate(idle):
            if kept.path is None or kept.left_at_s < old or at < len(idle) - MOST_KEPT:
                del self._kept[job]
                await kept.held.aclose()

    async def close(self) -> None:
        """Remove all."""
        for kept in self._kept.values():
            await kept.held.aclose()
        self._kept.clear()
