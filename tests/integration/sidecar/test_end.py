"""The end of the service takes a bounded time, whatever still runs in it."""

# ruff: noqa: ARG002 - an engine's common shape

import asyncio
import threading
import time

import aiohttp
import pytest

from sidecar.api.app_keys import DRAIN, RETRIEVAL_THREADS, WORKERS
from sidecar.ocr.engine import EngineModel, EngineTraits, PageText, PreparedPage
from sidecar.runtime.capability import Capability
from sidecar.runtime.fair_slots import FairSlots
from sidecar.service.engines import ENGINES, EngineFactory
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


class Verbose:
    """An engine that reads more on any page than the buffers of two sockets hold."""

    traits = EngineTraits("verbose")

    def __init__(self, workers) -> None:
        self.prepare_slots = FairSlots(workers.limits.count)
        self.read_slots = FairSlots(workers.limits.count)
        self.capability = Capability("ready")

    async def loaded(self) -> None:
        """It loads nothing."""

    def check_languages(self, languages: str) -> None:
        """It refuses none."""

    def check(self, order) -> None:
        """It refuses nothing."""

    def model(self, order) -> EngineModel:
        return EngineModel("verbose-1")

    def max_attempts(self, order) -> int:
        return 1

    async def prepare(self, order, index: int) -> PreparedPage:
        return PreparedPage(index)

    async def read(self, order, page, attempt: int, deadline_s: float) -> PageText:
        return PageText("a" * (16 << 20))


async def test_a_whole_answer_that_nobody_reads_has_the_grace_and_no_longer(start, data):
    verbose = EngineFactory(Verbose.traits, lambda app, _: Verbose(app[WORKERS]))
    service = await start(factories=(*ENGINES, verbose))
    form = aiohttp.FormData({"engine": "verbose"}, default_to_multipart=True)
    form.add_field("file", (data / "photo.png").read_bytes(), filename="a")
    async with service.client.post(f"{service.url}/ocr-upload", data=form) as response:
        assert response.status == 200
        started_s = time.monotonic()
        await service.service.api[DRAIN].finish(0.3)
        assert time.monotonic() - started_s >= 0.3, "its answer was still on its way"
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
