"""Results of jobs, in any format that `/ocr-upload` answers in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from sidecar.api import deliver
from sidecar.api.answers import bodies, files
from sidecar.api.answers.answer import Answer
from sidecar.api.app_keys import DRAIN, JOBS, SETTINGS, SPOOL
from sidecar.api.deliver import File
from sidecar.api.jobs import orders, owners
from sidecar.documents.searchable.pieces import Stretch
from sidecar.jobs.jobs import Finished
from sidecar.jobs.record import Ref
from sidecar.outputs.formats import MEDIA_TYPES, Output
from sidecar.wire import jobs as wire


async def get_result(request: web.Request) -> web.StreamResponse:
    """Answer with what came of a job."""
    app, ref = request.app, await owners.ref_of(request)
    view = await app[JOBS].view(ref)
    asked = orders.asked_of(view.record.order)
    output = wire.output_of(request.query, ",".join(request.headers.getall("Accept", ())), asked)
    async with app[DRAIN].request():
        done = await app[JOBS].result(ref)
        told = orders.answer_of(app, view.record, asked.model_copy(update={"output": output}).wanted)
        return await _deliver(request, ref, told, done, output)


async def _deliver(request: web.Request, ref: Ref, told: Answer, done: Finished, output: Output) -> web.StreamResponse:
    stall_s = request.app[SETTINGS].receive_timeout_s
    if output is Output.JSON:
        return await bodies.deliver_json(request, told, done.result)
    if output is not Output.PDF:
        file = await files.text_file(request, told, done.result, output)
        return await deliver.deliver_file(request, file, stall_s)
    async with _pdf(request, ref, told, done) as file:
        return await deliver.deliver_file(request, file, stall_s)


@asynccontextmanager
async def _pdf(request: web.Request, ref: Ref, told: Answer, done: Finished) -> AsyncIterator[File]:
    with request.app[SPOOL].file() as spooled:
        await request.app[JOBS].file(ref, spooled)
        part = files.stretch(spooled.path, Stretch(0, spooled.size_bytes))
        headers = files.headers_of(told, done.result)
        yield File(part, spooled.size_bytes, MEDIA_TYPES[Output.PDF], headers)
