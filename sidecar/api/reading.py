"""One document that a request brings: admitted, received, and ready for the use case. Knows no body's format.

Every route that reads documents goes through here, so that keys, limits, quota, queue and deadlines are the same.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from aiohttp import web

from sidecar.api.answers.answer import Answer
from sidecar.api.app_keys import (
    AUDIT,
    DRAIN,
    ENGINE_TRAITS,
    METRICS,
    PROFILE_STORE,
    QUOTA,
    READER,
    RECIPES,
    REQUEST_ID,
    SETTINGS,
    SHARED_READER,
    SPOOL,
    caller_of,
)
from sidecar.documents.page_selection import PageRequest, listed, parse_pages
from sidecar.documents.spool import SpoolFile
from sidecar.errors import UnknownProfileError
from sidecar.evidence.agreement import Verify
from sidecar.jobs.jobs import Draft
from sidecar.jobs.record import Lane
from sidecar.ocr.engine import ReadOrder
from sidecar.ocr.job import DocumentResult, PagesWriter, Progress, ReadJob
from sidecar.profiles.payload import Profile
from sidecar.profiles.precedence import Overrides, instruct
from sidecar.profiles.store import Profiles
from sidecar.settings import Settings
from sidecar.wire import common, ocr


@dataclass(frozen=True, slots=True)
class Order:
    """What a request asks. ``received_s`` is when its body was complete, on the monotonic clock.

    ``ignored`` names its fields that mean nothing here. ``clips_pages``: pages beyond the document's end are no error.
    ``counts_from``: the number that its caller gives a document's first page.
    """

    asked: ocr.ReadRequest
    ignored: Sequence[str] = ()
    clips_pages: bool = False
    counts_from: int = 1
    received_s: float = field(default_factory=time.monotonic)


WAITING = "waiting"
"""Owns the jobs of callers who wait for the answer: no key's digest is a word."""

Take = Callable[[SpoolFile], Awaitable[Order]]
"""Receives a request's body: the document into the file, and what is asked of it."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A document that is here. ``held`` is its place and its file: released once it is read."""

    job: ReadJob
    answer: Answer
    held: ExitStack
    asked: ocr.ReadRequest


@asynccontextmanager
async def arriving(request: web.Request, take: Take) -> AsyncIterator[Arrived]:
    """Receive a document by ``take``, which may refuse it; what it holds is released at the end of the block.

    Raises:
        SidecarError: it is refused, before or after its body was received.
    """
    app, profiles = request.app, _refuse_early(request)
    with ExitStack() as held:
        held.enter_context(app[QUOTA].place(caller_of(request)))
        file = held.enter_context(app[SPOOL].file(app[SETTINGS].max_document_bytes))
        async with app[DRAIN].arriving():
            order = await take(file)
        job = _job(request, order, file.path, profiles)
        answer = Answer(request[REQUEST_ID], list(order.ignored), app[METRICS], job.wanted, app.get(AUDIT))
        yield Arrived(job, answer, held, order.asked)


async def read(request: web.Request, one: Arrived, writer: PagesWriter | None = None) -> DocumentResult:
    """Read a document that is here to its end, and count it; ``writer`` writes it at once, where that can be."""
    async with request.app[DRAIN].document():
        result = await result_of(request, one, replace(one.job, writer=writer), one.answer)
    one.held.close()  # at once, so that its caller can send the next
    one.answer.count(result)
    return result


async def result_of(request: web.Request, one: Arrived, job: ReadJob, progress: Progress) -> DocumentResult:
    """Read a document that is here, or have all pods read it where it is long, and that is how the service is set."""
    if SHARED_READER not in request.app:
        return await request.app[READER].read(job, progress)
    return await request.app[SHARED_READER].read(job, progress, partial(_draft, one, request[REQUEST_ID]))


