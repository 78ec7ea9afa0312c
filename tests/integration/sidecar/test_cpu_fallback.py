"""Embedding moves to the GPU and back as its memory is read, and answers all the while.

The GPU is a stand-in: readings are given by the test, and copies for it are made on the CPU, by the real code.
"""

import asyncio
import threading
from dataclasses import dataclass, field

import pytest

from sidecar.api.app_keys import EMBEDDER, METRICS, PLACEMENT
from sidecar.errors import EngineFailedError
from sidecar.gpu.vram_monitor import DeviceMemory
from sidecar.retrieval.model import GpuFailedError, GpuOutOfMemoryError
from sidecar.service.retrieval_wiring import GpuSeam
from tests.conftest import until
from tests.integration.sidecar.retrieving import loaded, post


@dataclass
class Card:
    """What the device says of itself; None: nothing."""

    free_mb: int | None = 16_000
    read: int = field(default=0)

    async def __call__(self):
        self.read += 1
        return None if self.free_mb is None else DeviceMemory(16_384, 16_384 - self.free_mb, self.free_mb)


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def card():
    return Card()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def running(start, models, card, clock):
    environment = models.environment | {"RETRIEVAL_DEVICE": "auto"}
    return await loaded(await start(GpuSeam(read=card, find=lambda _index: "cpu", clock=clock), **environment))


async def replay(running, clock, seconds):
    """Let so many seconds pass, with a look each half one."""
    for _ in range(int(2 * seconds)):
        clock.now_s += 0.5
        await running.service.api[PLACEMENT].look()


async def place(running):
    status, answer = await post(running, "/embed", {"text": "where am I"})
    assert status == 200
    return answer["device"], answer["reason"]


async def test_it_goes_to_the_gpu_and_comes_back_with_the_reasons(running, card, clock):
    await replay(running, clock, 9)
    assert await place(running) == ("cpu", "warming-up")
    await replay(running, clock, 2)
    assert await place(running) == ("cuda", "headroom-sufficient")
    status, answer = await post(running, "/rerank", {"query": "a", "chunks": ["b"]})
    assert (status, answer["device"]) == (200, "cuda")

    card.free_mb = 2999
    await replay(running, clock, 1)
    assert await place(running) == ("cpu", "gpu-headroom-below-threshold")

    card.free_mb = 16_000
    await replay(running, clock, 11)
    assert await place(running) == ("cuda", "headroom-sufficient")

    card.free_mb = None
    await replay(running, clock, 1)
    assert await place(running) == ("cpu", "gpu-query-failed")


async def test_both_devices_give_the_same_vectors(running, clock):
    _, on_cpu = await post(running, "/embed", {"text": "the same"})
    await replay(running, clock, 11)
    _, on_gpu = await post(running, "/embed", {"text": "the same"})
    assert (on_cpu["device"], on_gpu["device"]) == ("cpu", "cuda")
    product = sum(one * other for one, other in zip(on_cpu["dense"], on_gpu["dense"], strict=True))
    assert product >= 0.999  # the GPU computes in half precision


@pytest.mark.parametrize(("dtype", "mb"), [("float32", 2), ("bfloat16", 1)])
async def test_what_is_computed_in_is_the_same_on_both_devices_where_it_is_said(start, models, card, clock, dtype, mb):
    environment = models.environment | {"RETRIEVAL_DEVICE": "auto", "RETRIEVAL_DTYPE": dtype}
    running = await loaded(await start(GpuSeam(read=card, find=lambda _index: "cpu", clock=clock), **environment))
    await replay(running, clock, 11)
    model = running.service.api[EMBEDDER].keeper.model
    copies = (model.cpu, running.service.api[PLACEMENT].where("embed")[0])
    assert [str(copy.encoder.dtype) for copy in copies] == [f"torch.{dtype}"] * 2
    assert model.gpu_mb == mb


class Broken:
    """A copy that fails each batch."""

    device = "cuda"

    def __init__(self, error):
        self.error = error

    def run(self, _batch, _is_wanted):
        raise self.error


@pytest.mark.parametrize(
    ("error", "reason"), [(GpuOutOfMemoryError(), "gpu-out-of-memory"), (GpuFailedError(), "cuda-not-available")]
)
async def test_what_the_gpu_fails_is_answered_by_the_cpu_and_the_copy_goes(running, clock, error, reason):
    running.service.api[EMBEDDER].keeper.model.copy_to_gpu = lambda: Broken(error)
    await replay(running, clock, 11)
    assert running.service.api[PLACEMENT].is_on_gpu("embed")
    assert await place(running) == ("cpu", reason)
    assert not running.service.api[PLACEMENT].is_on_gpu("embed")
    await replay(running, clock, 30)
    assert await place(running) == ("cpu", reason)  # barred for a minute
    counted = running.service.api[METRICS].registry.get_sample_value
    assert counted("retrieval_texts_total", {"model": "embed", "device": "cpu", "reason": reason}) == 2
    del running.service.api[EMBEDDER].keeper.model.copy_to_gpu
    await replay(running, clock, 41)
    assert await place(running) == ("cuda", "headroom-sufficient")


