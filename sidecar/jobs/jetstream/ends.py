"""What is to be deleted, in the order in which it may be: results that were kept long enough, and what was given up.

All times are the server's: a pod whose clock is wrong deletes nothing too early.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from nats.js.errors import APIError, NotFoundError

from sidecar.jobs.jetstream.connection import Connection, about, told
from sidecar.jobs.jetstream.streams import ENDED
from sidecar.jobs.record import Ref, Stored

GONE = frozenset({10037, 10043, 10057})
"""Error codes of JetStream for a message that cannot be deleted, since somebody else did."""


class Reason(StrEnum):
    """Why something may be deleted; those of one reason are kept equally long, and come in the order of their ends."""

    ARRIVAL = "arrival"
    """Its document arrives; where no job has come of it after a while, its pod was lost."""
    TAKEN = "taken"
    """It has ended, and its caller has the answer already."""
    END = "end"
    """It has ended, and its result is kept a while."""


class _End(Stored):
    ref: Ref
    kept_s: float


@dataclass(frozen=True, slots=True)
class DueEnd:
    """What may be deleted of a job, and why."""

    ref: Ref
    reason: Reason
    number: int


class Ends:
    """Remembers what is to be deleted, and when."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, ref: Ref, kept_s: float, reason: Reason) -> None:
        """Remember a job, for so many seconds; the same one for the same reason once in two minutes."""
        with told():
            name = {"Nats-Msg-Id": f"{ref.id}.{reason}"}
            subject = f"ocr.ended.{reason}"
            await self._connection.js.publish(subject, _End(ref=ref, kept_s=kept_s).packed(), headers=name)

    async def due(self) -> AsyncIterator[DueEnd]:
        """Yield what may be deleted now: of each reason in the order in which it came, up to the first that may not."""
        now = (await about(self._connection, ENDED, "ocr.ended.>")).at
        for reason in Reason:
            number = 1
            while (end := await self._next(reason, number, now)) is not None:
                yield end
                number = end.number + 1

    async def _next(self, reason: Reason, number: int, now: datetime) -> DueEnd | None:
        with told():
            try:
                subject = f"ocr.ended.{reason}"
                message = await self._connection.js.get_msg(ENDED, seq=number, subject=subject, next=True)
            except NotFoundError:
                return None
        end = _End.unpacked(message.data or b"")
        added_at = datetime.fromisoformat(str(message.time)[:19] + "+00:00")
        if added_at + timedelta(seconds=end.kept_s) > now:
            return None
        return DueEnd(end.ref, reason, message.seq or number)

    async def forget(self, end: DueEnd) -> None:
        """Forget one that was deleted; another pod may have been faster."""
        with told():
            try:
                await self._connection.js.delete_msg(ENDED, end.number)
            except APIError as exc:
                if exc.err_code not in GONE:
                    raise
