"""docling-serve's ``POST /v1/convert/file`` and ``/v1/convert/source``; of sources, only files are taken.

What is fetched later stands in :mod:`sidecar.api.dialects.docling_tasks`.
"""

import time

from aiohttp import web

from sidecar.api import reading, receive
from sidecar.api.app_keys import READER, SETTINGS
from sidecar.api.dialects import docling_tasks, exchange
from sidecar.api.dialects.dialect import Dialect, Route
from sidecar.api.dialects.json_document import receive_json
from sidecar.api.reading import Order
from sidecar.documents.spool import SpoolFile
from sidecar.ocr.job import DocumentResult
from sidecar.outputs.writing import Texts
from sidecar.wire import common, ocr
from sidecar.wire.common import JSON
from sidecar.wire.dialects import docling
from sidecar.wire.dialects.data_uri import BodySplitter
from sidecar.wire.dialects.described import FORM, Described


class _Conversion:
    """One request: what it asks is known when it has arrived, and needed when the answer is written."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._form = docling.parse_form({}).form
        self._filename = ""
        self._received_s = 0.0

    async def take_form(self, file: SpoolFile) -> Order:
        settings = self._request.app[SETTINGS]
        form = await receive.receive_others_form(self._request, file, settings, docling.FILE_FIELD)
        self._received_s = time.monotonic()
        common.refuse_keep_alive(form.fields)
        return self._order(docling.parse_form(form.fields), form.filename)

    async def take_json(self, file: SpoolFile) -> Order:
        splitter = BodySplitter(docling.BASE64_FIELD)
        await receive_json(self._request, file, splitter)
        self._received_s = time.monotonic()
        return self._order(*docling.parse_source(splitter.skeleton, has_document=splitter.has_document))

    def _order(self, asked: docling.Conversion, filename: str) -> Order:
        app = self._request.app
        self._form, self._filename = asked.form, common.shown_name(filename)
        fields = asked.fields(app[READER].policy.default_engine)
        read, _ = ocr.parse_form({"include": "blocks", **fields}, reading.accepted(app))
        return Order(read, asked.ignored, clips_pages=True, received_s=self._received_s)

    def title(self) -> str:
        return self._filename

    def render(self, result: DocumentResult, texts: Texts) -> docling.ConvertBody:
        took_s = time.monotonic() - self._received_s
        return docling.render_conversion(result, texts, self._form, self._filename, took_s)


async def convert_file(request: web.Request) -> web.StreamResponse:
    """Read a document of a form."""
    one = _Conversion(request)
    return await exchange.answer_texts(request, one.take_form, one.title, one.render, docling.FORM_NAMES)


async def convert_source(request: web.Request) -> web.StreamResponse:
    """Read a document of a body in JSON; any source that would have to be fetched is refused."""
    one = _Conversion(request)
    return await exchange.answer_texts(request, one.take_json, one.title, one.render, docling.JSON_NAMES)


DIALECT = Dialect(
    "docling",
    (
        Route(
            Described(
                "POST",
                "/v1/convert/file",
                "Read a document, as docling-serve does",
                docling.ConvertBody,
                takes=FORM,
                asked=docling.ConvertForm,
            ),
            convert_file,
        ),
        Route(
            Described(
                "POST",
                "/v1/convert/source",
                "Read a document, as docling-serve does; nothing is fetched",
                docling.ConvertBody,
                takes=JSON,
                asked=docling.ConvertSourceRequest,
            ),
            convert_source,
        ),
        *docling_tasks.ROUTES,
    ),
)
