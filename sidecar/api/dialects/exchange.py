"""One document in a dialect: received, read, written as its caller expects, with what differs in headers."""

from collections.abc import Callable

from aiohttp import web
from pydantic import BaseModel

from sidecar.api import deliver, reading
from sidecar.api.app_keys import DRAIN, SETTINGS
from sidecar.api.reading import Take
from sidecar.ocr.job import DocumentResult
from sidecar.wire import common
from sidecar.wire.common import IGNORED_HEADER, JSON, WARNINGS_HEADER

Render = Callable[[DocumentResult], BaseModel]


async def answer(request: web.Request, take: Take, render: Render) -> web.StreamResponse:
    """Receive a document by ``take``, read it, and answer with what ``render`` makes of it."""
    async with reading.arriving(request, take) as one:
        result = await reading.read(request, one)
    body = common.render(render(result))
    headers = {
        WARNINGS_HEADER: ", ".join(one.answer.warnings(result)),
        IGNORED_HEADER: common.names_in_header(one.answer.ignored_fields),
    }
    told = {name: value for name, value in headers.items() if value}
    async with request.app[DRAIN].answering():
        return await deliver.deliver(request, body, JSON, request.app[SETTINGS].receive_timeout_s, told)
