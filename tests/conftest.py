"""Fixtures that all tests share: a real service on real sockets, and the documents."""

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import hypothesis
import pytest

from sidecar.api.app_keys import READER
from sidecar.ocr.engine import OcrEngine
from sidecar.service.engines import ENGINES, EngineFactory
from sidecar.service.retrieval_wiring import GpuSeam
from sidecar.service.server import Service
from sidecar.settings import Settings, parse_settings
from sidecar.wire.common import NDJSON

# An example claims nothing about time: beside other tests it may wait for a core.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

DATA = Path(__file__).parent / "data"
PATIENCE_S = 20.0
"""How long something may take about which a test claims nothing but that it happens: the machine may be busy."""


@pytest.fixture
def data() -> Path:
    return DATA


@pytest.fixture(scope="session")
def truth() -> dict[str, list[str]]:
    return json.loads((DATA / "truth.json").read_text(encoding="utf-8"))


@dataclass
class Running:
    """A service that runs, and a client to talk to it."""

    service: Service
    settings: Settings
    client: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return self.service.api_url

    @property
    def ops(self) -> str:
        return self.service.ops_url

    def engine(self, name: str) -> OcrEngine:
        return self.service.api[READER].engines[name]

    @property
    def spooled(self) -> list[Path]:
        """The documents that lie in the spool."""
        return list(self.settings.spool_dir.rglob("document-*"))

    async def upload(self, content: bytes | Path, headers: dict[str, str] | None = None, **fields: str):
        """Send a document; give status and parsed body, or the events of a streamed one."""
        form = aiohttp.FormData()
        for name, value in fields.items():
            form.add_field(name, io.BytesIO(value.encode()))
        body = content.read_bytes() if isinstance(content, Path) else content
        form.add_field("file", io.BytesIO(body), filename="upload.pdf", content_type="application/pdf")
        async with self.client.post(f"{self.url}/ocr-upload", data=form, headers=headers) as response:
            if response.content_type == NDJSON:
                return response.status, [json.loads(line) async for line in response.content]
            return response.status, await response.json()


Start = Callable[..., Awaitable[Running]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start services, in network mode unless told otherwise; each is stopped at the end of the test."""
    running: list[Running] = []

    async def _start(
        gpu: GpuSeam | None = None, factories: Sequence[EngineFactory] = ENGINES, **environ: str
    ) -> Running:
        defaults = {
            "OCR_AUTH_MODE": "network",
            "OCR_PORT": "0",
            "OCR_OPS_PORT": "0",
            "OCR_WORKERS": "2",
            "BGE_M3_MODEL": "",
            "RERANKER_MODEL": "",
            "OCR_SPOOL_DIR": str(tmp_path / "spool"),
            "OCR_RAPIDOCR_DIR": str(tmp_path / "rapidocr"),
            "OCR_SIDECAR_UPLOAD_BASE": str(tmp_path / "uploads"),
        }
        settings = parse_settings(defaults | environ)
        service = Service(settings, gpu, factories)
        await service.start()
        one = Running(service, settings, aiohttp.ClientSession())
        running.append(one)
        async with asyncio.timeout(3 * PATIENCE_S):
            await service.api[READER].loaded()
        return one

    yield _start
    for one in running:
        await one.client.close()
        await one.service.stop(0)


@pytest.fixture
async def service(start: Start) -> Running:
    return await start()


async def until(condition: Callable[[], object], seconds: float = PATIENCE_S) -> None:
    """Wait until a condition holds; fail when it does not in time. A test that claims a bound gives it."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)
