"""The governed engine: throughput, overhead, and timely ends, with a fake Ollama of known speed."""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.harness.figure import ROUNDS, Figure, at_least, below
from bench.harness.load import DATA, GET_HEALTH, Connection, send, upload
from bench.harness.service import HOST, running_service
from sidecar.documents import document
from sidecar.documents.document import DocumentLimits
from tools.fakes.ollama import Answer, Call, FakeOllama, Trap

SCAN = "scan-thai-english.pdf"
SCAN_PAGES = 3
DOCUMENTS = 8
PARALLEL = 4
PAGE_S = 0.5
TARGET_SHARE = 0.90
HEALTH_INTERVAL_S = 0.010
TARGET_HEALTH_P99_MS = 50.0
TARGET_APPLIED_MS = 500.0
TARGET_LEFT_S = 1.0
TARGET_REPEATED_TOKENS = 64
TARGET_OVERHEAD_MS = 15.0
TOKEN_S = 0.01
PATIENCE_S = 30.0
POLL_S = 0.005
LONGEST_SIDE = 1800
LIMITS = DocumentLimits(max_page_pixels=150_000_000, max_stream_bytes=32 * 1024 * 1024, dpi=300)


def run(*, quick: bool) -> list[Figure]:
    return asyncio.run(_run(quick=quick))


async def _run(*, quick: bool) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="ocr-sidecar-profiles-") as folder:
        async with FakeOllama(parallel=PARALLEL, latency_s=PAGE_S) as fake:
            settings = {"OLLAMA_API_URL": fake.url, "OCR_PROFILE_DIR": folder}
            service = running_service(**settings)
            started = await asyncio.to_thread(service.__enter__)
            try:
                await send(started.port, [_model_upload(SCAN)] * 2, 2)  # every worker has drawn a page
                return [
                    *await _throughput(started.port, 1 if quick else ROUNDS),
                    await _overhead(started.port, 5 if quick else 40),
                    await _applied(started.port, Path(folder), 3 if quick else 20),
                    await _left(started.port, fake, 2 if quick else 10),
                    await _looped(started.port, fake),
                ]
            finally:
                await asyncio.to_thread(service.__exit__, None, None, None)


def _model_upload(name: str, **fields: str) -> bytes:
    return upload(name, engine="np-dms-ocr", **fields)


async def _throughput(port: int, rounds: int) -> list[Figure]:
    """Measure eight documents of three pages at once; ideally the model always has a page."""
    ideal_s = DOCUMENTS * SCAN_PAGES / PARALLEL * PAGE_S
    shares = []
    latencies_ms: list[float] = []
    for _ in range(rounds):
        async with Connection.open(port) as connection:
            asking = asyncio.create_task(_ask_health(connection, latencies_ms))
            began_s = time.perf_counter()
            await send(port, [_model_upload(SCAN)] * DOCUMENTS, DOCUMENTS)
            shares.append(ideal_s / (time.perf_counter() - began_s))
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
    share = statistics.median(shares)
    pages_s = share * PARALLEL / PAGE_S
    each = ", ".join(f"{one:.3f}" for one in shares)
    p99 = sorted(latencies_ms)[int(len(latencies_ms) * 0.99)]
    return [
        at_least("8 documents x 3 pages, of the ideal", f"{share:.3f} (rounds: {each})", share, TARGET_SHARE),
        Figure("pages a second", f"{pages_s:.2f} of {PARALLEL / PAGE_S:.0f}"),
        below("/health meanwhile, p99", f"{p99:.1f} ms of {len(latencies_ms)}", p99, TARGET_HEALTH_P99_MS, " ms"),
    ]


async def _ask_health(connection: Connection, latencies_ms: list[float]) -> None:
    """Send requests at fixed times; a latency counts from when its request was due."""
    due_s = time.monotonic()
    while True:
        await asyncio.sleep(due_s - time.monotonic())
        await connection.ask(GET_HEALTH)
        latencies_ms.append((time.monotonic() - due_s) * 1000)
        due_s += HEALTH_INTERVAL_S


