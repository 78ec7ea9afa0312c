"""A job's order in the use case's terms: made once to refuse it early, and again by whichever pod reads."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from sidecar.api import reading
from sidecar.api.answers.answer import Answer
from sidecar.api.app_keys import AUDIT, METRICS, SETTINGS
from sidecar.jobs.record import Order, Record
from sidecar.ocr.job import ReadJob, Wanted
from sidecar.profiles.payload import Profile
from sidecar.wire.ocr import ReadRequest


def check(app: web.Application, asked: ReadRequest, profile: Profile | None, *, clips: bool = False) -> None:
    """Refuse what no pod could read.

    Raises:
        InvalidValueError: more pages than the limit, an invalid list of pages, languages that are not installed.
    """
    reading.read_job(app, asked, profile, Path(), reading.pages_of(asked, app[SETTINGS], clips=clips))


def make_job(app: web.Application, order: Order, path: Path) -> ReadJob:
    """Make a reading of an order. Its layout is kept, whatever was asked: the result may be wanted in any format.

    Only where places were asked for are pages read once more whose reader tells none, as a vision model.

    Raises:
        InvalidValueError: this pod has not the languages that the job needs.
    """
    asked = asked_of(order)
    profile = Profile.model_validate(order.profile) if order.profile else None
    pages = reading.pages_of(asked, app[SETTINGS], clips=order.clips_pages)
    job = reading.read_job(app, asked, profile, path, pages)
    kept = replace(job.order, wants_layout=True, seeks_places=job.order.wants_layout)
    return replace(job, order=kept, ends_s=_ends_s(order, job))


def asked_of(order: Order) -> ReadRequest:
    """Return what was asked of a job's document."""
    return ReadRequest.model_validate(order.request)


def _ends_s(order: Order, job: ReadJob) -> float | None:
    """Return when the job's deadline is, on the monotonic clock: its time runs since it was accepted."""
    deadline_s = job.order.instructions.deadline_s
    if not deadline_s:
        return None
    return time.monotonic() + deadline_s - (datetime.now(UTC) - order.accepted_at).total_seconds()


def answer_of(app: web.Application, record: Record, wanted: Wanted) -> Answer:
    """Return what tells of a job's result, in the words in which a caller who waited would have been told."""
    order = record.order
    ended = record.ended_at or datetime.now(UTC)
    took_s = max(0.0, (ended - order.accepted_at).total_seconds())
    told = Answer(order.request_id, list(order.ignored_fields), app[METRICS], wanted, app.get(AUDIT))
    return told.read_before(order.accepted_at, took_s)
