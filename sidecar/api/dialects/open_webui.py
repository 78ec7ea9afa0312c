"""Open WebUI's external document loader: ``PUT /process`` with the file as body."""

from urllib.parse import unquote

from aiohttp import web

from sidecar.api import receive
from sidecar.api.app_keys import REQUEST_ID, SETTINGS
from sidecar.api.dialects import exchange
from sidecar.api.dialects.dialect import Dialect, Route
from sidecar.api.reading import Order
from sidecar.documents.spool import SpoolFile
from sidecar.wire import common
from sidecar.wire.dialects import open_webui
from sidecar.wire.dialects.described import BINARY, Described
from sidecar.wire.ocr import ReadRequest


async def process(request: web.Request) -> web.StreamResponse:
    """Read a document that is the whole body."""

    async def take(file: SpoolFile) -> Order:
        await receive.receive_whole(request, file, request.app[SETTINGS])
        return Order(ReadRequest.model_validate({}), list(request.query))

    source = common.shown_name(unquote(request.headers.get("X-Filename", ""), errors="replace"))
    return await exchange.answer(
        request, take, lambda result: open_webui.render_processed(result, source, request[REQUEST_ID])
    )


DIALECT = Dialect(
    "open-webui",
    (
        Route(
            Described(
                "PUT",
                "/process",
                "Read a document, as Open WebUI's external loader sends it",
                open_webui.ProcessedBody,
                takes=BINARY,
            ),
            process,
        ),
    ),
)
