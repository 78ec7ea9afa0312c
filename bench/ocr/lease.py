"""The lease: a queue of documents in one batch, beside unloading and loading the LLM for every document.

Both times end when the LLM is back. The fake takes no time to load the OCR model: that would favour the lease.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable

import aiohttp

from bench.harness.figure import Figure, at_least, below
from bench.harness.load import send, upload
from bench.harness.service import running_service
from tools.fakes.ollama import OCR_MODEL, FakeOllama, Model

SCAN, SCAN_PAGES = "scan-thai-english.pdf", 3
DOCUMENTS, QUICK_DOCUMENTS = 20, 3
PAGE_S, PARALLEL, LOAD_S = 0.5, 4, 8.0
LLM, LLM_MB = "np-dms-ai:latest", 13_000
TARGET_RATIO = 5.0
TARGET_BACK_S = 20.0
POLL_S = 0.02
PATIENCE_S = 120.0

Work = Callable[[int, int, FakeOllama], Awaitable[None]]
"""Has documents read: by the service at this port, so many, beside this server."""


def run(*, quick: bool) -> list[Figure]:
    return asyncio.run(_run(QUICK_DOCUMENTS if quick else DOCUMENTS))


async def _run(documents: int) -> list[Figure]:
    each_s, _, _ = await _measured(documents, "evict", _one_by_one)
    batch_s, back_s, fake = await _measured(documents, "lease", _all_at_once)
    pages = documents * SCAN_PAGES
    ratio = each_s / batch_s
    loads = f"{fake.unloads.count(LLM)}, {fake.loads.count(LLM)}"
    return [
        Figure(f"{documents} documents x {SCAN_PAGES} pages, LLM away for each", f"{pages / each_s:.3f} pages/s"),
        Figure("the same, in a lease", f"{pages / batch_s:.3f} pages/s"),
        at_least("ratio", f"{ratio:.2f}", ratio, TARGET_RATIO),
        Figure("unloads and loads of the LLM in it", loads, "1, 1", loads == "1, 1"),
        below("LLM back after the last page, its load not counted", f"{back_s:.2f} s", back_s, TARGET_BACK_S, " s"),
    ]


async def _measured(documents: int, on_pressure: str, work: Work) -> tuple[float, float, FakeOllama]:
    """Return how long the work took until the LLM was back, and how much of that after the last page."""
    ocr = Model(OCR_MODEL, size_mb=5000, image_mb=500, parallel=PARALLEL)
    with tempfile.TemporaryDirectory(prefix="ocr-sidecar-state-") as state:
        async with FakeOllama([ocr], latency_s=PAGE_S, load_s=LOAD_S) as fake:
            fake.occupy(LLM, LLM_MB, keep_alive_s=3600)
            settings = {"OLLAMA_API_URL": fake.url, "OCR_ON_PRESSURE": on_pressure, "OCR_STATE_DIR": state}
            service = running_service(OCR_VRAM_SOURCE="ollama", OCR_LEASE_SECONDS="600", **settings)
            started = await asyncio.to_thread(service.__enter__)
            try:
                began_s = time.monotonic()
                await work(started.port, documents, fake)
                read_s = time.monotonic()
                await _wait_for_llm(fake)
                ended_s = time.monotonic()
                assert (fake.evictions, fake.aborts) == ([], [])
                return ended_s - began_s, ended_s - read_s - LOAD_S, fake
            finally:
                await asyncio.to_thread(service.__exit__, None, None, None)


async def _all_at_once(port: int, documents: int, _: FakeOllama) -> None:
    await send(port, [upload(SCAN, engine="np-dms-ocr")] * documents, documents)


async def _one_by_one(port: int, documents: int, fake: FakeOllama) -> None:
    """Do as production does: the caller unloads the LLM, has a document read, and loads the LLM again."""
    async with aiohttp.ClientSession() as session:
        for _ in range(documents):
            await _command(session, fake, LLM, 0)
            await send(port, [upload(SCAN, engine="np-dms-ocr")], 1)
            await _command(session, fake, OCR_MODEL, 0)
            await _command(session, fake, LLM, 3600)


async def _command(session: aiohttp.ClientSession, fake: FakeOllama, model: str, keep_alive_s: int) -> None:
    asked = {"model": model, "keep_alive": keep_alive_s}
    async with session.post(f"{fake.url}/api/generate", json=asked) as answer:
        answer.raise_for_status()


async def _wait_for_llm(fake: FakeOllama) -> None:
    ends_s = time.monotonic() + PATIENCE_S
    while fake.resident != [LLM]:
        assert time.monotonic() < ends_s, "the LLM is not back"
        await asyncio.sleep(POLL_S)
