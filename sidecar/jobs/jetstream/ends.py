"""What is to be deleted, in the order in which it may be: results that were kept long enough, and what was given up."""

from dataclasses import dataclass
from datetime import UTC, datetime

from nats.js.errors import NotFoundError
from pydantic import AwareDatetime

from sidecar.jobs.jetstream.connection import Connection, told
from sidecar.jobs.jetstream.streams import ENDED
from sidecar.jobs.record import Ref, Stored


class _End(Stored):
    ref: Ref
    due_at: AwareDatetime


@dataclass(frozen=True, slots=True)
class DueEnd:
    """A job all of which may be deleted."""

    ref: Ref
    number: int


class Ends:
    """Remembers what is to be deleted, and when."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, ref: Ref, due_at: datetime, reason: str) -> None:
        """Remember a job; the same one for the same reason once in two minutes."""
        with told():
            name = {"Nats-Msg-Id": f"{ref.id}.{reason}"}
            await self._connection.js.publish("ocr.ended", _End(ref=ref, due_at=due_at).packed(), headers=name)

    async def due(self) -> list[DueEnd]:
        """Return what may be deleted now, in the order in which it came, up to the first that may not.

        Jobs are kept equally long, so that those that come later are due later.
        """
        js, found = self._connection.js, list[DueEnd]()
        with told():
            about = (await js.stream_info(ENDED)).state
            number = about.first_seq
            while about.messages and number <= about.last_seq:
                try:
                    message = await js.get_msg(ENDED, seq=number, subject="ocr.ended", next=True)
                except NotFoundError:
                    break
                end = _End.unpacked(message.data or b"")
                if end.due_at > datetime.now(UTC):
                    break
                found.append(DueEnd(end.ref, message.seq or number))
                number = (message.seq or number) + 1
        return found

    async def forget(self, end: DueEnd) -> None:
        """Forget one that was deleted."""
        with told():
            try:
                await self._connection.js.delete_msg(ENDED, end.number)
            except NotFoundError:
                return
