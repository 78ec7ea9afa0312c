"""A further dialect, from its format to its answers: the worked example of docs/extending.md.

Apache Tika's server reads a document that is put to `/tika/text`. What a dialect of this project would have in a file
of `sidecar/api/dialects/` stands first, then its line in `sidecar/api/dialects/registry.py`.
"""

import aiohttp
import pytest
from aiohttp import web
from pydantic import BaseModel, Field

from sidecar.api import receive
from sidecar.api.app_keys import SETTINGS
from sidecar.api.dialects import exchange, registry
from sidecar.api.dialects.dialect import Dialect, Route
from sidecar.api.reading import Order
from sidecar.documents.spool import SpoolFile
from sidecar.service.server import Service
from sidecar.settings import SettingsError, parse_settings
from sidecar.wire.dialects.described import BINARY, Described
from sidecar.wire.ocr import ReadRequest

# ── the dialect ───────────────────────────────────────────────────────────────────────────────────────────────────


class TikaBody(BaseModel):
    """Answer of `PUT /tika/text`."""

    content: str = Field(serialization_alias="X-TIKA:content")
    pages: int = Field(serialization_alias="xmpTPg:NPages")


async def tika_text(request: web.Request) -> web.StreamResponse:
    """Read a document that is the whole body; a query means nothing here."""

    async def take(file: SpoolFile) -> Order:
        await receive.receive_whole(request, file, request.app[SETTINGS])
        return Order(ReadRequest.model_validate({}), list(request.query))

    return await exchange.answer(
        request, take, lambda result: TikaBody(content=result.text, pages=result.facts.page_count)
    )


TIKA = Dialect(
    "tika",
    (Route(Described("PUT", "/tika/text", "Read a document, as Tika does", TikaBody, takes=BINARY), tika_text),),
)


# ── its line in the registry ──────────────────────────────────────────────────────────────────────────────────────


DIALECTS = (*registry.DIALECTS, TIKA)


# ── what the service makes of it ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def begin(tmp_path):
    started = []

    async def _begin(**environ: str) -> Service:
        environ |= {"OCR_AUTH_MODE": "network", "OCR_PORT": "0", "OCR_OPS_PORT": "0", "OCR_WORKERS": "1"}
        environ |= {"BGE_M3_MODEL": "", "RERANKER_MODEL": "", "OCR_SPOOL_DIR": str(tmp_path / "spool")}
        started.append(Service(parse_settings(environ), dialects=DIALECTS))
        await started[-1].start()
        return started[-1]

    yield _begin
    for one in started:
        await one.stop(0)


async def test_it_reads_tells_what_it_ignores_and_is_described(begin, data):
    service = await begin()
    async with aiohttp.ClientSession(service.api_url) as client:
        async with client.put("/tika/text?extract=1", data=(data / "digital.pdf").read_bytes()) as response:
            body = await response.json()
        async with client.get("/openapi.json") as description:
            described = (await description.json())["paths"]["/tika/text"]["put"]
    assert (response.status, body["xmpTPg:NPages"]) == (200, 4)
    assert body["X-TIKA:content"].strip()
    assert (response.headers["X-Ignored-Fields"], response.headers["X-Ocr-Warnings"]) == ("extract", "unknown-field")
    assert described["summary"] == "Read a document, as Tika does"


async def test_a_setting_switches_it_off_and_others_on(begin):
    service = await begin(OCR_DIALECTS="open-webui")
    async with aiohttp.ClientSession(service.api_url) as client, client.put("/tika/text", data=b"a") as response:
        assert response.status == 404
    with pytest.raises(SettingsError, match=r"cyrillic is unknown, accepted are all, none, or some of .*tika$"):
        await begin(OCR_DIALECTS="cyrillic")
