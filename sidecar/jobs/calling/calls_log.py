"""What became of the calls to the one who wanted to be told of a job's end. Pure."""

from datetime import datetime
from enum import StrEnum

from pydantic import AwareDatetime

from sidecar.jobs.record import SCHEMA, Stored

MOST_CALLS = 8
RETRY_S = (5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 7200.0)
"""How long the next try waits, in seconds: a server that is rolled out is back in minutes, and after three hours and a
half nobody waits for it any more."""


class CallState(StrEnum):
    """How far the calls are."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    """It was tried often enough."""


class Attempt(Stored):
    """One call: what was answered, or why nothing was."""

    at: AwareDatetime
    status: int | None = None
    error: str | None = None

    @property
    def is_delivered(self) -> bool:
        """Return whether the other side took it."""
        return self.status is not None and 200 <= self.status < 300


class CallsLog(Stored):
    """All calls for one job so far."""

    schema_version: int = SCHEMA
    state: CallState = CallState.PENDING
    attempts: tuple[Attempt, ...] = ()

    def with_attempt(self, attempt: Attempt) -> "CallsLog":
        """Return it with one more call."""
        attempts = (*self.attempts, attempt)
        state = CallState.DELIVERED if attempt.is_delivered else CallState.PENDING
        if state is CallState.PENDING and len(attempts) >= MOST_CALLS:
            state = CallState.FAILED
        return CallsLog(state=state, attempts=attempts)

    @property
    def retry_after_s(self) -> float | None:
        """How long the next call waits, in seconds; None: there is none."""
        return RETRY_S[min(len(self.attempts), len(RETRY_S)) - 1] if self.state is CallState.PENDING else None


def failed(now: datetime, error: str) -> Attempt:
    """Return a call that nobody answered."""
    return Attempt(at=now, error=error)
