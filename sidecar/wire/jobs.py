"""Jobs on the wire: what is handed in beside a document's fields, and how a job is told of. Pure."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from sidecar.errors import InvalidValueError, JobNotFoundError
from sidecar.jobs.calling.calls_log import CallsLog
from sidecar.jobs.record import Lane, State
from sidecar.jobs.view import JobView
from sidecar.ocr.warning_codes import WarningCode
from sidecar.outputs.formats import MEDIA_TYPES, Output
from sidecar.validation import explain_all, explain_value
from sidecar.wire.answers.outputs import preferred
from sidecar.wire.common import Wire, fold_names, is_text
from sidecar.wire.ocr import ReadRequest

MAX_WAIT_S = 60.0
"""Longest long poll: proxies give up after a minute, and so many seconds of nothing cost nothing."""
MAX_LISTED = 200
LABEL_CHARS = 200
URL_CHARS = 2000
_ID = re.compile(r"[0-9a-f]{44}")
_KEY = re.compile(r"[!-~]{1,255}")
_OWN = ("priority", "label", "callback_url")


class Submission(Wire):
    """What `POST /v1/jobs` takes beside the fields of `/ocr-upload`."""

    priority: Lane = Field(Lane.BATCH, description="`realtime`: somebody waits for it; it goes first.")
    label: str = Field("", max_length=LABEL_CHARS, description="By which jobs are listed, such as a batch's name.")
    callback_url: str | None = Field(
        None, max_length=URL_CHARS, description="Is called once the job has ended; its host must be allowed."
    )


class JobForm(ReadRequest, Submission):
    """Form of `POST /v1/jobs`."""

    file: str = Field(description="The document.", json_schema_extra={"contentMediaType": "application/octet-stream"})


class JobErrorBody(Wire):
    """Why a job failed."""

    code: str
    detail: str


class CallBody(Wire):
    """One try at calling back."""

    at: datetime
    status: int | None = Field(None, description="What the caller's server answered; null where it did not.")
    error: str | None = Field(None, description="Why nothing was answered.")


class CallbackBody(Wire):
    """What became of the calls to `callbackUrl`."""

    state: Literal["waiting", "pending", "delivered", "failed"] = Field(
        description="`waiting` for the job's end, `pending`, `delivered`, or `failed`: given up."
    )
    attempts: list[CallBody]


class JobBody(Wire):
    """A job."""

    id: str
    state: State
    priority: Lane
    label: str
    filename: str
    position: int | None = Field(description="Turns of other jobs before its first; null once it has begun.")
    pages: int | None = Field(description="Pages to read; null until the document has been opened.")
    document_pages: int | None = Field(description="Pages that the document has.")
    pages_done: int = Field(description="Pages that are behind it, read or not.")
    pages_failed: int = Field(description="Pages that nobody could read.")
    quarantined: list[int] = Field(description="Pages that are not tried again: they ended two who read them.")
    redeliveries: int = Field(description="Slices handed out again: who had them did not come back.")
    seconds_left: float | None = Field(description="From its pace so far; null where there is none yet.")
    accepted_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    expires_at: datetime | None = Field(description="Until when the result is kept.")
    error: JobErrorBody | None = Field(description="Why it failed.")
    warnings: list[str]
    ignored_fields: list[str] = Field(description="Form fields that mean nothing here.")
    callback: CallbackBody | None = Field(description="Null where no `callbackUrl` was given.")
    version: str = Field(description="Changes with the state and the pages done: what `known` takes.")
    request_id: str = Field(description="Of the request that handed it in.")


class JobsBody(Wire):
    """Jobs of one caller, the oldest first."""

    jobs: list[JobBody]
    next: str | None = Field(description="What `after` takes for those that follow; null: there are none.")


def parse_submission(fields: Mapping[str, str]) -> tuple[Submission, dict[str, str]]:
    """Take what is ours alone out of a form; return it and the other fields.

    Raises:
        InvalidValueError: a value that is not accepted, or a field given in both spellings.
    """
    folded = fold_names(fields)
    own = {name: value for name in _OWN if (value := folded.get(name, "").strip())}
    try:
        submission = Submission.model_validate(own)
    except ValidationError as exc:
        raise InvalidValueError(explain_all(exc, _explain)) from None
    return submission, {name: value for name, value in folded.items() if name not in _OWN}


def parse_key(header: str | None) -> str | None:
    """Return the Idempotency-Key.

    Raises:
        InvalidValueError: it is empty, too long, or holds what no header should.
    """
    if header is None:
        return None
    if not _KEY.fullmatch(header):
        raise InvalidValueError("Idempotency-Key must have 1 to 255 visible ASCII characters")
    return header


def parse_id(given: str) -> str:
    """Return a job's id.

    Raises:
        JobNotFoundError: no job has such an id.
    """
    if not _ID.fullmatch(given):
        raise JobNotFoundError("there is no such job")
    return given


def parse_wait(query: Mapping[str, str]) -> float:
    """Return for how long a caller waits for news, in seconds; more than may be counts as the most.

    Raises:
        InvalidValueError: it is no number of seconds.
    """
    text = query.get("wait", "0")
    try:
        wait_s = float(text)
    except ValueError:
        wait_s = -1
    if not wait_s >= 0:
        raise InvalidValueError(f"wait is {text[:20]!r}, a number of seconds is accepted")
    return min(wait_s, MAX_WAIT_S)


class Listing(Wire):
    """Which jobs are listed."""

    label: str | None = Field(None, max_length=LABEL_CHARS)
    state: State | None = None
    limit: int = Field(50, ge=1, le=MAX_LISTED)
    after: str | None = Field(None, pattern=_ID.pattern)


def parse_listing(query: Mapping[str, str]) -> Listing:
    """Parse which jobs are to be listed.

    Raises:
        InvalidValueError: a value that is not accepted.
    """
    given = {name: value for name, value in query.items() if name in Listing.model_fields and value}
    try:
        return Listing.model_validate(given)
    except ValidationError as exc:
        raise InvalidValueError(explain_all(exc, _explain)) from None


def output_of(query: Mapping[str, str], accept: str, asked: ReadRequest) -> Output:
    """Return in which format a result is wanted: by ``output``, else by ``Accept``, else as the job was handed in.

    Raises:
        InvalidValueError: there is no such format.
    """
    if name := query.get("output"):
        if name not in tuple(Output):
            raise InvalidValueError(f"output is {name[:40]!r}, accepted are {', '.join(Output)}")
        return Output(name)
    best = preferred(accept)
    return next((one for one, media_type in MEDIA_TYPES.items() if media_type == best), asked.output or Output.JSON)


def version_of(view: JobView) -> str:
    """Return what changes whenever a job has got on."""
    return f"{view.record.state}-{view.pages_done}-{view.redeliveries}"


def render_job(view: JobView, now: datetime, log: CallsLog | None = None) -> JobBody:
    """Render a job, with what became of the calls to its caller."""
    record, order = view.record, view.record.order
    left_s = view.seconds_left(now)
    return JobBody(
        id=order.ref.id,
        state=record.state,
        priority=order.lane,
        label=order.label,
        filename=order.filename,
        position=view.ahead,
        pages=None if record.pages is None else len(record.pages),
        document_pages=record.document_pages,
        pages_done=view.pages_done,
        pages_failed=view.pages_failed,
        quarantined=list(view.quarantined),
        redeliveries=view.redeliveries,
        seconds_left=None if left_s is None else round(left_s, 1),
        accepted_at=order.accepted_at,
        started_at=record.started_at,
        ended_at=record.ended_at,
        expires_at=record.expires_at,
        error=JobErrorBody(code=record.failure.code, detail=record.failure.detail) if record.failure else None,
        warnings=[WarningCode.UNKNOWN_FIELD] if order.ignored_fields else [],
        ignored_fields=list(order.ignored_fields),
        callback=_callback(view, log) if order.callback_url else None,
        version=version_of(view),
        request_id=order.request_id,
    )


def _callback(view: JobView, log: CallsLog | None) -> CallbackBody:
    if not view.record.state.is_end:
        return CallbackBody(state="waiting", attempts=[])
    if log is None:
        return CallbackBody(state="pending", attempts=[])
    attempts = [CallBody(at=one.at, status=one.status, error=one.error) for one in log.attempts]
    return CallbackBody(state=log.state.value, attempts=attempts)


def shown_text(text: str) -> str:
    """Return a name of a caller's as it can be shown: text alone."""
    return text if is_text(text) else ""


def _explain(problem: ErrorDetails) -> str:
    name: Any = problem["loc"][0]
    return explain_value(problem, to_camel(str(name)))
