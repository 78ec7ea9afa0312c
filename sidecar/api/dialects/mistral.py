"""Mistral's OCR: ``POST /v1/ocr`` with a data URI, which is decoded while it arrives, and a shelf for its files."""

import time
from collections.abc import AsyncIterator, Iterable
from functools import partial

from aiohttp import web
from pydantic import BaseModel

from sidecar.api import reading, receive
from sidecar.api.app_keys import DRAIN, QUOTA, SETTINGS, SPOOL, caller_of
from sidecar.api.dialects import exchange
from sidecar.api.dialects.dialect import Dialect, Route
from sidecar.api.dialects.json_document import receive_json
from sidecar.api.dialects.shelf import Shelf
from sidecar.api.reading import Order
from sidecar.documents.spool import SpoolFile
from sidecar.errors import EmptyDocumentError
from sidecar.runtime.background import beside
from sidecar.wire import common
from sidecar.wire.common import JSON
from sidecar.wire.dialects import mistral
from sidecar.wire.dialects.data_uri import BodySplitter
from sidecar.wire.dialects.described import FORM, READING_ERRORS, UPLOADING_ERRORS, Described
from sidecar.wire.ocr import parse_form

SHELF = web.AppKey("SHELF", Shelf)


async def ocr(request: web.Request) -> web.StreamResponse:
    """Read a document of the body, or a file of the shelf."""
    size_bytes = 0

    async def take(file: SpoolFile) -> Order:
        nonlocal size_bytes
        asked = await _receive(request, file)
        read, _ = parse_form({"pages": asked.pages or "", "include": "blocks"}, reading.accepted(request.app))
        order = Order(read, asked.ignored)
        if asked.file_id is not None:
            await request.app[SHELF].copy(asked.file_id, caller_of(request), file)
        size_bytes = file.size_bytes
        return order

    return await exchange.answer_texts(
        request, take, lambda: "", lambda result, texts: mistral.render_ocr(result, texts.markdown, size_bytes)
    )


async def _receive(request: web.Request, file: SpoolFile) -> mistral.OcrOrder:
    """Receive a body; what its data URI holds goes to ``file``, and only the rest is ever in memory."""
    splitter = BodySplitter()
    await receive_json(request, file, splitter)
    return mistral.parse_ocr(splitter.skeleton, has_document=splitter.has_document)


async def upload_file(request: web.Request) -> web.StreamResponse:
    """Put a file on the shelf."""
    app, settings, caller = request.app, request.app[SETTINGS], caller_of(request)
    shelf = app[SHELF]
    shelf.refuse_if_full(caller)
    with app[QUOTA].place(caller), shelf.receiving(settings.max_document_bytes) as (file, held):
        async with app[DRAIN].arriving():
            form = await receive.receive_others_form(request, file, settings, receive.FILE_FIELD)
        mistral.check_purpose(form.fields.pop("purpose", []))
        if not file.size_bytes:
            raise EmptyDocumentError("the field file is empty")
        kept = shelf.keep(file, held, common.shown_name(form.filename), caller)
    created = round(time.time())
    body = mistral.FileBody(
        id=kept.id,
        bytes=kept.size_bytes,
        created_at=created,
        expires_at=created + round(shelf.keep_s),
        filename=kept.name,
    )
    return _told(body, form.fields)


async def get_file_url(request: web.Request) -> web.StreamResponse:
    """Give what `POST /v1/ocr` accepts for a file; for how long it is kept is not the caller's to say."""
    kept = request.app[SHELF].find(request.match_info["id"], caller_of(request))
    return _told(mistral.FileUrlBody(url=mistral.FILE_URL + kept.id), request.query)


async def delete_file(request: web.Request) -> web.StreamResponse:
    """Take a file from the shelf."""
    file_id = request.match_info["id"]
    request.app[SHELF].drop(file_id, caller_of(request))
    return _told(mistral.FileDeletedBody(id=file_id), request.query)


def _told(body: BaseModel, ignored: Iterable[str]) -> web.Response:
    names = common.names_in_header(ignored)
    headers = {common.IGNORED_HEADER: names} if names else None
    return web.Response(body=common.render(body), content_type=JSON, headers=headers)


def make_shelf(app: web.Application) -> None:
    """Make the shelf; while the service runs, files leave it when their time is over."""
    settings = app[SETTINGS]
    app[SHELF] = Shelf(app[SPOOL], settings.file_s, settings.max_files_bytes)
    app.cleanup_ctx.append(shelf_life)


async def shelf_life(app: web.Application) -> AsyncIterator[None]:
    """Keep the shelf tidy, and leave nothing on it."""
    async with beside(app[SHELF].keep_tidy()):
        yield
    app[SHELF].clear()


_described = partial(Described, lists_problems=True)
FILE_ERRORS = ("401", "404", "500")
DIALECT = Dialect(
    "mistral",
    (
        Route(
            _described(
                "POST",
                "/v1/ocr",
                "Read a document, as Mistral does",
                mistral.OcrBody,
                takes=JSON,
                asked=mistral.OcrRequest,
                errors=(*READING_ERRORS, "404"),
            ),
            ocr,
        ),
        Route(
            _described(
                "POST",
                "/v1/files",
                "Keep a file to be read by /v1/ocr",
                mistral.FileBody,
                takes=FORM,
                asked=mistral.FileRequest,
                errors=UPLOADING_ERRORS,
            ),
            upload_file,
        ),
        Route(
            _described(
                "GET",
                "/v1/files/{id}/url",
                "Tell what /v1/ocr accepts for a file",
                mistral.FileUrlBody,
                errors=FILE_ERRORS,
            ),
            get_file_url,
        ),
        Route(
            _described("DELETE", "/v1/files/{id}", "Remove a file", mistral.FileDeletedBody, errors=FILE_ERRORS),
            delete_file,
        ),
    ),
    make_shelf,
)
