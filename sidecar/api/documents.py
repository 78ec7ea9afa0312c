"""Documents over HTTP, `/ocr-upload` and `/ocr`: receive, parse, call the use case, answer."""

import time
from contextlib import ExitStack
from pathlib import Path

from aiohttp import web

from sidecar.api import deliver, receive
from sidecar.api.answer import Answer, StreamedAnswer
from sidecar.api.app_keys import (
    DRAIN,
    ENGINE_TRAITS,
    METRICS,
    PROFILE_STORE,
    QUOTA,
    READER,
    RECIPES,
    REQUEST_ID,
    SETTINGS,
    SPOOL,
    UPLOADS,
    caller_of,
)
from sidecar.api.middleware import error_of
from sidecar.api.receive import read_body
from sidecar.documents.page_selection import PageRequest, parse_pages
from sidecar.errors import SidecarError, UnknownProfileError
from sidecar.ocr.engine import ReadOrder
from sidecar.ocr.job import ReadJob
from sidecar.profiles.payload import Profile
from sidecar.profiles.precedence import Overrides, instruct
from sidecar.profiles.store import Profiles
from sidecar.settings import Settings
from sidecar.wire import common, ocr
from sidecar.wire.common import JSON


async def ocr_upload(request: web.Request) -> web.StreamResponse:
    """Read an uploaded document."""
    settings = request.app[SETTINGS]
    profiles = _refuse_early(request)
    with ExitStack() as held:
        held.enter_context(request.app[QUOTA].place(caller_of(request)))
        file = held.enter_context(request.app[SPOOL].file(settings.max_document_bytes))
        async with request.app[DRAIN].arriving():
            fields = await receive.receive_upload(request, file, settings)
        received_s = time.monotonic()
        asked, ignored = ocr.parse_form(fields, _accepted(request.app))
        return await _answer(request, _job(request, asked, file.path, profiles, received_s), held, ignored)


async def ocr_path(request: web.Request) -> web.StreamResponse:
    """Read a document of the shared volume."""
    settings = request.app[SETTINGS]
    profiles = _refuse_early(request)
    receive.refuse_length(request, settings.max_field_bytes, settings.max_field_bytes)
    with ExitStack() as held:
        held.enter_context(request.app[QUOTA].place(caller_of(request)))
        file = held.enter_context(request.app[SPOOL].file(settings.max_document_bytes))
        async with request.app[DRAIN].arriving():
            async with receive.receiving(settings.receive_timeout_s):
                body = await read_body(request, settings.max_field_bytes)
            received_s = time.monotonic()
            asked = ocr.parse_body(body, _accepted(request.app))
            await request.app[UPLOADS].copy(asked.pdf_path, file)
        return await _answer(request, _job(request, asked, file.path, profiles, received_s), held)


def _accepted(app: web.Application) -> ocr.Accepted:
    return ocr.Accepted(app[SETTINGS].max_system_prompt_length, [one.name for one in app[ENGINE_TRAITS]])


def _refuse_early(request: web.Request) -> Profiles:
    """Refuse early, before the body is received, what would be refused anyway; use the current profiles."""
    common.refuse_keep_alive(request.query)
    request.app[READER].admission.refuse_if_full(caller_of(request))
    return request.app[PROFILE_STORE].current


async def _answer(
    request: web.Request, job: ReadJob, held: ExitStack, ignored: list[str] | None = None
) -> web.StreamResponse:
    """Read and answer. ``held`` is released once the document is read, so that its caller can send the next at once."""
    answer = Answer(request[REQUEST_ID], ignored or [], request.app[METRICS])
    if common.NDJSON in request.headers.get("Accept", ""):
        return await _stream(request, job, held, answer)
    drain = request.app[DRAIN]
    async with drain.document():
        result = await request.app[READER].read(job, answer)
    held.close()
    answer.count(result)
    body = common.render(answer.whole(result))
    async with drain.answering():
        return await deliver.deliver(request, body, JSON, request.app[SETTINGS].receive_timeout_s)


async def _stream(request: web.Request, job: ReadJob, held: ExitStack, answer: Answer) -> web.StreamResponse:
    """Stream the answer; an error before its first line is a normal error response, later it is the last line."""
    streamed = StreamedAnswer(request, answer, request.app[SETTINGS].receive_timeout_s)
    try:
        async with request.app[DRAIN].document():
            result = await request.app[READER].read(job, streamed)
            held.close()
            answer.count(result)
            await streamed.done(result)
    except SidecarError as error:
        if not streamed.response.prepared:
            raise
        await streamed.failed(error)
    except Exception as exc:
        if not streamed.response.prepared or isinstance(exc, ConnectionError):
            raise
        await streamed.failed(error_of(exc, request))
    await streamed.finish()
    return streamed.response


def _job(request: web.Request, asked: ocr.ReadRequest, path: Path, profiles: Profiles, received_s: float) -> ReadJob:
    """Turn the wire's request, whose body was complete at ``received_s``, into the use case's terms.

    Raises:
        InvalidValueError: more pages than the limit, an invalid list of pages, languages that are not installed.
        UnknownProfileError: the named profile is not published.
    """
    app, settings = request.app, request.app[SETTINGS]
    max_pages = ocr.check_max_pages(asked.max_pages, settings.page_limit)
    page_request = PageRequest(
        pages=parse_pages(asked.pages, settings.page_limit) if asked.pages is not None else (),
        max_pages=max_pages,
        default_max_pages=0 if asked.pages else settings.max_pages,
        page_limit=settings.page_limit,
    )
    if asked.languages is not None:
        app[READER].check_languages(asked.engine, asked.languages)
    instructions = instruct(
        _profile(asked.profile, profiles, settings),
        settings.ocr_model,
        Overrides(asked.parameters, asked.system_prompt, asked.user_prompt, asked.tags, asked.deadline_seconds),
        app[RECIPES],
    )
    languages = asked.languages or settings.languages
    order = ReadOrder(path, settings.page_timeout_s, languages, instructions, asked.active_profile, caller_of(request))
    deadline_s = instructions.deadline_s or settings.deadline_s
    return ReadJob(
        asked.engine, page_request, order, asked.requested_options, received_s + deadline_s if deadline_s else None
    )


def _profile(name: str | None, profiles: Profiles, settings: Settings) -> Profile | None:
    """Return the requested profile, or the default one, whose absence is no error."""
    found = profiles.get(name or settings.default_profile)
    if name and not found:
        raise UnknownProfileError(f"profile is {name[:80]!r}, no profile of that name is published")
    return found
