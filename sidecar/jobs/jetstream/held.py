"""A message that this pod holds: taken from a queue, and handed out again unless it is done."""

from dataclasses import dataclass

from nats.aio.msg import Msg

from sidecar.jobs.jetstream.connection import Connection, told, unavailable

NEXT = b'{"batch":1,"no_wait":true}'
TAKE_S = 5.0
NOTHING = ("404", "408")
"""Statuses of an answer that holds no message."""


@dataclass(frozen=True, slots=True)
class Held:
    """A message; ``delivery`` counts from 1 how often it was handed out."""

    delivery: int
    message: Msg

    async def done(self) -> None:
        """Take it out of its queue."""
        with told():
            await self.message.ack_sync(TAKE_S)

    async def later(self, delay_s: float = 0.0) -> None:
        """Give it back: it is handed out again, after so many seconds."""
        with told():
            await self.message.nak(delay_s or None)


async def next_message(connection: Connection, stream: str, consumer: str) -> Msg | None:
    """Take the next message of a consumer; None if there is none.

    Raises:
        JobsUnavailableError: the server does not answer.
    """
    subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
    with told():
        message = await connection.client.request(subject, NEXT, timeout=TAKE_S, old_style=True)
    status = (message.headers or {}).get("Status")
    if status and not message.reply:
        if status in NOTHING:
            return None
        raise unavailable()
    return message
