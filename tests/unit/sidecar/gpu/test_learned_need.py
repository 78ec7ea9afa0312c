"""What calls take is seen on the card and used for the next: the real engine and client, against a server that counts.

The card is that of the fake: weights, and the vision encoder's buffer of every call that runs.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.documents.pages import PagePicture
from sidecar.engines.model_servers import ModelServers
from sidecar.engines.servers.ollama import Ollama
from sidecar.engines.vision import VisionEngine
from sidecar.errors import GpuOutOfMemoryError, GpuPressureError
from sidecar.gpu.call_gate import CallGate
from sidecar.gpu.need_book import NeedBook
from sidecar.gpu.vram_monitor import DeviceMemory, VramMonitor
from sidecar.ocr.engine import PageText, PreparedPage, ReadOrder, TryFailedError
from sidecar.profiles.precedence import instruct
from sidecar.service.engines import gate_policy
from sidecar.settings import parse_settings
from tests.conftest import until
from tools.fakes.ollama import OCR_MODEL, FakeOllama, Model

LLM = "np-dms-ai:latest"
PNG = "iVBORw0KGgo="


class Rig:
    """An engine wired to a fake server and to the card that the server fills."""

    def __init__(self, fake: FakeOllama, book: NeedBook | None = None, **environ: str) -> None:
        settings = parse_settings({"OLLAMA_API_URL": fake.url} | environ)
        self.fake = fake
        self.ollama = Ollama(fake.url, settings.connect_s)
        self.monitor = VramMonitor(self.read_device, self.ollama.resident, settings.gpu_total_mb)
        self.gate = CallGate(self.monitor, gate_policy(settings), book)
        servers = ModelServers(
            {fake.url: self.ollama}, settings.connect_s, settings.first_token_s, settings.parallel_pages
        )
        self.engine = VisionEngine(None, servers, self.gate)

    async def read_device(self) -> DeviceMemory:
        memory = self.fake.memory
        return DeviceMemory(memory.vram_mb, memory.used_mb, memory.vram_mb - memory.used_mb, "GPU-1")

    async def read(self, deadline_s: float = 10) -> PageText:
        order = ReadOrder(Path("a.pdf"), deadline_s, "eng", instruct(None, OCR_MODEL))
        try:
            return await self.engine.read(order, PreparedPage(0, PagePicture(PNG)), 1, deadline_s)
        except TryFailedError as failed:
            raise failed.error from None

    async def learned(self, calls: int = 1) -> int:
        """What is required once the burst is over."""
        await until(lambda: not self.gate.calls.is_watched)
        [key] = self.gate.book._needs
        return self.gate.requirement(key, calls).mb


@pytest.fixture
async def fake() -> AsyncIterator[FakeOllama]:
    async with FakeOllama(
        [Model(OCR_MODEL, size_mb=5000, image_mb=3000, parallel=4)], vram_mb=16_384, latency_s=0.6
    ) as one:
        yield one


@pytest.fixture
async def rig(fake: FakeOllama) -> AsyncIterator[Rig]:
    one = Rig(fake)
    async with one.ollama.open():
        yield one
        await one.gate.calls.close()
        await one.monitor.close()


async def test_what_a_call_takes_is_seen_and_required_from_then_on(fake, rig):
    fake.memory.foreign_mb = 700
    await rig.read()
    assert await rig.learned() == 8000
    fake.free(OCR_MODEL)
    fake.occupy(LLM, 9000)  # 6,684 MiB are free: enough for the estimate of 4,000
    await rig.monitor.read_anew()
    with pytest.raises(GpuPressureError):
        await rig.read()
    assert (fake.aborts, fake.resident) == ([], [LLM])


async def test_each_number_of_calls_has_its_own_need(fake, rig):
    await asyncio.gather(*(rig.read() for _ in range(3)))
    assert await rig.learned(3) == 14_000
    assert await rig.learned(4) == 17_000


async def test_a_model_that_is_loaded_is_not_called_where_its_call_would_not_fit(fake, rig):
    """Production: 5 GB idle, 14.3 GB while it reads."""
    await rig.read()
    assert await rig.learned() == 8000
    fake.occupy(LLM, 9000)  # beside the 5,000 that stay: 2,384 MiB for a buffer of 3,000
    await rig.monitor.read_anew()
    with pytest.raises(GpuPressureError):
        await rig.read()
    assert fake.aborts == []


async def test_a_call_that_does_not_fit_beside_our_own_waits_for_one_of_them(fake, rig):
    await rig.read()
    await rig.learned()
    fake.free(OCR_MODEL)
    await asyncio.gather(rig.read(), rig.read())
    assert (await rig.learned(1), await rig.learned(2)) == (8000, 11_000)
    fake.free(OCR_MODEL)
    fake.occupy(LLM, 7000)  # 9,384 MiB: room for one call, not for two
    await rig.monitor.read_anew()
    fake.memory.most_used_mb = 0
    reads = await asyncio.gather(rig.read(), rig.read(), rig.read())
    assert [read.text for read in reads] == ["page text"] * 3
    assert (fake.aborts, fake.resident.count(LLM), fake.memory.most_used_mb) == ([], 1, 15_000)


async def test_out_of_memory_raises_the_need_at_once_and_nothing_is_tried_in_vain(fake, rig):
    fake.occupy(LLM, 9000)  # 7,384 MiB: the estimate fits, the call does not
    with pytest.raises(GpuOutOfMemoryError):
        await rig.read()
    assert fake.aborts == [OCR_MODEL]
    fake.occupy(LLM, 9000)
    await rig.monitor.read_anew()
    rig.gate._call_ended_s = float("-inf")
    with pytest.raises(GpuPressureError):
        await rig.read()
    assert fake.aborts == [OCR_MODEL]


async def test_after_several_calls_ran_out_of_memory_one_at_a_time_is_tried(fake, rig):
    fake.occupy(LLM, 7000)  # 9,384 MiB: one call fits, two do not
    results = await asyncio.gather(*(rig.read() for _ in range(4)), return_exceptions=True)
    assert any(isinstance(one, GpuOutOfMemoryError) for one in results)
    assert fake.aborts == [OCR_MODEL]
    fake.occupy(LLM, 7000)
    await rig.monitor.read_anew()
    reads = await asyncio.gather(*(rig.read() for _ in range(3)))
    assert [read.text for read in reads] == ["page text"] * 3
    assert (fake.aborts, LLM in fake.resident) == ([OCR_MODEL], True)


async def test_alone_on_the_card_a_call_is_made_whatever_is_known(fake, rig):
    await rig.read()
    await rig.learned()
    fake.free(OCR_MODEL)
    fake.memory.foreign_mb = 9000
    fake.install(OCR_MODEL, size_mb=4000, image_mb=1000)
    await rig.monitor.read_anew()
    assert (await rig.read()).text == "page text"


async def test_the_room_to_spare_that_ollama_wants_is_counted_in(fake, rig):
    """It evicts where it predicts more than 0.8 of the free memory, although there would be enough."""
    fake.install(OCR_MODEL, size_mb=5000, image_mb=500, parallel=4)
    await rig.read()
    assert await rig.learned() == 5500
    fake.free(OCR_MODEL)
    fake.memory.fit_share = 0.8
    fake.occupy(LLM, 10_200)  # 6,184 MiB are free, 0.8 of them 4,947
    await rig.monitor.read_anew()
    with pytest.raises(GpuPressureError):
        await rig.read()
    fake.occupy(LLM, 10_100)  # 6,284, 0.8 of them 5,027
    await rig.monitor.read_anew()
    assert (await rig.read()).text == "page text"
    assert fake.evictions == []