def _draft(one: Arrived, request_id: str, pages: Sequence[int]) -> Draft:
    """Return the job that other pods are given; nobody else can ask for it."""
    asked = one.asked.model_copy(update={"pages": listed(pages), "max_pages": None})
    profile = one.job.order.instructions.profile
    return Draft(
        owner=WAITING,
        lane=Lane.REALTIME,
        request=asked.model_dump(mode="json", exclude_unset=True),
        profile=profile.model_dump(mode="json") if profile else None,
        request_id=request_id,
        is_kept=False,
    )


def accepted(app: web.Application) -> ocr.Accepted:
    """Return what the wire's parser must know of this service."""
    return ocr.Accepted(app[SETTINGS].max_system_prompt_length, [one.name for one in app[ENGINE_TRAITS]])


def _refuse_early(request: web.Request) -> Profiles:
    """Refuse early, before the body is received, what would be refused anyway; use the current profiles."""
    common.refuse_keep_alive(request.query)
    request.app[READER].admission.refuse_if_full(caller_of(request))
    return request.app[PROFILE_STORE].current


def _job(request: web.Request, order: Order, path: Path, profiles: Profiles) -> ReadJob:
    """Turn the wire's request into the use case's terms.

    Raises:
        InvalidValueError: more pages than the limit, an invalid list of pages, languages that are not installed.
        UnknownProfileError: the named profile is not published.
    """
    settings = request.app[SETTINGS]
    profile = published(order.asked.profile, profiles, settings)
    pages = pages_of(order.asked, settings, clips=order.clips_pages, counts_from=order.counts_from)
    job = read_job(request.app, order.asked, profile, path, pages)
    deadline_s = job.order.instructions.deadline_s or settings.deadline_s
    ends_s = order.received_s + deadline_s if deadline_s else None
    return replace(job, order=replace(job.order, caller=caller_of(request)), ends_s=ends_s)


def read_job(
    app: web.Application, asked: ocr.ReadRequest, profile: Profile | None, path: Path, pages: PageRequest
) -> ReadJob:
    """Make the use case's job of what is asked, whoever asks, and without an end.

    Raises:
        InvalidValueError: languages that are not installed.
    """
    settings = app[SETTINGS]
    if asked.languages is not None:
        app[READER].check_languages(asked.engine, asked.languages)
    verify = Verify(asked.verify) if asked.verify else None
    overrides = Overrides(
        asked.parameters, asked.system_prompt, asked.user_prompt, asked.tags, asked.deadline_seconds, verify
    )
    order = ReadOrder(
        path,
        settings.page_timeout_s,
        asked.languages or settings.languages,
        instruct(profile, settings.ocr_model, overrides, app[RECIPES]),
        asked.active_profile,
        wants_layout=asked.wanted.layout,
        wants_receipt=asked.wanted.receipt or AUDIT in app,
    )
    return ReadJob(asked.engine, pages, order, asked.requested_options, wanted=asked.wanted)


def pages_of(asked: ocr.ReadRequest, settings: Settings, *, clips: bool = False, counts_from: int = 1) -> PageRequest:
    """Return which pages are asked for.

    Raises:
        InvalidValueError: more than the limit, or no list of pages.
    """
    return PageRequest(
        pages=parse_pages(asked.pages, settings.page_limit) if asked.pages is not None else (),
        max_pages=ocr.check_max_pages(asked.max_pages, settings.page_limit),
        default_max_pages=0 if asked.pages else settings.max_pages,
        page_limit=settings.page_limit,
        clips=clips,
        counts_from=counts_from,
    )


def published(name: str | None, profiles: Profiles, settings: Settings) -> Profile | None:
    """Return the requested profile, or the default one, whose absence is no error.

    Raises:
        UnknownProfileError: there is none of that name.
    """
    found = profiles.get(name or settings.default_profile)
    if name and not found:
        raise UnknownProfileError(f"profile is {name[:80]!r}, no profile of that name is published")
    return found
