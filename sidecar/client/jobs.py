"""Jobs as the service tells of them, as values. Pure."""

from datetime import datetime

from pydantic import Field

from sidecar.client.answers import Answer

ENDED = frozenset({"done", "partial", "failed", "cancelled"})
"""The states after which nothing more happens to a job."""
READ = frozenset({"done", "partial"})
"""Those that leave a result."""


class JobFailure(Answer):
    """Why a job failed: an error's code and its text."""

    code: str = ""
    detail: str = ""


class Call(Answer):
    """One try at calling ``callback_url``; ``error`` says why nothing was answered."""

    at: datetime | None = None
    status: int | None = None
    error: str | None = None


class Callback(Answer):
    """What became of the calls; ``state`` is ``waiting`` (for the end), ``pending``, ``delivered`` or ``failed``."""

    state: str = ""
    attempts: list[Call] = Field(default_factory=list)


class Job(Answer):
    """A document that was handed over; it is read wherever there is room for it."""

    id: str
    state: str
    """``queued``, ``running``, ``done``, ``partial``, ``failed`` or ``cancelled``."""
    priority: str = ""
    label: str = ""
    filename: str = ""
    position: int | None = None
    """How much is before it in the queue; None once it has begun."""
    pages: int | None = None
    """How many it has to be read; None until the document was opened."""
    document_pages: int | None = None
    pages_done: int = 0
    """Pages that are behind it, read or not."""
    pages_failed: int = 0
    quarantined: list[int] = Field(default_factory=list)
    """Pages that are not tried again, since they ended two who read them."""
    redeliveries: int = 0
    seconds_left: float | None = None
    accepted_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    expires_at: datetime | None = None
    """When its result is deleted."""
    error: JobFailure | None = None
    warnings: list[str] = Field(default_factory=list)
    ignored_fields: list[str] = Field(default_factory=list)
    callback: Callback | None = None
    version: str = ""
    """Another one whenever the job has got on."""
    request_id: str = ""

    @property
    def has_ended(self) -> bool:
        """Tell whether nothing more happens to it."""
        return self.state in ENDED

    @property
    def has_result(self) -> bool:
        """Tell whether there is something to fetch."""
        return self.state in READ


class JobList(Answer):
    """Some jobs, the oldest first; ``next`` leads to those after them."""

    jobs: list[Job]
    next: str | None = None
