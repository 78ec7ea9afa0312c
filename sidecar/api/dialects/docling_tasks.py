"""docling-serve's tasks: conversions that are handed over now and fetched later are jobs under other names."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial

from aiohttp import web

from sidecar.api import deliver, reading, receive
from sidecar.api.answers import files
from sidecar.api.app_keys import DRAIN, JOBS, PROFILE_STORE, READER, REQUEST_ID, SETTINGS
from sidecar.api.dialects.dialect import Route
from sidecar.api.dialects.json_document import receive_json
from sidecar.api.jobs import following, orders, owners, submitting
from sidecar.documents.spool import SpoolFile
from sidecar.errors import InvalidValueError, JobNotFoundError, NotConfiguredError
from sidecar.jobs.jobs import Draft
from sidecar.jobs.record import Lane, Ref
from sidecar.ocr.results.pages_written import to_write, verbatim
from sidecar.outputs import writing
from sidecar.wire import common, ocr
from sidecar.wire import jobs as wire
from sidecar.wire.common import JSON
from sidecar.wire.dialects import docling
from sidecar.wire.dialects.data_uri import BodySplitter
from sidecar.wire.dialects.described import FORM, UPLOADING_ERRORS, Described

Take = Callable[[web.Request, SpoolFile], Awaitable[Draft]]
TOLD_ERRORS = ("401", "404", "409", "410", "422", "503")


async def convert_file(request: web.Request) -> web.StreamResponse:
    """Hand a document of a form over."""
    return await _hand_in(request, _take_form, docling.FORM_NAMES)


async def convert_source(request: web.Request) -> web.StreamResponse:
    """Hand a document of a body in JSON over."""
    return await _hand_in(request, _take_json, docling.JSON_NAMES)


async def poll(request: web.Request) -> web.StreamResponse:
    """Tell how far a task is; with `wait`, once it has got on."""
    ref = await _ref(request)
    view = await request.app[JOBS].view(ref)
    wait_s = wire.parse_wait(request.query)
    if wait_s and not view.record.state.is_end:
        view = await following.news(request, ref, wire.version_of(view), wait_s) or view
    return _told(docling.render_task(view))


async def get_result(request: web.Request) -> web.StreamResponse:
    """Answer with a conversion that was handed over earlier."""
    app, ref = request.app, await _ref(request)
    view = await app[JOBS].view(ref)
    if not view.record.state.is_end:
        raise JobNotFoundError("the task has no result yet; wait for a completion status")
    async with app[DRAIN].request():
        result = (await app[JOBS].result(ref)).result
        order = view.record.order
        title = order.filename
        texts = await files.by_worker(request, writing.texts, to_write(result), verbatim(result), title)
        form = docling.ConvertForm.model_validate(order.more)
        took_s = ((view.record.ended_at or datetime.now(UTC)) - order.accepted_at).total_seconds()
        body = docling.render_conversion(result, texts, form, title, took_s)
        return await deliver.deliver(request, common.render(body), JSON, app[SETTINGS].receive_timeout_s)


async def _hand_in(request: web.Request, take: Take, names: dict[str, str]) -> web.StreamResponse:
    if JOBS not in request.app:
        raise NotConfiguredError("conversions that are fetched later need the queue of jobs: set OCR_JOBS")
    common.refuse_keep_alive(request.query)
    try:
        view = await submitting.hand_in(request, partial(take, request))
    except InvalidValueError as error:
        raise error.named(names) from error.__cause__
    return _told(docling.render_task(view))


async def _take_form(request: web.Request, file: SpoolFile) -> Draft:
    form = await receive.receive_others_form(request, file, request.app[SETTINGS], docling.FILE_FIELD)
    common.refuse_keep_alive(form.fields)
    return await _draft(request, docling.parse_form(form.fields), form.filename)


async def _take_json(request: web.Request, file: SpoolFile) -> Draft:
    splitter = BodySplitter(docling.BASE64_FIELD)
    await receive_json(request, file, splitter)
    return await _draft(request, *docling.parse_source(splitter.skeleton, has_document=splitter.has_document))


async def _draft(request: web.Request, asked: docling.Conversion, filename: str) -> Draft:
    app = request.app
    fields = asked.fields(app[READER].policy.default_engine)
    read, _ = ocr.parse_form({"include": "blocks", **fields}, reading.accepted(app))
    profile = reading.published(read.profile, app[PROFILE_STORE].current, app[SETTINGS])
    orders.check(app, read, profile, clips=True)
    return Draft(
        owner=await owners.owner_of(request),
        lane=Lane.REALTIME,
        request=read.model_dump(mode="json", exclude_unset=True),
        profile=profile.model_dump(mode="json") if profile else None,
        request_id=request[REQUEST_ID],
        ignored_fields=asked.ignored,
        filename=common.shown_name(filename),
        clips_pages=True,
        more=asked.form.model_dump(mode="json", exclude={"files"}),
    )


async def _ref(request: web.Request) -> Ref:
    if JOBS not in request.app:
        raise JobNotFoundError("there is no such task")
    return Ref(owner=await owners.owner_of(request), id=wire.parse_id(request.match_info["task_id"]))


def _told(body: docling.TaskBody) -> web.Response:
    return web.Response(body=common.render(body), content_type=JSON)


def _handing_over(path: str, takes: str, asked: type, summary: str) -> Described:
    return Described("POST", path, summary, docling.TaskBody, takes=takes, asked=asked, errors=UPLOADING_ERRORS)


ROUTES = (
    Route(
        _handing_over("/v1/convert/file/async", FORM, docling.ConvertForm, "Hand a document over, as docling does"),
        convert_file,
    ),
    Route(
        _handing_over(
            "/v1/convert/source/async", JSON, docling.ConvertSourceRequest, "Hand a document over; nothing is fetched"
        ),
        convert_source,
    ),
    Route(
        Described(
            "GET",
            "/v1/status/poll/{task_id}",
            "Tell how far a conversion is",
            docling.TaskBody,
            errors=TOLD_ERRORS,
            query=("wait",),
        ),
        poll,
    ),
    Route(
        Described(
            "GET", "/v1/result/{task_id}", "A conversion that has ended", docling.ConvertBody, errors=TOLD_ERRORS
        ),
        get_result,
    ),
)
