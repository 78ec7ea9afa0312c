"""The queue of turns: taken by one pod at a time, handed out again when that pod gives no sign."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from sidecar.jobs.jetstream.connection import Connection, told
from sidecar.jobs.jetstream.held import TAKE_S, Held, next_message
from sidecar.jobs.jetstream.streams import ACK_WAIT_S, PARKED, TURNS, turns_consumer, turns_subject
from sidecar.jobs.record import SCHEMA, Lane
from sidecar.jobs.turn import Turn

log = logging.getLogger(__name__)

SIGN_S = ACK_WAIT_S / 4
"""How often whoever holds a turn gives a sign, in seconds."""
SCHEMA_HEADER = "Ocr-Schema"
LANE_HEADER = "Ocr-Lane"


@dataclass(frozen=True, slots=True)
class TakenTurn(Held):
    """A turn that this pod holds."""

    turn: Turn
    lane: Lane


class Turns:
    """Puts turns into the queues and takes them out."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def put(self, turn: Turn, lane: Lane, *, is_again: bool = False) -> int:
        """Put a turn at the end of a queue, once in two minutes but where ``is_again``; return its number.

        Raises:
            JobsUnavailableError: it cannot be stored now.
        """
        name = {} if is_again else {"Nats-Msg-Id": turn.name}
        headers = name | {SCHEMA_HEADER: str(turn.schema_version), LANE_HEADER: lane}
        with told():
            kept = await self._connection.js.publish(turns_subject(lane), turn.packed(), headers=headers)
        return kept.seq

    async def take(self, lanes: Sequence[Lane]) -> TakenTurn | None:
        """Take the next turn of the first queue that has one; None if there is none.

        One that this version cannot read is parked, for a pod that can.
        """
        for lane in lanes:
            message = await next_message(self._connection, TURNS, turns_consumer(lane))
            if message is None:
                continue
            turn = _read(message)
            if turn is None:
                await self._park(message, lane)
                return None
            return TakenTurn(message.metadata.num_delivered, message, turn, lane)
        return None

    async def _park(self, message: Msg, lane: Lane) -> None:
        """Move a turn of a schema that is not known here to where it waits for who knows it."""
        schema = (message.headers or {}).get(SCHEMA_HEADER, "unknown")
        log.warning("a message of another version is parked", extra={"schema": schema[:20], "known": SCHEMA})
        with told():
            headers = {LANE_HEADER: lane, SCHEMA_HEADER: schema}
            await self._connection.js.publish(f"ocr.parked.{_token(schema)}", message.data, headers=headers)
            await message.ack_sync(TAKE_S)

    async def unpark(self) -> int:
        """Put the parked turns that this version can read back into their queues; return how many are left."""
        js, subject = self._connection.js, f"ocr.parked.{SCHEMA}"
        with told():
            about = await js.stream_info(PARKED, subjects_filter="ocr.parked.>")
            for _ in range((about.state.subjects or {}).get(subject, 0)):
                message = await js.get_msg(PARKED, seq=about.state.first_seq, subject=subject, next=True)
                turn = Turn.unpacked(message.data or b"")
                await self.put(turn, Lane((message.headers or {}).get(LANE_HEADER, Lane.BATCH)), is_again=True)
                await js.delete_msg(PARKED, message.seq or 0)
            return sum((about.state.subjects or {}).values()) - (about.state.subjects or {}).get(subject, 0)

    async def count(self) -> int:
        """Return how many turns wait or are held: about as many jobs have not ended."""
        with told():
            return (await self._connection.js.stream_info(TURNS)).state.messages

    async def ahead(self, lane: Lane, place: int) -> int:
        """Return how many turns of the queue, at most, are handed out before the one of that number."""
        with told():
            about = await self._connection.js.consumer_info(TURNS, turns_consumer(lane))
        delivered = about.delivered.stream_seq if about.delivered else 0
        return max(0, min(about.num_pending or 0, place - delivered) - 1)


def _read(message: Msg) -> Turn | None:
    if (message.headers or {}).get(SCHEMA_HEADER) != str(SCHEMA):
        return None
    try:
        return Turn.unpacked(message.data)
    except ValueError:
        return None


def _token(schema: str) -> str:
    return schema if schema.isdigit() and schema != str(SCHEMA) else "unknown"


@asynccontextmanager
async def holding(taken: TakenTurn) -> AsyncIterator[None]:
    """Give signs that a turn is worked on, for as long as the block."""

    async def sign() -> None:
        while True:
            await asyncio.sleep(SIGN_S)
            with suppress(NatsError, OSError):
                await taken.message.in_progress()

    task = asyncio.create_task(sign())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
