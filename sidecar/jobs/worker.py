"""Takes turns for as long as the service runs, a few at a time; gives back what it holds when the service stops."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress

from sidecar.errors import JobsUnavailableError
from sidecar.jobs.jetstream.connection import listening
from sidecar.jobs.jetstream.streams import turns_subject
from sidecar.jobs.jetstream.turns import TakenTurn, holding
from sidecar.jobs.lanes import LaneOrder
from sidecar.jobs.queue import CANCELS, Queue
from sidecar.jobs.record import Ref
from sidecar.jobs.shelf import DocumentShelf
from sidecar.jobs.steps import Steps
from sidecar.jobs.turn import Step

log = logging.getLogger(__name__)

IDLE_S = 1.0
"""A turn is heard when it is put into the queue; one that is handed out again is found by looking so often."""
LOOK_S = 5.0
"""How often it is looked whether a job that is worked on was cancelled: a pod that is cut off does not hear it."""
TIDY_S = 30.0


class Worker:
    """Works on jobs: ``slices`` of them at a time."""

    def __init__(self, queue: Queue, steps: Steps, shelf: DocumentShelf, slices: int) -> None:
        self._queue = queue
        self._steps = steps
        self._shelf = shelf
        self._slots = slices
        self._lanes = LaneOrder()
        self._due = asyncio.Event()
        self._running: defaultdict[Ref, set[asyncio.Task[float | None]]] = defaultdict(set)
        self.parked = 0
        """Messages of another version that wait for a pod that can read them."""

    async def run(self) -> None:
        """Work until cancelled; what is held then is given back."""
        slots = [asyncio.create_task(_forever(self._serve)) for _ in range(self._slots)]
        others = [asyncio.create_task(_forever(work)) for work in (self._listen, self._look, self._tidy)]
        try:
            await asyncio.gather(*slots, *others)
        finally:
            for task in (*slots, *others):
                task.cancel()
            await asyncio.gather(*slots, *others, return_exceptions=True)
            await self._shelf.close()

    async def _serve(self) -> None:
        while True:
            await self._queue.connection.ready.wait()
            self._due.clear()
            try:
                taken = await self._take()
            except JobsUnavailableError:
                await asyncio.sleep(IDLE_S)
                continue
            if taken is None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._due.wait(), IDLE_S)
            else:
                if taken.turn.step is Step.READ:
                    self._lanes.took(taken.lane)
                await self._work(taken)

    async def _take(self) -> TakenTurn | None:
        """Take a turn; what is handed out while this pod stops is given back at once."""
        taking = asyncio.create_task(self._queue.turns.take(self._lanes.next()))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            with suppress(JobsUnavailableError):
                if taken := await taking:
                    await taken.later()
            raise

    async def _work(self, taken: TakenTurn) -> None:
        job = taken.turn.ref
        task = asyncio.create_task(self._steps.take(taken))
        self._running[job].add(task)
        after_s: float | None = IDLE_S
        try:
            async with holding(taken):
                after_s = await task
        except asyncio.CancelledError:
            after_s = 0.0
            if (mine := asyncio.current_task()) and mine.cancelling():
                raise
        except JobsUnavailableError:
            after_s = IDLE_S
        except Exception:
            log.exception("a step of a job failed")
            with suppress(JobsUnavailableError):
                after_s = await self._steps.give_up(taken)
        finally:
            self._running[job].discard(task)
            if not self._running[job]:
                del self._running[job]
            with suppress(JobsUnavailableError):  # else it is handed out again when nobody gives a sign
                await (taken.done() if after_s is None else taken.later(after_s))

    def _cancel(self, job: str) -> None:
        for task in [task for ref, tasks in self._running.items() if ref.id == job for task in tasks]:
            task.cancel()

    async def _listen(self) -> None:
        """Hear of turns and of jobs that were cancelled; a subscription outlives a lost connection."""
        while True:
            await self._queue.connection.ready.wait()
            try:
                async with (
                    listening(self._queue.connection, turns_subject("*"), lambda _: self._due.set()),
                    listening(
                        self._queue.connection, CANCELS, lambda job: self._cancel(job.decode("ascii", "replace"))
                    ),
                ):
                    await asyncio.Event().wait()
            except JobsUnavailableError:
                await asyncio.sleep(IDLE_S)

    async def _look(self) -> None:
        """Stop the work on jobs that have ended meanwhile."""
        while True:
            await asyncio.sleep(LOOK_S)
            with suppress(JobsUnavailableError):
                for ref in await self._queue.ended_of(list(self._running)):
                    self._cancel(ref.id)

    async def _tidy(self) -> None:
        """Delete what was kept long enough, and take back what another version parked."""
        while True:
            with suppress(JobsUnavailableError):
                await self._shelf.tidy()
                self.parked = await self._queue.turns.unpark()
                await self._queue.expire()
            await asyncio.sleep(TIDY_S)


async def _forever(work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except Exception:  # these loops supervise themselves: without one of them jobs would stand still
            log.exception("a loop of the queue of jobs failed, and is started again")
            await asyncio.sleep(IDLE_S)