class Hanging:
    """A copy whose batches never end."""

    device = "cuda"

    def __init__(self):
        self.go = threading.Event()

    def run(self, _batch, _is_wanted):
        self.go.wait(60)


async def test_a_gpu_that_hangs_is_left(start, models, card, clock):
    environment = models.environment | {"RETRIEVAL_DEVICE": "auto", "RETRIEVAL_TIMEOUT_SECONDS": "1"}
    running = await loaded(await start(GpuSeam(read=card, find=lambda _index: "cpu", clock=clock), **environment))
    running.service.api[EMBEDDER].keeper.model.copy_to_gpu = lambda: hanging
    hanging = Hanging()
    try:
        await replay(running, clock, 11)
        assert (await post(running, "/embed", {"text": "a"}))[0] == 504
        await until(lambda: not running.service.api[EMBEDDER].batcher.running, 20)
        assert await place(running) == ("cpu", "cuda-not-available")
    finally:
        hanging.go.set()


async def test_what_the_gpu_fails_the_cpu_answers_in_batches_of_its_own_size(start, models, card, clock):
    """A batch that a GPU takes a moment for would take the CPU longer than its callers wait."""
    environment = models.environment | {"RETRIEVAL_DEVICE": "auto", "RETRIEVAL_BATCH_TOKENS": "64"}
    running = await loaded(await start(GpuSeam(read=card, find=lambda _index: "cpu", clock=clock), **environment))
    embedder = running.service.api[EMBEDDER]
    embedder.keeper.model.copy_to_gpu = lambda: Broken(GpuOutOfMemoryError())
    await replay(running, clock, 11)
    status, answer = await post(running, "/embed", {"texts": ["one and two and three"] * 40})
    assert (status, answer["device"], answer["reason"]) == (200, "cpu", "gpu-out-of-memory")
    sample = running.service.api[METRICS].registry.get_sample_value
    of_embed = {"model": "embed", "device": "cpu"}
    assert sample("retrieval_batch_texts_sum", of_embed) == 40
    assert sample("retrieval_batch_texts_count", of_embed) > 5


async def test_a_copy_that_does_not_fit_after_all_is_no_error(running, clock):
    def full():
        raise GpuOutOfMemoryError

    running.service.api[EMBEDDER].keeper.model.copy_to_gpu = full
    await replay(running, clock, 11)
    assert await place(running) == ("cpu", "gpu-out-of-memory")


async def test_texts_stream_in_while_copies_come_and_go_and_none_fails(running, card, clock):
    stop, devices = asyncio.Event(), []

    async def stream():
        while not stop.is_set():
            devices.append((await place(running))[0])

    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(stream())
        for free_mb in (16_000, 0, 16_000, 0):
            card.free_mb = free_mb
            await replay(running, clock, 12)
            count = len(devices)
            while len(devices) < count + 8:
                await asyncio.sleep(0.01)
        stop.set()
    assert set(devices) == {"cpu", "cuda"}


async def test_room_is_made_for_ocr_at_once_and_kept(running, clock):
    await replay(running, clock, 11)
    placement = running.service.api[PLACEMENT]
    assert await placement.make_room() is True
    assert not placement.is_on_gpu("embed")
    assert not placement.is_on_gpu("rerank")
    assert await place(running) == ("cpu", "gpu-headroom-below-threshold")
    assert await placement.make_room() is False
    await replay(running, clock, 30)
    assert await place(running) == ("cpu", "gpu-headroom-below-threshold")


async def test_with_the_cpu_chosen_the_gpu_is_neither_looked_at_nor_looked_for(start, models, card):
    def find(_index):
        raise AssertionError("nobody should look for a GPU")

    running = await loaded(await start(GpuSeam(read=card, find=find), **models.environment))
    assert await place(running) == ("cpu", "cuda-not-available")
    assert card.read == 0


async def test_without_a_gpu_it_is_never_read(start, models, card):
    environment = models.environment | {"RETRIEVAL_DEVICE": "auto"}
    running = await loaded(await start(GpuSeam(read=card, find=lambda _index: None), **environment))
    await running.service.api[PLACEMENT].look()
    assert await place(running) == ("cpu", "cuda-not-available")
    assert card.read == 0


async def test_a_failing_text_is_no_failing_gpu(running, clock):
    """The CPU's verdict on a text counts: what fails there, too, fails the text."""
    await replay(running, clock, 11)
    model = running.service.api[EMBEDDER].keeper.model
    model.cpu = Broken(ValueError())
    running.service.api[PLACEMENT]._tenants["embed"].copy = Broken(GpuFailedError())
    with pytest.raises(EngineFailedError):
        await running.service.api[EMBEDDER].answer(["a"], truncate=True)
