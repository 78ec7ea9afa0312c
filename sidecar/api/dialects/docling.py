"""docling-serve's ``POST /v1/convert/file``; its ``/v1/convert/source`` is refused, since it means fetching."""

import time

from aiohttp import web

from sidecar.api import reading, receive
from sidecar.api.app_keys import READER, SETTINGS
from sidecar.api.dialects import exchange
from sidecar.api.dialects.dialect import Dialect, Route
from sidecar.api.reading import Order
from sidecar.documents.spool import SpoolFile
from sidecar.errors import InvalidValueError
from sidecar.ocr.job import DocumentResult
from sidecar.wire import common, ocr
from sidecar.wire.common import JSON
from sidecar.wire.dialects import docling
from sidecar.wire.dialects.described import FORM, Described

FILE_FIELD = "files"


class _Conversion:
    """One request: what its form asks is known when it has arrived, and needed when the answer is written."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._form = docling.parse_form({}).form
        self._filename = ""
        self._received_s = 0.0

    async def take(self, file: SpoolFile) -> Order:
        app = self._request.app
        form = await receive.receive_others_form(self._request, file, app[SETTINGS], FILE_FIELD)
        self._received_s = time.monotonic()
        common.refuse_keep_alive(form.fields)
        asked = docling.parse_form(form.fields)
        self._form, self._filename = asked.form, common.shown_name(form.filename)
        fields = asked.fields(app[READER].policy.default_engine)
        read, _ = ocr.parse_form(fields, reading.accepted(app))
        return Order(read, asked.ignored, clips_pages=True, received_s=self._received_s)

    def render(self, result: DocumentResult) -> docling.ConvertBody:
        took_s = time.monotonic() - self._received_s
        return docling.render_conversion(result, self._form, self._filename, took_s)


async def convert_file(request: web.Request) -> web.StreamResponse:
    """Read a document of a form."""
    one = _Conversion(request)
    return await exchange.answer(request, one.take, one.render)


async def convert_source(_request: web.Request) -> web.StreamResponse:
    """Refuse, whatever the source is."""
    raise InvalidValueError(docling.NOT_FETCHED)


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
                "Refused: nothing is fetched",
                docling.ConvertBody,
                takes=JSON,
                errors=("401", "415", "422", "500", "503"),
            ),
            convert_source,
        ),
    ),
)
