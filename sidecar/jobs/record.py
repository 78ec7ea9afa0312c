"""What is known of a job: what was ordered, how far it is, and how it ended. Pure.

All of it travels through the queue as JSON, and may be read by a pod of another version: each kind says by which schema
it was written, and a pod that does not know the schema leaves it to one that does.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict

SCHEMA = 1
"""Of everything here; raised when a pod of the version before could not read what this one writes."""


class State(StrEnum):
    """How far a job is."""

    QUEUED = "queued"
    """It waits for its first turn; nobody has opened the document."""
    RUNNING = "running"
    DONE = "done"
    """Every page was read."""
    PARTIAL = "partial"
    """Some pages could not be read, or were not by its deadline."""
    FAILED = "failed"
    """The document could not be opened, or not one page read."""
    CANCELLED = "cancelled"

    @property
    def is_end(self) -> bool:
        """Return whether nothing more happens to the job."""
        return self not in (State.QUEUED, State.RUNNING)


class Lane(StrEnum):
    """Which jobs go first."""

    REALTIME = "realtime"
    """Somebody waits for it."""
    BATCH = "batch"


class Stored(BaseModel):
    """What is kept as JSON. A field that this version does not know is left out: only another schema is refused."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def packed(self) -> bytes:
        """Return it as JSON."""
        return self.model_dump_json(exclude_defaults=True).encode()

    @classmethod
    def unpacked(cls, content: bytes) -> Self:
        """Read it from JSON.

        Raises:
            ValueError: it is not one of these.
        """
        return cls.model_validate_json(content)


class Ref(Stored):
    """Names a job: nobody but its owner can."""

    owner: str
    """Hex digits that stand for a key; in network mode for anybody."""
    id: str
    """Begins with the time in milliseconds, so that later ones sort later; 128 bits of it are random."""

    @property
    def key(self) -> str:
        """The place of all that is recorded of the job."""
        return f"job.{self.owner}.{self.id}"

    @property
    def made_at_s(self) -> float:
        """When its id was made, in seconds since 1970, by the clock of the pod that made it."""
        return int(self.id[:12], 16) / 1000


class Failure(Stored):
    """Why a job failed: an error's code and its text, as a caller would have got them."""

    code: str
    detail: str
    status: int = 500


class Order(Stored):
    """What a job's owner asked for. Its document is kept apart."""

    ref: Ref
    lane: Lane
    request: dict[str, Any]
    """The request's fields, in the wire's own terms."""
    profile: dict[str, Any] | None = None
    """The profile as it was published when the job came: all slices are read by the same one."""
    request_id: str
    ignored_fields: tuple[str, ...] = ()
    label: str = ""
    filename: str = ""
    callback_url: str | None = None
    accepted_at: AwareDatetime
    document_bytes: int
    document_sha256: str
    clips_pages: bool = False
    """Whether pages beyond the document's end are no error."""
    more: dict[str, Any] = {}
    """What whoever took the job in needs to write its result, in terms of its own."""
    is_kept: bool = True
    """Whether the result is kept once the job has ended; a caller who waits on the line takes it at once."""


class Record(Stored):
    """A job as it stands. What is done of it is told by its slices."""

    schema_version: int = SCHEMA
    order: Order
    state: State = State.QUEUED
    place: int | None = None
    """Its number in the queue."""
    pages: tuple[int, ...] | None = None
    """The pages to read, counted from 1; None until the document was opened."""
    document_pages: int | None = None
    kind: str = ""
    limited: bool = False
    slice_pages: int = 8
    started_at: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None
    failure: Failure | None = None
    pages_done: int = 0
    """Once it has ended: pages that are behind it, read or not; the next three likewise."""
    pages_failed: int = 0
    quarantined: tuple[int, ...] = ()
    redeliveries: int = 0

    @property
    def slices(self) -> Sequence[tuple[int, ...]]:
        """The pages in the portions in which they are read."""
        return cut(self.pages or (), self.slice_pages)

    def ended(
        self, state: State, at: datetime, kept_until: datetime, slices: Sequence["SliceRecord"], failure: Failure | None
    ) -> Self:
        """Return it as it is once nothing more happens to it."""
        told = {
            "state": state,
            "ended_at": at,
            "expires_at": kept_until,
            "failure": failure,
            "pages_done": sum(len(one.pages) for one in slices),
            "pages_failed": sum(len(one.failed) for one in slices),
            "quarantined": tuple(page for one in slices for page in one.quarantined),
            "redeliveries": sum(one.deliveries - 1 for one in slices),
        }
        return self.model_copy(update=told)


class SliceOutcome(StrEnum):
    """What is counted of slices."""

    DONE = "done"
    FAILED = "failed"
    """Some of its pages could not be read."""
    QUARANTINED = "quarantined"
    """Some of its pages are not read again: they ended who read them."""
    AGAIN = "again"
    """Some of its pages may go better later."""
    REDELIVERED = "redelivered"
    """It was handed out before; counted beside what comes of it."""


class SliceRecord(Stored):
    """A slice that is done. ``failed`` are its pages that nobody could read, ``quarantined`` those that killed."""

    schema_version: int = SCHEMA
    number: int
    pages: tuple[int, ...]
    failed: tuple[int, ...] = ()
    quarantined: tuple[int, ...] = ()
    unread: tuple[int, ...] = ()
    """Pages that the job's deadline left unread."""
    deliveries: int = 1
    """How often it was handed out until it was done."""
    ended_at: AwareDatetime

    @property
    def outcome(self) -> SliceOutcome:
        """Return what is counted of it."""
        if self.quarantined:
            return SliceOutcome.QUARANTINED
        return SliceOutcome.FAILED if self.failed else SliceOutcome.DONE


def cut(pages: Sequence[int], size: int) -> Sequence[tuple[int, ...]]:
    """Cut pages into slices of at most ``size``."""
    return [tuple(pages[at : at + size]) for at in range(0, len(pages), size)]
