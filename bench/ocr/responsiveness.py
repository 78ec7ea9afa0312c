"""The latency of ``GET /health`` while all cores read."""

import asyncio
import time
from collections.abc import Iterator

from bench.harness.figure import Figure, below
from bench.harness.load import GET_HEALTH, Connection, send, upload
from bench.harness.service import running_service
from sidecar.runtime.cores import usable_cores

INTERVAL_S = 0.010
LOAD_S = 20.0
QUICK_LOAD_S = 4.0
HEAD_START_S = 1.0
"""How long reading runs before the first request, in seconds."""
TARGET_P99_MS = 50.0


def run(*, quick: bool) -> list[Figure]:
    load_s = QUICK_LOAD_S if quick else LOAD_S
    with running_service() as service:
        latencies_ms, documents = asyncio.run(_measure(service.port, load_s))
    latencies_ms.sort()
    p50, p99 = (latencies_ms[int(len(latencies_ms) * share)] for share in (0.50, 0.99))
    return [
        Figure("answers of /health", f"{len(latencies_ms)}, while {documents} scans of 3 pages were read"),
        Figure("p50", f"{p50:.1f} ms"),
        below("p99", f"{p99:.1f} ms", p99, TARGET_P99_MS, " ms"),
        Figure("max", f"{latencies_ms[-1]:.1f} ms"),
    ]


async def _measure(port: int, load_s: float) -> tuple[list[float], int]:
    end = time.monotonic() + HEAD_START_S + load_s
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(send(port, _scans_until(end), connections=2 * usable_cores()))
        await asyncio.sleep(HEAD_START_S)
        latencies_ms = await _ask_until(end, port)
    return latencies_ms, len(reading.result())


def _scans_until(end: float) -> Iterator[bytes]:
    while time.monotonic() < end:
        yield upload("scan-thai-english.pdf", engine="tesseract")


async def _ask_until(end: float, port: int) -> list[float]:
    """Send requests at fixed times; a latency counts from when its request was due, so that a stall counts in full."""
    latencies_ms = []
    due = time.monotonic()
    async with Connection.open(port) as connection:
        while due < end:
            await asyncio.sleep(due - time.monotonic())
            reply = await connection.ask(GET_HEALTH)
            if reply.status != 200:
                raise RuntimeError(f"/health answered {reply.status}")
            latencies_ms.append((time.monotonic() - due) * 1000)
            due += INTERVAL_S
    return latencies_ms
