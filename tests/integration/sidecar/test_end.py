"""The end of the service takes a bounded time, whatever still runs in it."""

import asyncio
import threading
import time

from sidecar.api.app_keys import RETRIEVAL_THREADS
from sidecar.service.retrieval_wiring import LAST_BATCH_S
from sidecar.service.server import CLOSING_S


async def test_threads_that_are_busy_are_waited_for_together(start):
    service, gate = await start(), threading.Event()
    threads = service.service.api[RETRIEVAL_THREADS]
    busy = [threads.tokens.run(gate.wait), threads.gpu.run(gate.wait), threads.cpu.run(1, gate.wait)]
    running = [asyncio.ensure_future(call) for call in busy]
    await asyncio.sleep(0)

    started_s = time.monotonic()
    await service.service.stop(0)
    took_s = time.monotonic() - started_s

    assert LAST_BATCH_S <= took_s < LAST_BATCH_S + 2
    assert took_s < CLOSING_S
    gate.set()
    await asyncio.gather(*running)
