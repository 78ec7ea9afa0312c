"""examples/ocrmypdf: how the plugin asks the service. `make test-clients` runs it in OCRmyPDF itself.

Here a package of the same name stands in for OCRmyPDF, which is not installed beside the service.
"""

import asyncio
import os
import sys

import pytest

from tests.integration.sidecar.test_client_hostile import KEY, answer, stranger
from tests.unit.test_docs import ROOT

STAND_IN = {
    "__init__.py": "OcrEngine = object; OrientationConfidence = None; hookimpl = lambda function: function",
    "builtin_plugins/__init__.py": "",
    "builtin_plugins/tesseract_ocr.py": "TesseractOptions = None",
    "exceptions.py": "\n".join(
        f"class {name}(Exception): pass" for name in ("BadArgsError", "MissingDependencyError", "SubprocessOutputError")
    ),
    "hocrtransform.py": "BoundingBox = OcrClass = OcrElement = object",
}
SCRIPT = """
import pathlib, sys
from ocr_sidecar_ocrmypdf import Sidecar
url, key, picture = sys.argv[1:]
try:
    print(Sidecar(url, key, 10.0).read(pathlib.Path(picture), ["eng"]))
except Exception as exc:
    print(type(exc).__name__, exc)
"""


@pytest.fixture
def read(tmp_path):
    """Has the plugin read a picture with the service at a URL; gives what it returned or raised."""
    for name, content in STAND_IN.items():
        path = tmp_path / "ocrmypdf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    picture = tmp_path / "page.png"
    picture.write_bytes(b"\x89PNG")

    async def _read(url: str) -> str:
        path = os.pathsep.join([str(ROOT / "examples" / "ocrmypdf"), str(tmp_path)])
        command = [sys.executable, "-c", SCRIPT, url, KEY, str(picture)]
        process = await asyncio.create_subprocess_exec(
            *command, env=os.environ | {"PYTHONPATH": path, "no_proxy": "*"}, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(30):
            out, _ = await process.communicate()
        return out.decode().strip()

    return _read


async def test_the_plugin_reads_a_page_and_waits_for_a_busy_service(read):
    busy = answer(b"", "503 Service Unavailable", Retry_After="0")
    async with stranger(busy, answer(b'{"text": "what it says"}')) as service:
        assert await read(service.url) == "what it says"
    assert KEY.encode() in service.asked[1]


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect"])
async def test_the_plugin_follows_no_redirect_and_the_key_stays_here(read, status):
    async with stranger(answer(b'{"text": "theirs"}')) as thief:
        async with stranger(answer(b"", status, Location=thief.url + "/ocr-upload")) as service:
            told = await read(service.url)
        assert told == f"MissingDependencyError {service.url} redirects elsewhere, which is not followed"
        assert thief.asked == []
