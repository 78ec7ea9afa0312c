"""Pages by OpenAI-compatible servers: throughput, overhead, what a second server adds; with fakes of known speed."""

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from bench.harness.figure import ROUNDS, Figure, at_least, below, ratio
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
from tools.fakes.ollama import FakeOllama
from tools.fakes.openai import FakeOpenAI, Kind

TARGET_SECOND = 1.8
SLOW_PAGE_S = 2.0
"""Of the servers that are compared as one and two: so slow that drawing does not decide."""
FEW_DOCUMENTS = 4


def run(*, quick: bool) -> list[Figure]:
    return asyncio.run(_run(quick=quick))


async def _run(*, quick: bool) -> list[Figure]:
    rounds = 1 if quick else ROUNDS
    async with AsyncExitStack() as stack:
        fakes = [
            await stack.enter_async_context(FakeOpenAI(Kind.VLLM, parallel=PARALLEL, latency_s=PAGE_S)) for _ in (1, 2)
        ]
        ollama = await stack.enter_async_context(FakeOllama(parallel=PARALLEL, latency_s=PAGE_S))
        shares, beside, ratios = [], [], []
        for _ in range(rounds):  # in turn: other load of the machine affects both alike
            async with _reading(ollama.environment) as port:
                beside.append(await _share(port))
            async with _reading(_environment(fakes[:1])) as port:
                shares.append(await _share(port))
        async with _reading(_environment(fakes[:1])) as port:
            overhead = await _overhead(port, 5 if quick else 40)
        for fake in fakes:
            fake.latency_s = SLOW_PAGE_S
        for _ in range(rounds):
            pair = []
            for used in (fakes[:1], fakes):
                async with _reading(_environment(used) | {"OCR_PARALLEL_PAGES": "2"}) as port:
                    pair.append(await _seconds(port, FEW_DOCUMENTS))
            ratios.append(pair[0] / pair[1])
    share, second = statistics.median(shares), statistics.median(ratios)
    with_ollama, against = statistics.median(beside), ratio(shares, beside)[1]
    return [
        at_least("8 documents x 3 pages, of the ideal", f"{share:.3f} (rounds: {_each(shares)})", share, TARGET_SHARE),
        Figure("the same with Ollama, in turn", f"{with_ollama:.3f} (rounds: {_each(beside)})"),
        Figure("of the share with Ollama", against),
        overhead,
        at_least("two servers, x one", f"{second:.2f} (rounds: {_each(ratios)})", second, TARGET_SECOND),
    ]


def _environment(fakes: Sequence[FakeOpenAI]) -> dict[str, str]:
    return {"OCR_MODEL_API": "openai", "OCR_MODEL_URL": ",".join(fake.url for fake in fakes)}


@asynccontextmanager
async def _reading(settings: Mapping[str, str]) -> AsyncIterator[int]:
    """Run a service with these settings; give its port. Every worker has drawn a page."""
    service = running_service(**settings)
    started = await asyncio.to_thread(service.__enter__)
    try:
        await send(started.port, [_upload()] * 2, 2)
        yield started.port
    finally:
        await asyncio.to_thread(service.__exit__, None, None, None)


def _upload(**fields: str) -> bytes:
    return upload(SCAN, engine="np-dms-ocr", **fields)


async def _seconds(port: int, documents: int = DOCUMENTS) -> float:
    """Have documents of three pages read at once."""
    began_s = time.perf_counter()
    await send(port, [_upload()] * documents, documents)
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
