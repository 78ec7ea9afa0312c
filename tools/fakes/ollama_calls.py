"""The fake Ollama's record of a call, for tests to inspect."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """How a call ended."""

    RUNNING = "running"
    ANSWERED = "answered"  # to the end of what was scripted, errors and cut streams included
    REFUSED = "refused"  # invalid, or for a model that is not installed
    LEFT = "left"  # the client closed the connection before the end
    DROPPED = "dropped"  # the fake broke the connection: scripted, or it stopped


@dataclass(slots=True)
class Call:
    """One request and its outcome. Times are on the fake's clock."""

    path: str
    body: Any  # the JSON of the request as it was sent
    headers: Mapping[str, str]
    started_s: float
    outcome: Outcome = Outcome.RUNNING
    status: int | None = None  # of the answer; None while there is none
    error: str = ""  # the error of its refusal
    speaking_s: float | None = None  # when the model began it, after queue and load
    ended_s: float | None = None
    chunks_sent: list[str] = field(default_factory=list)

    @property
    def disconnected(self) -> bool:
        """Whether the client disconnected before the end."""
        return self.outcome is Outcome.LEFT

    @property
    def disconnected_s(self) -> float | None:
        """When the client disconnected, if it did."""
        return self.ended_s if self.disconnected else None

    @property
    def model(self) -> str:
        """The model, as the request names it."""
        return str(self.body.get("model", ""))

    @property
    def options(self) -> dict[str, Any]:
        """The options of the request."""
        return dict(self.body.get("options", {}))

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages of the request."""
        return list(self.body.get("messages", []))

    @property
    def images(self) -> list[bytes]:
        """The images of all messages, decoded."""
        return [base64.b64decode(image) for message in self.messages for image in message.get("images", [])]
