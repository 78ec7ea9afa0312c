"""What there is still to do, slice by slice: nobody takes from here, it is there to be counted.

Turns tell how many jobs wait, not how much: a job of a thousand pages has one.
"""

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime

from nats.js.errors import NotFoundError

from sidecar.jobs.jetstream.connection import Connection, told
from sidecar.jobs.jetstream.streams import DUE
from sidecar.jobs.record import Record, Ref

AT_ONCE = 100


class Due:
    """Counts the slices that are due."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, record: Record, done: Collection[int] = ()) -> None:
        """Count a job's slices but those that are done; what is counted already stays so."""
        left = [(number, len(pages)) for number, pages in enumerate(record.slices) if number not in done]
        for at in range(0, len(left), AT_ONCE):
            await asyncio.gather(*(self._add(record, number, pages) for number, pages in left[at : at + AT_ONCE]))

    async def _add(self, record: Record, number: int, pages: int) -> None:
        subject = f"ocr.due.{record.order.lane}.{record.order.ref.id}.{number}"
        with told():
            await self._connection.js.publish(subject, str(pages).encode())

    async def remove(self, ref: Ref, number: int | None = None) -> None:
        """Count a slice no more, or none of a job's."""
        tail = ">" if number is None else str(number)
        with told():
            await self._connection.js.purge_stream(DUE, subject=f"ocr.due.*.{ref.id}.{tail}")

    async def count(self) -> int:
        """Return how many slices are due."""
        with told():
            return (await self._connection.js.stream_info(DUE)).state.messages

    async def pages(self) -> int:
        """Return about how many pages are due: the slices, with as many pages as those that come first have."""
        js, sizes = self._connection.js, list[int]()
        with told():
            about = (await js.stream_info(DUE)).state
            number = about.first_seq
            while len(sizes) < min(AT_ONCE, about.messages):
                try:
                    message = await js.get_msg(DUE, seq=number, subject="ocr.due.>", next=True)
                except NotFoundError:
                    break
                sizes.append(int(message.data or b"0"))
                number = (message.seq or number) + 1
        return round(about.messages * sum(sizes) / len(sizes)) if sizes else 0

    async def oldest_s(self) -> float:
        """Return how long the oldest slice has been due, in seconds; 0 if none is."""
        js = self._connection.js
        with told():
            about = (await js.stream_info(DUE)).state
            if not about.messages:
                return 0.0
            try:
                message = await js.get_msg(DUE, seq=about.first_seq)
            except NotFoundError:
                return 0.0
        return age_s(str(message.time)) if message.time else 0.0


def age_s(time: str) -> float:
    """Return the age of a message, whose time has nanoseconds, in seconds."""
    at = datetime.fromisoformat(time[:19]).replace(tzinfo=UTC)
    return max(0.0, (datetime.now(UTC) - at).total_seconds())
