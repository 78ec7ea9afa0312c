"""One document in a dialect: received, read, written as its caller expects, with what differs in headers."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import cast

from aiohttp import web
from pydantic import BaseModel

from sidecar.api import deliver, reading
from sidecar.api.answers import files
from sidecar.api.app_keys import DRAIN, SETTINGS
from sidecar.api.reading import Arrived, Take
from sidecar.errors import InvalidValueError
from sidecar.ocr.job import DocumentResult, PagesWriter
from sidecar.ocr.results.pages_written import to_write, verbatim
from sidecar.outputs import writing
from sidecar.outputs.writing import Texts
from sidecar.wire import common
from sidecar.wire.common import IGNORED_HEADER, JSON, WARNINGS_HEADER

Render = Callable[[DocumentResult], BaseModel]
RenderTexts = Callable[[DocumentResult, Texts], BaseModel]


SAME: Mapping[str, str] = MappingProxyType({})


async def answer(
    request: web.Request, take: Take, render: Render, names: Mapping[str, str] = SAME
) -> web.StreamResponse:
    """Receive a document by ``take``, read it, and answer with what ``render`` makes of it.

    ``names``: what the dialect calls the fields of `/ocr-upload` that it calls otherwise; errors call them so.
    """
    one, result = await _read(request, take, names)
    return await _send(request, one, result, render(result))


async def answer_texts(
    request: web.Request, take: Take, title: Callable[[], str], render: RenderTexts, names: Mapping[str, str] = SAME
) -> web.StreamResponse:
    """Do as :func:`answer`, with the document in the formats that others' services answer with; it has a title."""
    one, result = await _read(request, take, names, lambda: partial(writing.texts, verbatim={}, title=title()))
    texts = cast(Texts | None, result.written)
    if texts is None:
        texts = await files.by_worker(request, writing.texts, to_write(result), verbatim(result), title())
    return await _send(request, one, result, render(result, texts))


async def _read(
    request: web.Request, take: Take, names: Mapping[str, str], writer: Callable[[], PagesWriter | None] = lambda: None
) -> tuple[Arrived, DocumentResult]:
    try:
        async with reading.arriving(request, take) as one:
            return one, await reading.read(request, one, writer())
    except InvalidValueError as error:
        raise error.named(names) from error.__cause__


async def _send(request: web.Request, one: Arrived, result: DocumentResult, told: BaseModel) -> web.StreamResponse:
    body = common.render(told)
    headers = {
        WARNINGS_HEADER: ", ".join(one.answer.warnings(result)),
        IGNORED_HEADER: common.names_in_header(one.answer.ignored_fields),
    }
    said = {name: value for name, value in headers.items() if value}
    async with request.app[DRAIN].answering():
        return await deliver.deliver(request, body, JSON, request.app[SETTINGS].receive_timeout_s, said)
