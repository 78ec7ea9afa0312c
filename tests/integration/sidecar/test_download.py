"""Files whose content is known beforehand, from a real web server; and RapidOCR's Thai model by ``fetch``."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.cli.download import DownloadError, download, is_file
from sidecar.engines.rapidocr.installation import THAI_RECOGNISER
from tests.integration.sidecar.test_cli import run

CONTENT = bytes(range(256)) * 9000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OFFLINE = {"HF_HUB_OFFLINE": "1", "BGE_M3_MODEL": "", "RERANKER_MODEL": ""}


class Shelf(http.server.BaseHTTPRequestHandler):
    """Gives the content, with an error, or breaks it off."""

    def do_GET(self) -> None:
        self.send_response(404 if self.path == "/none" else 200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:5000] if self.path == "/short" else CONTENT)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Shelf) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_right_file_is_put_where_it_belongs(url, tmp_path):
    path = tmp_path / "new" / "folder" / "model"
    download(f"{url}/model", path, SHA256, len(CONTENT))
    assert path.read_bytes() == CONTENT
    assert is_file(path, SHA256)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "sha256", "max_bytes", "said"),
    [
        ("other", "0" * 64, len(CONTENT), f"its SHA-256 is {SHA256}, expected is 000"),
        ("long", SHA256, len(CONTENT) - 1, "gives more than"),
        ("short", SHA256, len(CONTENT), "gives another file"),
        ("none", SHA256, len(CONTENT), "404"),
    ],
)
def test_anything_else_is_refused_and_what_was_there_stays(url, tmp_path, name, sha256, max_bytes, said):
    path = tmp_path / "model"
    path.write_bytes(b"old")
    with pytest.raises(DownloadError, match=said):
        download(f"{url}/{name}", path, sha256, max_bytes)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    assert not is_file(path, SHA256)


def test_a_server_that_is_away_and_a_folder_that_cannot_be_are_told(tmp_path):
    with pytest.raises(DownloadError, match="cannot be downloaded"):
        download("http://127.0.0.1:1/model", tmp_path / "model", SHA256, 1)
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match="cannot be downloaded"):
        download("http://127.0.0.1:1/model", tmp_path / "file" / "model", SHA256, 1)


async def test_fetch_takes_the_thai_model_from_where_the_setting_says_and_no_other_file(url, tmp_path):
    folder = tmp_path / "models"
    environ = {"OCR_RAPIDOCR_THAI_URL": f"{url}/th.onnx", "OCR_RAPIDOCR_DIR": str(folder)} | OFFLINE
    status, out, _ = await run("fetch", **environ)
    assert status == 1
    assert out.startswith(f"RapidOCR's Thai model: {url}/th.onnx gives another file: its SHA-256 is {SHA256}")
    assert not (folder / THAI_RECOGNISER).exists()


async def test_doctor_tells_of_it_and_of_its_thai_model(tmp_path):
    environ = {"OCR_RAPIDOCR_DIR": str(tmp_path), "OCR_AUTH_MODE": "network"} | OFFLINE
    _, before, _ = await run("doctor", **environ)
    Path(tmp_path / THAI_RECOGNISER).write_bytes(b"stands for it")
    _, after, _ = await run("doctor", **environ)
    assert "ok       RapidOCR: 3." in before
    assert (
        "absent   RapidOCR's Thai model: not fetched; it reads no Thai\n         -> python -m sidecar fetch" in before
    )
    assert f"ok       RapidOCR's Thai model: in {tmp_path / THAI_RECOGNISER}" in after