async def _overhead(port: int, count: int) -> Figure:
    """Measure one page at a time: its total time, less the model's and that of drawing it in a bare process."""
    drawing_ms, page_ms = [], []
    for _ in range(count):
        began_s = time.perf_counter()
        document.picture(DATA / SCAN, 0, LIMITS, LONGEST_SIDE)
        drawing_ms.append((time.perf_counter() - began_s) * 1000)
        (reply,) = await send(port, [_model_upload(SCAN, pages="1")], 1)
        page_ms.append(json.loads(reply.body)["pages"][0]["durationMs"])
    median_ms = statistics.median(page_ms) - statistics.median(drawing_ms) - PAGE_S * 1000
    name = "overhead a page beyond model and drawing, median"
    return below(name, f"{median_ms:.1f} ms of {count}", median_ms, TARGET_OVERHEAD_MS, " ms")


async def _applied(port: int, folder: Path, count: int) -> Figure:
    """Measure how long after a change of a profile's file a request still started with the old profile."""
    worst_ms = 0.0
    for version in range(count):
        partial = folder / ".partial"
        partial.write_text(json.dumps({"revision": f"v{version}"}))
        partial.rename(folder / "ocr-extract.json")
        changed_s = time.monotonic()
        asking = [asyncio.create_task(_revision_in(port, delay_s / 1000)) for delay_s in range(0, 1000, 20)]
        for began_s, revision in await asyncio.gather(*asking):
            if revision != f"v{version}":
                worst_ms = max(worst_ms, (began_s - changed_s) * 1000)
    name = "a changed profile: the last request that was read with the one before, after"
    return below(name, f"{worst_ms:.0f} ms of {count}", worst_ms, TARGET_APPLIED_MS, " ms")


async def _revision_in(port: int, delay_s: float) -> tuple[float, str]:
    """Read an empty document after a while; return when it was requested, and with which profile."""
    await asyncio.sleep(delay_s)
    began_s = time.monotonic()
    (reply,) = await send(port, [_model_upload("blank-pages.pdf", pages="1")], 1)
    profile = json.loads(reply.body)["profile"]
    return began_s, profile["revision"] if profile else ""


async def _left(port: int, fake: FakeOllama, count: int) -> Figure:
    """Measure how long after a caller disconnected its last model call is closed."""
    took_s = []
    fake.latency_s = 60
    for _ in range(count):
        before = len(fake.chats)
        _, writer = await asyncio.open_connection(HOST, port)
        writer.write(_model_upload(SCAN))
        await _until(fake, lambda calls: len(calls) == SCAN_PAGES, before)
        left_s = time.monotonic()
        writer.close()
        await _until(fake, lambda calls: all(call.disconnected for call in calls), before)
        took_s.append(max((call.disconnected_s or left_s) - left_s for call in fake.chats[before:]))
    fake.latency_s = PAGE_S
    worst_s = max(took_s)
    return below("a caller leaves: its model calls are closed within", f"{worst_s:.3f} s", worst_s, TARGET_LEFT_S, " s")


async def _until(fake: FakeOllama, condition: Callable[[list[Call]], bool], first: int) -> None:
    """Wait until a condition holds for the calls since one."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition(fake.chats[first:]):
        if time.monotonic() > deadline_s:
            raise RuntimeError("it did not happen in time")
        await asyncio.sleep(POLL_S)


async def _looped(port: int, fake: FakeOllama) -> Figure:
    """Count the repeated tokens of an endless page that are read before it is ended."""
    before = len(fake.chats)
    fake.script([Answer("Title\n", trap=Trap.REPEAT, unit="again ", per_token_s=TOKEN_S, first_token_s=0)])
    await send(port, [_model_upload(SCAN, pages="1")], 1)
    call = fake.chats[before]
    repeated = call.chunks_sent.count("again ")
    name = "an endless page is ended within"
    return Figure(
        name, f"{repeated} repeated tokens", f"<= {TARGET_REPEATED_TOKENS}", repeated <= TARGET_REPEATED_TOKENS
    )
