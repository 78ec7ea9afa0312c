"""Calls to those who want to be told that a job has ended: kept until one was answered, or given up."""

from dataclasses import dataclass

from sidecar.jobs.jetstream.connection import Connection, told
from sidecar.jobs.jetstream.held import Held, next_message
from sidecar.jobs.jetstream.streams import CALLBACKS
from sidecar.jobs.record import Ref


@dataclass(frozen=True, slots=True)
class DueCall(Held):
    """A call that this pod is to make: about the end of a job."""

    ref: Ref


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
        message = await next_message(self._connection, CALLBACKS, "callbacks")
        if message is None:
            return None
        return DueCall(message.metadata.num_delivered, message, Ref.unpacked(message.data))
