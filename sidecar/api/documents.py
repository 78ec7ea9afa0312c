"""Documents over HTTP, `/ocr-upload` and `/ocr`: receive, parse, call the use case, answer."""

from dataclasses import replace
from functools import partial

from aiohttp import web

from sidecar.api import reading, receive
from sidecar.api.answers import bodies, files
from sidecar.api.answers.answer import StreamedAnswer
from sidecar.api.app_keys import DRAIN, SETTINGS, UPLOADS
from sidecar.api.middleware import error_of
from sidecar.api.reading import Arrived, Order
from sidecar.api.receive import read_body
from sidecar.documents.spool import SpoolFile
from sidecar.errors import SidecarError
from sidecar.outputs.formats import Output
from sidecar.wire import ocr
from sidecar.wire.answers import outputs
from sidecar.wire.answers.blocks import render_pages


async def ocr_upload(request: web.Request) -> web.StreamResponse:
    """Read an uploaded document."""

    async def take(file: SpoolFile) -> Order:
        fields = await receive.receive_upload(request, file, request.app[SETTINGS])
        asked, ignored = ocr.parse_form(fields, reading.accepted(request.app))
        return Order(outputs.with_output(asked, _accept(request)), ignored)

    async with reading.arriving(request, take) as one:
        return await _answer(request, one)


async def ocr_path(request: web.Request) -> web.StreamResponse:
    """Read a document of the shared volume."""
    settings = request.app[SETTINGS]

    async def take(file: SpoolFile) -> Order:
        receive.refuse_length(request, settings.max_field_bytes, settings.max_field_bytes)
        async with receive.receiving(settings.receive_timeout_s):
            body = await read_body(request, settings.max_field_bytes)
        asked = ocr.parse_body(body, reading.accepted(request.app))
        order = Order(outputs.with_output(asked, _accept(request)))  # the body is here: copying counts as reading
        await request.app[UPLOADS].copy(asked.pdf_path, file)
        return order

    async with reading.arriving(request, take) as one:
        return await _answer(request, one)


async def _answer(request: web.Request, one: Arrived) -> web.StreamResponse:
    """Read and answer."""
    if one.asked.output not in (None, Output.JSON):
        return await files.answer(request, one, one.asked.output)
    if outputs.wants_stream(_accept(request)):
        return await _stream(request, one)
    result = await reading.read(request, one, partial(render_pages, with_words=one.job.wanted.words))
    async with request.app[DRAIN].answering():
        return await bodies.deliver_json(request, one.answer, result)


def _accept(request: web.Request) -> str:
    return ",".join(request.headers.getall("Accept", ()))


async def _stream(request: web.Request, one: Arrived) -> web.StreamResponse:
    """Stream the answer; an error before its first line is a normal error response, later it is the last line."""
    streamed = StreamedAnswer(request, one.answer, bodies.writer_of(request.app))
    try:
        async with request.app[DRAIN].document():
            result = await reading.result_of(request, one, replace(one.job, streams=True), streamed)
            one.held.close()
            one.answer.count(result)
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
