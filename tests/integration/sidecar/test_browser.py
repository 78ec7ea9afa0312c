"""A person finds a Thai word in a searchable PDF, in a real Chromium with pdf.js' viewer."""

from pathlib import Path

import pytest
from aiohttp import web
from rapidfuzz.distance import Levenshtein

from tests.integration.sidecar.test_outputs import asked
from tests.integration.sidecar.viewer.browser import CHROMIUM, opened
from tests.unit.test_docs import ROOT

PDFJS = ROOT / ".pdfjs" / "node_modules" / "pdfjs-dist"
PAGE = Path(__file__).parent / "viewer" / "page.html"
SCREENSHOT = ROOT / "docs" / "images" / "searchable-pdf.png"
WORD = "ท่าเทียบเรือ"

pytestmark = pytest.mark.skipif(
    CHROMIUM is None or not PDFJS.is_dir(), reason="Chromium and pdf.js are not here: `make test-browser` installs them"
)


@pytest.fixture
async def viewer(service, data, aiohttp_server):
    """A server with pdf.js, its viewer, and what the service makes of a scan."""
    status, _, pdf = await asked(service, (data / "scan-thai-english.pdf").read_bytes(), output="pdf")
    assert status == 200

    async def document(_: web.Request) -> web.Response:
        return web.Response(body=pdf, content_type="application/pdf")

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=PAGE.read_text(encoding="utf-8"), content_type="text/html")

    app = web.Application()
    app.router.add_get("/document.pdf", document)
    app.router.add_get("/", page)
    app.router.add_static("/pdfjs", PDFJS)
    return await aiohttp_server(app)


async def test_a_thai_word_is_found_and_shown_where_it_stands(service, data, viewer, tmp_path):
    _, answer = await service.upload(data / "scan-thai-english.pdf")
    url = str(viewer.make_url("/").with_query(query=WORD))
    async with opened(url, tmp_path) as tab:
        assert await tab.when("window.found") == answer["text"].count(WORD) > 0
        await tab.when("document.querySelectorAll('.highlight').length")
        picture = await tab.screenshot()
        texts = await tab.value_of("window.texts")
    for page, text in zip(answer["pages"], texts, strict=True):
        wanted, read = ("".join(one.split()) for one in (page["text"], text))
        assert Levenshtein.distance(wanted, read) <= 0.01 * len(wanted)
    if not SCREENSHOT.exists():  # remove it to have it taken anew
        SCREENSHOT.write_bytes(picture)
    assert picture.startswith(b"\x89PNG")
