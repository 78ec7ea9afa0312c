"""Pages by OpenAI-compatible servers: throughput, overhead, what a second server adds; with fakes of known speed."""

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from bench.harness.figure import ROUNDS, Figure, at_least, below
from bench.harness.load import DATA, send, upload
from bench.harness.service import running_service
from bench.ocr.model_pages import (
    DOCUMENTS,
    LIMITS,
    LONGEST_SIDE,
    PAGE_S,
    PARALLEL,
    SCAN,
    SCAN_PAGES,
    TARGET_OVERHEAD_MS,
    TARGET_SHARE,
)
from sidecar.documents import document
from tools.fakes.openai import FakeOpenAI, Kind

TARGET_SECOND = 1.8


def run(*, quick: bool) -> list[Figure]:
    return asyncio.run(_run(quick=quick))


async def _run(*, quick: bool) -> list[Figure]:
    rounds = 1 if quick else ROUNDS
    async with AsyncExitStack() as stack:
        fakes = [
            await stack.enter_async_context(FakeOpenAI(Kind.VLLM, parallel=PARALLEL, latency_s=PAGE_S)) for _ in (1, 2)
        ]
        async with _reading(fakes[:1]) as port:
            shares = [await _share(port) for _ in range(rounds)]
            overhead = await _overhead(port, 5 if quick else 40)
        ratios = []
        for _ in range(rounds):  # in turn: other load of the machine affects both alike
            pair = []
            for used in (fakes[:1], fakes):
                async with _reading(used, OCR_PARALLEL_PAGES="2") as port:
                    pair.append(await _seconds(port))
            ratios.append(pair[0] / pair[1])
    share, second = statistics.median(shares), statistics.median(ratios)
    return [
        at_least("8 documents x 3 pages, of the ideal", f"{share:.3f} (rounds: {_each(shares)})", share, TARGET_SHARE),
        overhead,
        at_least("two servers, x one", f"{second:.2f} (rounds: {_each(ratios)})", second, TARGET_SECOND),
    ]


@asynccontextmanager
async def _reading(fakes: Sequence[FakeOpenAI], **settings: str) -> AsyncIterator[int]:
    """Run a service that uses these servers; give its port. Every worker has drawn a page."""
    used = {"OCR_MODEL_API": "openai", "OCR_MODEL_URL": ",".join(fake.url for fake in fakes)}
    service = running_service(**used, **settings)
    started = await asyncio.to_thread(service.__enter__)
    try:
        await send(started.port, [_upload()] * 2, 2)
        yield started.port
    finally:
        await asyncio.to_thread(service.__exit__, None, None, None)


def _upload(**fields: str) -> bytes:
    return upload(SCAN, engine="np-dms-ocr", **fields)


async def _seconds(port: int) -> float:
    """Have eight documents of three pages read at once."""
    began_s = time.perf_counter()
    await send(port, [_upload()] * DOCUMENTS, DOCUMENTS)
    return time.perf_counter() - began_s


async def _share(port: int) -> float:
    return DOCUMENTS * SCAN_PAGES / PARALLEL * PAGE_S / await _seconds(port)


async def _overhead(port: int, count: int) -> Figure:
    """Measure one page at a time: its total time, less the model's and that of drawing it in a bare process."""
    drawing_ms, page_ms = [], []
    for _ in range(count):
        began_s = time.perf_counter()
        document.picture(DATA / SCAN, 0, LIMITS, LONGEST_SIDE)
        drawing_ms.append((time.perf_counter() - began_s) * 1000)
        (reply,) = await send(port, [_upload(pages="1")], 1)
        page_ms.append(json.loads(reply.body)["pages"][0]["durationMs"])
    median_ms = statistics.median(page_ms) - statistics.median(drawing_ms) - PAGE_S * 1000
    name = "overhead a page beyond model and drawing, median"
    return below(name, f"{median_ms:.1f} ms of {count}", median_ms, TARGET_OVERHEAD_MS, " ms")


def _each(values: Sequence[float]) -> str:
    return ", ".join(f"{one:.3f}" for one in values)
