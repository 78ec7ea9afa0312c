"""One function per endpoint: read, parse, call, render."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from sidecar import __version__
from sidecar.api import receive
from sidecar.api.answer import Answer, StreamedAnswer
from sidecar.api.app_keys import (
    DRAIN,
    EMBEDDER,
    METRICS,
    MODEL_WATCH,
    PROFILE_STORE,
    READER,
    REQUEST_ID,
    RERANKER,
    SETTINGS,
    SPOOL,
    TESSERACT_ENGINE,
    VISION_ENGINE,
    WORKERS,
)
from sidecar.api.middleware import error_of
from sidecar.documents import upload_paths
from sidecar.documents.page_selection import PageWish, parse_pages
from sidecar.documents.spool import SpoolFile
from sidecar.errors import (
    DeadlineError,
    MalformedBodyError,
    SidecarError,
    StorageError,
    TooLargeError,
    UnknownProfileError,
)
from sidecar.ocr import health
from sidecar.ocr.engine import NP_DMS_OCR, TESSERACT, Orders
from sidecar.ocr.reader import ReadJob
from sidecar.profiles.payload import Profile, instruct
from sidecar.profiles.store import Profiles
from sidecar.settings import Settings
from sidecar.wire import ocr
from sidecar.wire.openapi import openapi_document

COPY_BYTES = 1024 * 1024
JSON = "application/json"


# ── documents ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def ocr_upload(request: web.Request) -> web.StreamResponse:
    """Read an uploaded document."""
    settings = request.app[SETTINGS]
    profiles = _refuse_early(request)
    with request.app[SPOOL].file(settings.max_document_bytes) as file:
        async with request.app[DRAIN].arriving():
            fields = await receive.receive_upload(request, file, settings)
        asked, ignored = ocr.parse_form(fields, settings.max_system_prompt_length)
        return await _answer(request, _job(request.app, asked, file.path, profiles), ignored)


async def ocr_path(request: web.Request) -> web.StreamResponse:
    """Read a document of the shared volume."""
    settings = request.app[SETTINGS]
    profiles = _refuse_early(request)
    receive.refuse_length(request, settings.max_field_bytes, settings.max_field_bytes)
    with request.app[SPOOL].file(settings.max_document_bytes) as file:
        async with request.app[DRAIN].arriving():
            async with receive.receiving(settings.receive_timeout_s):
                body = await read_body(request, settings.max_field_bytes)
            asked = ocr.parse_body(body, settings.max_system_prompt_length)
            await _copy_in_time(asked.pdf_path, file, settings)
        return await _answer(request, _job(request.app, asked, file.path, profiles))


def _refuse_early(request: web.Request) -> Profiles:
    """Refuse what would be refused anyway before its body is received; take the profiles as they are now."""
    ocr.refuse_keep_alive(request.query)
    request.app[READER].admission.refuse_if_full()
    return request.app[PROFILE_STORE].current


async def read_body(request: web.Request, max_bytes: int, hold: Callable[[int], None] = lambda _size: None) -> bytes:
    """Read a body that must not be empty, and refuse it at the first byte over the limit; ``hold`` is told of each."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        hold(len(chunk))
        body += chunk
        if len(body) > max_bytes:
            raise TooLargeError(f"the body has more than {max_bytes} bytes, which is the limit")
    if not body:
        raise MalformedBodyError("the body is empty, a JSON object is accepted")
    return bytes(body)


async def _copy_in_time(pdf_path: str, target: SpoolFile, settings: Settings) -> None:
    """Bound the copy: the shared volume may be a network file system that hangs."""
    try:
        async with asyncio.timeout(settings.receive_timeout_s):
            await asyncio.to_thread(_copy_upload, pdf_path, target, settings)
    except TimeoutError as exc:
        raise DeadlineError(f"the file could not be read within {settings.receive_timeout_s:g} s") from exc
    except OSError as exc:
        raise StorageError("the file cannot be read now", retry_after_s=30) from exc


def _copy_upload(pdf_path: str, target: SpoolFile, settings: Settings) -> None:
    """Copy a file of the shared volume into the spool: what was checked is what is read, whatever happens there now."""
    with os.fdopen(upload_paths.open_upload(pdf_path, settings.upload_base), "rb") as source:
        while chunk := source.read(COPY_BYTES):
            target.write(chunk)


async def _answer(request: web.Request, job: ReadJob, ignored: list[str] | None = None) -> web.StreamResponse:
    answer = Answer(request[REQUEST_ID], ignored or [], request.app[METRICS])
    if ocr.NDJSON in request.headers.get("Accept", ""):
        return await _stream(request, job, answer)
    async with request.app[DRAIN].document():
        result = await request.app[READER].read(job, answer)
    answer.count(result)
    return web.Response(body=ocr.render(answer.whole(result)), content_type=JSON)


async def _stream(request: web.Request, job: ReadJob, answer: Answer) -> web.StreamResponse:
    """Stream the answer; an error before its first line is a plain error response, after it the last line."""
    streamed = StreamedAnswer(request, answer, request.app[SETTINGS].receive_timeout_s)
    try:
        async with request.app[DRAIN].document():
            result = await request.app[READER].read(job, streamed)
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


