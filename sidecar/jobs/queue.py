"""All that jobs live in, put together; what several of its parts must do to a job at once."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from sidecar.errors import JobExpiredError, JobNotFoundError
from sidecar.jobs.jetstream.blobs import Blobs
from sidecar.jobs.jetstream.calls import Calls
from sidecar.jobs.jetstream.connection import Connection
from sidecar.jobs.jetstream.due import Due
from sidecar.jobs.jetstream.ends import DueEnd, Ends, Reason
from sidecar.jobs.jetstream.records import ChangedError, Records
from sidecar.jobs.jetstream.turns import Turns
from sidecar.jobs.record import Failure, Order, Record, Ref, SliceRecord, State

CANCELS = "ocr.cancel"
"""The subject on which pods tell one another at once that a job is given up; the record says it for good."""
DOCUMENT = "document"
FILE = "file"
CHANGES = 20
"""Somebody else may change a record in between; each does so a few times in a job's life."""


def document_name(order: Order) -> str:
    """Return the name of a job's document, by its content: two who hand in a job by the same key do not mix theirs."""
    return f"{DOCUMENT}.{order.document_sha256[:16]}"


def slice_name(number: int) -> str:
    """Return the name of what was read of a slice."""
    return f"slice-{number}"


class Queue:
    """The parts of the queue."""

    def __init__(
        self, connection: Connection, kept_for_s: float, on_end: Callable[[State], None] = lambda _: None
    ) -> None:
        self.connection = connection
        self.records = Records(connection)
        self.turns = Turns(connection)
        self.due = Due(connection)
        self.blobs = Blobs(connection)
        self.ends = Ends(connection)
        self.calls = Calls(connection)
        self._kept_for = timedelta(seconds=kept_for_s)
        self._on_end = on_end

    async def finish(
        self, ref: Ref, state: State, slices: Sequence[SliceRecord] = (), failure: Failure | None = None
    ) -> bool:
        """End a job, so that its result is kept as long as results are; return whether it had not ended yet.

        Each part may be done twice: whoever is broken off in between is followed by whoever takes the job's turn next,
        and sees by the document that it was not done to its end.
        """
        now = datetime.now(UTC)
        for _ in range(CHANGES):
            old = await self.records.get(ref)
            if old.record.state.is_end:
                await self.clear(old.record)
                return False
            new = old.record.ended(state, now, now + self._kept_for, slices, failure)
            with suppress(ChangedError):
                await self.records.change(old, new)
                self._on_end(state)
                await self._clear(new)
                return True
        raise ChangedError

    async def clear(self, ended: Record) -> None:
        """Do for a job that has ended what whoever ended it was broken off in."""
        if await self.blobs.has(ended.order.ref.id, document_name(ended.order)):
            await self._clear(ended)

    async def _clear(self, ended: Record) -> None:
        order, is_cancelled = ended.order, ended.state is State.CANCELLED
        if order.is_kept:
            await self.ends.add(order.ref, self._kept_for.total_seconds(), Reason.END)
        else:
            await self.ends.add(order.ref, 0, Reason.TAKEN)
        if order.callback_url:
            await self.calls.add(order.ref)
        await self.due.remove(order.ref)  # the document goes last: until it has, somebody does all of this again
        await self.blobs.delete(order.ref.id, None if is_cancelled else DOCUMENT)

    async def ended_of(self, refs: Iterable[Ref]) -> list[Ref]:
        """Return those of these jobs that have ended, or are no longer there."""
        return [ref for ref in refs if await self._state(ref) not in (State.QUEUED, State.RUNNING)]

    async def expire(self) -> int:
        """Delete what was kept long enough; return how many jobs that were."""
        count = 0
        async for end in self.ends.due():
            if await self._may_go(end):
                await self.delete(end.ref)
                count += 1
            await self.ends.forget(end)
        return count

    async def _may_go(self, end: DueEnd) -> bool:
        """A document that arrived for a job that came to be stays for as long as that job."""
        state = await self._state(end.ref)
        return state is None if end.reason is Reason.ARRIVAL else state is None or state.is_end

    async def _state(self, ref: Ref) -> State | None:
        try:
            return (await self.records.get(ref)).record.state
        except (JobNotFoundError, JobExpiredError):
            return None

    async def delete(self, ref: Ref) -> None:
        """Delete all of a job; that there was one is remembered."""
        await self.blobs.delete(ref.id)
        await self.due.remove(ref)
        await self.records.delete(ref, is_remembered=True)
