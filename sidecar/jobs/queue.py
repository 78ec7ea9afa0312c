"""All that jobs live in, put together; what several of its parts must do to a job at once."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from sidecar.errors import JobExpiredError, JobNotFoundError
from sidecar.jobs.jetstream.blobs import Blobs
from sidecar.jobs.jetstream.calls import Calls
from sidecar.jobs.jetstream.connection import Connection
from sidecar.jobs.jetstream.due import Due
from sidecar.jobs.jetstream.ends import Ends
from sidecar.jobs.jetstream.records import ChangedError, Records, Versioned
from sidecar.jobs.jetstream.turns import Turns
from sidecar.jobs.record import Failure, Ref, SliceRecord, State

CANCELS = "ocr.cancel"
"""The subject on which pods tell one another at once that a job is given up; the record says it for good."""
DOCUMENT = "document"
FILE = "file"
CHANGES = 20
"""Somebody else may change a record in between; each does so a few times in a job's life."""


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

        Each part may be done twice: whoever is broken off in between is followed by somebody who does it again.
        """
        now = datetime.now(UTC)
        until = now + self._kept_for
        for _ in range(CHANGES):
            old = await self.records.get(ref)
            has_ended = old.record.state.is_end
            if not has_ended:
                new = old.record.ended(state, now, until, slices, failure)
                try:
                    old = await self.records.change(old, new)
                except ChangedError:
                    continue
                self._on_end(state)
            await self._clear(old, now, until)
            return not has_ended
        raise ChangedError

    async def _clear(self, ended: Versioned, now: datetime, until: datetime) -> None:
        order, is_cancelled = ended.record.order, ended.record.state is State.CANCELLED
        await self.ends.add(order.ref, until if order.is_kept else now, "end")
        if order.callback_url:
            await self.calls.add(order.ref)
        await self.due.remove(order.ref)
        await self.blobs.delete(order.ref.id, None if is_cancelled else DOCUMENT)

    async def ended_of(self, refs: Iterable[Ref]) -> list[Ref]:
        """Return those of these jobs that have ended, or are no longer there."""
        return [ref for ref in refs if await self._may_go(ref)]

    async def expire(self) -> int:
        """Delete what was kept long enough; return how many jobs that were."""
        ends = await self.ends.due()
        for end in ends:
            if await self._may_go(end.ref):
                await self.delete(end.ref)
            await self.ends.forget(end)
        return len(ends)

    async def _may_go(self, ref: Ref) -> bool:
        """A document that arrives for a job that never came to be is remembered here, too."""
        try:
            return (await self.records.get(ref)).record.state.is_end
        except (JobNotFoundError, JobExpiredError):
            return True

    async def delete(self, ref: Ref) -> None:
        """Delete all of a job; that there was one is remembered."""
        await self.blobs.delete(ref.id)
        await self.due.remove(ref)
        await self.records.delete(ref, is_remembered=True)