def _job(app: web.Application, asked: ocr.ReadRequest, path: Path, profiles: Profiles) -> ReadJob:
    """Turn the wire's wishes into the use case's terms.

    Raises:
        InvalidValueError: more pages than the limit, pages that are none, languages that are not installed.
        UnknownProfileError: a profile is named that is not published.
    """
    settings = app[SETTINGS]
    max_pages = ocr.check_max_pages(asked.max_pages, settings.page_limit)
    wish = PageWish(
        pages=parse_pages(asked.pages, settings.page_limit) if asked.pages is not None else (),
        max_pages=max_pages,
        default_max_pages=0 if asked.pages else settings.max_pages,
        page_limit=settings.page_limit,
    )
    if asked.languages is not None:
        app[TESSERACT_ENGINE].check_languages(asked.languages)
    orders = Orders(
        asked.languages or settings.languages,
        instruct(asked.model_wish, _profile(asked.profile, profiles, settings), settings.ocr_model),
        asked.active_profile,
    )
    return ReadJob(path, asked.engine, orders, wish, asked.asks_for_a_model)


def _profile(name: str | None, profiles: Profiles, settings: Settings) -> Profile | None:
    """Find the profile asked for, or the default one, whose absence is no error."""
    found = profiles.get(name or settings.default_profile)
    if name and not found:
        raise UnknownProfileError(f"profile is {name[:80]!r}, no profile of that name is published")
    return found


# ── what the service is, and how it does ──────────────────────────────────────────────────────────────────────────


def capability(app: web.Application) -> health.Capability:
    """Tell whether documents can be read now."""
    return health.ocr_capability(facts_of(app))


def facts_of(app: web.Application) -> health.Facts:
    """Gather what health is judged by."""
    settings, tesseract = app[SETTINGS], app[TESSERACT_ENGINE]
    installed = tesseract.installed.languages if tesseract.installed else frozenset()
    missing = [name for name in settings.languages.split("+") if name not in installed]
    watch, vision = app.get(MODEL_WATCH), app.get(VISION_ENGINE)
    return health.Facts(
        stopping=app[DRAIN].leaving,
        workers_alive=app[WORKERS].alive,
        tesseract_loaded=tesseract.installed is not None,
        tesseract_failure=tesseract.failure,
        default_language_missing=", ".join(missing) or None,
        default_engine=settings.default_engine,
        fallback_engine=settings.stand_in,
        model_configured=vision is not None,
        model_failure=watch.failure if watch else None,
        circuit_open=vision.circuit.holds_back if vision else False,
    )


async def get_health(request: web.Request) -> web.Response:
    """Answer the backend: any 2xx means that documents can be read."""
    settings = request.app[SETTINGS]
    readable = capability(request.app)
    body = ocr.HealthBody(
        status="ok" if readable.ready else readable.state,
        ocr_model=settings.ocr_model,
        ollama_url=public_url(settings.ollama_api_url),
        ocr_engine=settings.default_engine,
        version=__version__,
        reasons=[readable.reason] if readable.reason else [],
    )
    return web.Response(status=200 if readable.ready else 503, body=ocr.render(body), content_type=JSON)


def public_url(url: str | None) -> str | None:
    """Show scheme, host and port; credentials, path and query stay here."""
    if not url:
        return None
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")


async def get_openapi(request: web.Request) -> web.Response:
    """Describe the API port."""
    return web.json_response(openapi_document(request.app[SETTINGS]))


async def get_livez(request: web.Request) -> web.Response:
    """Tell the kubelet whether to leave the process running."""
    alive = health.is_alive(facts_of(request.app))
    return web.json_response({"status": "ok" if alive else "dead"}, status=200 if alive else 503)


async def get_readyz(request: web.Request) -> web.Response:
    """Tell, for each capability, whether it can be asked for; 200 when documents can be read."""
    facts, profiles = facts_of(request.app), request.app[PROFILE_STORE].current
    readable = health.ocr_capability(facts)
    embedder, reranker = request.app[EMBEDDER], request.app[RERANKER]
    capabilities = {"ocr": readable, embedder.name: embedder.capability, reranker.name: reranker.capability}
    engines = {TESSERACT: health.tesseract_capability(facts), NP_DMS_OCR: health.model_capability(facts)}
    body = {
        **{name: _render_capability(one) for name, one in capabilities.items()},
        "engines": {name: _render_capability(one) for name, one in engines.items()},
        "profiles": {"loaded": len(profiles.loaded), "refused": profiles.refused},
    }
    return web.json_response(body, status=200 if readable.ready else 503)


def _render_capability(capability: health.Capability) -> dict[str, str | None]:
    return {"state": capability.state, "reason": capability.reason}


async def get_profiles(request: web.Request) -> web.Response:
    """List the profiles that are applied, and the files that could not be."""
    profiles = request.app[PROFILE_STORE].current
    body = ocr.ProfilesBody(
        profiles=[
            ocr.LoadedProfileBody(
                name=one.profile.name,
                revision=one.profile.revision,
                content_revision=one.content_revision,
                generation=one.profile.generation,
                loaded_at=one.loaded_at,
            )
            for one in profiles.loaded.values()
        ],
        refused=[ocr.RefusedProfileBody(file=file, reason=reason) for file, reason in profiles.refused.items()],
    )
    return web.Response(body=ocr.render(body), content_type=JSON)


async def get_metrics(request: web.Request) -> web.Response:
    """Show the metrics in Prometheus' text format."""
    return web.Response(
        body=request.app[METRICS].render(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
    )
