"""How the queue is: what operators see of it, looked up now and then, and kept in between."""

import asyncio
from contextlib import suppress

from sidecar.errors import JobsUnavailableError
from sidecar.jobs.queue import Queue

LOOK_S = 5.0


class JobsState:
    """Numbers of the queue, of which each is a few seconds old; they stay where the queue cannot be asked."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self.pages_due = 0
        self.oldest_due_s = 0.0

    @property
    def failure(self) -> str | None:
        """Why the queue cannot be used now; None while it can."""
        return self._queue.connection.failure

    async def keep_looking(self) -> None:
        """Look until cancelled."""
        while True:
            with suppress(JobsUnavailableError):
                self.pages_due = await self._queue.due.pages()
                self.oldest_due_s = await self._queue.due.oldest_s()
            await asyncio.sleep(LOOK_S)
