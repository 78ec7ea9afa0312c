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
import pytest_asyncio

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

    async def stop(self) -> None:
        await self.client.close()
        await self.service.stop(0)

    @property
    def url(self) -> str:
        return self.service.api_url

    @property
    def ops(self) -> str:
        return self.service.ops_url

    def engine(self, name: str) -> OcrEngine:
        return self.service.api[READER].engines[name]

    @property
    def folder(self) -> Path:
        """Where its spool, its uploads and its models lie."""
        return self.settings.spool_dir.parent

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


async def start_service(
    folder: Path, gpu: GpuSeam | None = None, factories: Sequence[EngineFactory] = ENGINES, **environ: str
) -> Running:
    """Start a service whose files lie in a folder, in network mode unless told otherwise; it must be stopped."""
    defaults = {
        "OCR_AUTH_MODE": "network",
        "OCR_PORT": "0",
        "OCR_OPS_PORT": "0",
        "OCR_WORKERS": "2",
        "BGE_M3_MODEL": "",
        "RERANKER_MODEL": "",
        "OCR_SPOOL_DIR": str(folder / "spool"),
        "OCR_RAPIDOCR_DIR": str(folder / "rapidocr"),
        "OCR_SECOND_ENGINE": "none",  # it takes seconds a page, and is test_rapidocr.py's
        "OCR_SIDECAR_UPLOAD_BASE": str(folder / "uploads"),
    }
    settings = parse_settings(defaults | environ)
    service = Service(settings, gpu, factories)
    await service.start()
    running = Running(service, settings, aiohttp.ClientSession())
    try:
        async with asyncio.timeout(3 * PATIENCE_S):
            await service.api[READER].loaded()
    except BaseException:
        await running.stop()
        raise
    return running


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start services; each is stopped at the end of the test."""
    running: list[Running] = []

    async def _start(
        gpu: GpuSeam | None = None, factories: Sequence[EngineFactory] = ENGINES, **environ: str
    ) -> Running:
        running.append(await start_service(tmp_path, gpu, factories, **environ))
        return running[-1]

    yield _start
    for one in running:
        await one.stop()


@pytest.fixture
async def service(start: Start) -> Running:
    return await start()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_service(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[Running]:
    """One service for a file's tests, which then all run in one loop: half of a short test is a start and a stop.

    The file's ``ENVIRONMENT``, if it has one, is the service's.
    """
    environment = getattr(request.module, "ENVIRONMENT", {})
    running = await start_service(tmp_path_factory.mktemp("service"), **environment)
    yield running
    await running.stop()


async def until(condition: Callable[[], object], seconds: float = PATIENCE_S) -> None:
    """Wait until a condition holds; fail when it does not in time. A test that claims a bound gives it."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)
