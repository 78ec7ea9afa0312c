"""Calls to those who want to be told that a job has ended: kept until one was answered, or given up."""

from dataclasses import dataclass

from nats.aio.msg import Msg

from sidecar.jobs.jetstream.connection import Connection, told, unavailable
from sidecar.jobs.jetstream.streams import CALLBACKS
from sidecar.jobs.jetstream.turns import NEXT, TAKE_S
from sidecar.jobs.record import Ref


@dataclass(frozen=True, slots=True)
class DueCall:
    """A call that this pod is to make; ``delivery`` counts from 1 how often it was handed out."""

    ref: Ref
    delivery: int
    message: Msg

    async def done(self) -> None:
        """Make it no more."""
        with told():
            await self.message.ack_sync(TAKE_S)

    async def later(self, delay_s: float) -> None:
        """Make it again, after so many seconds."""
        with told():
            await self.message.nak(delay_s)


class Calls:
    """Remembers whom to call."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, ref: Ref) -> None:
        """Remember a job whose owner is to be called."""
        with told():
            await self._connection.js.publish(
                "ocr.callback", ref.packed(), headers={"Nats-Msg-Id": f"{ref.id}.callback"}
            )

    async def take(self) -> DueCall | None:
        """Take the next call; None if there is none."""
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{CALLBACKS}.callbacks"
        with told():
            message = await self._connection.client.request(subject, NEXT, timeout=TAKE_S, old_style=True)
        status = (message.headers or {}).get("Status")
        if status and not message.reply:
            if status in ("404", "408"):
                return None
            raise unavailable()
        return DueCall(Ref.unpacked(message.data), message.metadata.num_delivered, message)
