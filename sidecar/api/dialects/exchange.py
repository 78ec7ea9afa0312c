"""One document in a dialect: received, read, written as its caller expects, with what differs in headers."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from aiohttp import web
from pydantic import BaseModel

from sidecar.api import deliver, reading
from sidecar.api.app_keys import DRAIN, SETTINGS
from sidecar.api.reading import Take
from sidecar.errors import InvalidValueError
from sidecar.ocr.job import DocumentResult
from sidecar.wire import common
from sidecar.wire.common import IGNORED_HEADER, JSON

WARNINGS_HEADER = "X-Ocr-Warnings"
"""The warnings of a document, where the dialect's body has no room for them and where it has."""

Render = Callable[[DocumentResult], BaseModel]


SAME: Mapping[str, str] = MappingProxyType({})


async def answer(
    request: web.Request, take: Take, render: Render, names: Mapping[str, str] = SAME
) -> web.StreamResponse:
    """Receive a document by ``take``, read it, and answer with what ``render`` makes of it.

    ``names``: what the dialect calls the fields of `/ocr-upload` that it calls otherwise; errors call them so.
    """
    try:
        async with reading.arriving(request, take) as one:
            result = await reading.read(request, one)
    except InvalidValueError as error:
        raise error.named(names) from error.__cause__
    body = common.render(render(result))
    headers = {
        WARNINGS_HEADER: ", ".join(one.answer.warnings(result)),
        IGNORED_HEADER: common.names_in_header(one.answer.ignored_fields),
    }
    told = {name: value for name, value in headers.items() if value}
    async with request.app[DRAIN].answering():
        return await deliver.deliver(request, body, JSON, request.app[SETTINGS].receive_timeout_s, told)
