"""Copies on the GPU come and go as decided, whoever waits for that, and whatever the GPU answers."""

import asyncio
import threading

import pytest

from sidecar.gpu.vram import VramHeadroom
from sidecar.retrieval.model import EMBED, RERANK
from sidecar.retrieval.placement import Placement, PlacementLimits
from sidecar.runtime.daemon_thread import DaemonThread
from tests.conftest import until
from tools.fakes.ollama import ManualClock

EMPTY = VramHeadroom(16_384, 384, 16_000, True)


class Copy:
    device = "cuda"


class Model:
    """A model that tells what is done with it; ``refusal`` is what the GPU says to that."""

    max_tokens = 8192
    gpu_mb = 1000
    can_use_gpu = True

    def __init__(self, name):
        self.name = name
        self.copied = self.freed = 0
        self.refusal = None

    def copy_to_gpu(self):
        self.copied += 1
        if self.refusal:
            raise self.refusal
        return Copy()

    def free_gpu(self):
        self.freed += 1
        if self.refusal:
            raise self.refusal


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def thread():
    one = DaemonThread("test-gpu")
    yield one
    one.stop(5)


@pytest.fixture
def models():
    return Model(EMBED), Model(RERANK)


@pytest.fixture
def placement(clock, thread, models):
    async def read():
        return EMPTY

    one = Placement((EMBED, RERANK), read, thread, PlacementLimits(3000, 500, room_s=0.2), clock)
    for model in models:
        one.admit(model)
    return one


async def settle(placement, clock):
    """Let copies come."""
    for _ in range(24):
        clock.advance(0.5)
        await placement.look()


@pytest.fixture
def busy(thread):
    """Keep the GPU's thread busy, as a batch does, until it is let go."""
    held, began = threading.Event(), threading.Event()

    async def start():
        def hold():
            began.set()
            assert held.wait(20)

        running = asyncio.create_task(thread.run(hold))
        await until(began.is_set)
        return running

    start.let_go = held.set
    yield start
    held.set()


async def test_who_wants_room_may_leave_and_the_memory_is_given_back_all_the_same(placement, clock, models, busy):
    await settle(placement, clock)
    batch = await busy()
    page = asyncio.create_task(placement.make_room())
    await asyncio.sleep(0)
    page.cancel()
    await asyncio.wait({page})
    busy.let_go()
    await batch
    await until(lambda: [model.freed for model in models] == [1, 1])


async def test_who_wants_room_waits_for_it_no_longer_than_told(placement, clock, models, busy):
    """A GPU that hangs must not hold up the pages as well."""
    await settle(placement, clock)
    batch = await busy()
    async with asyncio.timeout(10):
        assert await placement.make_room() is True
    assert [model.freed for model in models] == [0, 0]
    busy.let_go()
    await batch
    await until(lambda: [model.freed for model in models] == [1, 1])


async def test_who_comes_while_room_is_made_is_told_so_as_well(placement, clock, busy):
    """Several pages want room at once; each looks at the memory anew when there is some."""
    await settle(placement, clock)
    batch = await busy()
    pages = [asyncio.create_task(placement.make_room()) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    busy.let_go()
    await batch
    assert await asyncio.gather(*pages) == [True, True, True]
    assert await placement.make_room() is False


async def test_no_batch_begins_on_a_copy_that_has_to_go(placement, clock, busy):
    await settle(placement, clock)
    assert placement.where(RERANK)[0] is not None
    batch = await busy()
    room = asyncio.create_task(placement.make_room())
    await asyncio.sleep(0)
    assert [placement.where(name) for name in (EMBED, RERANK)] == [(None, "gpu-headroom-below-threshold")] * 2
    busy.let_go()
    await asyncio.gather(batch, room)


async def test_a_gpu_that_answers_nothing_more_is_no_reason_for_an_error(placement, clock, models):
    await settle(placement, clock)
    for model in models:
        model.refusal = RuntimeError("CUDA error: device-side assert triggered")
    assert await placement.make_room() is True
    assert not placement.is_on_gpu(EMBED)
    assert not placement.is_on_gpu(RERANK)


async def test_whatever_keeps_a_copy_away_is_told_and_not_tried_again_at_once(placement, clock, models):
    for model in models:
        model.refusal = AssertionError("Torch not compiled with CUDA enabled")
    await settle(placement, clock)
    assert [model.copied for model in models] == [1, 1]
    assert placement.where(EMBED) == (None, "cuda-not-available")
    assert [model.freed for model in models] == [1, 1]


@pytest.mark.alone
async def test_a_gpu_that_hangs_costs_each_page_neither_a_task_nor_its_time(placement, clock, busy):
    """The first page waits as long as it may for room; those after it know that there will be none."""
    await settle(placement, clock)
    batch = await busy()
    assert await placement.make_room() is True
    before, loop = len(asyncio.all_tasks()), asyncio.get_running_loop()

    started_s = loop.time()
    assert [await placement.make_room() for _ in range(50)] == [False] * 50
    assert loop.time() - started_s < 0.2, "each waited"
    pages = [asyncio.create_task(placement.make_room()) for _ in range(50)]
    await asyncio.gather(*pages)
    assert len(asyncio.all_tasks()) == before

    busy.let_go()
    await batch
    await until(lambda: not any(placement.is_on_gpu(name) for name in (EMBED, RERANK)))


async def test_a_model_that_leaves_has_no_copy_and_gets_none(models, thread, clock):
    """Not even from a reading that began while it was there."""
    reading, read = asyncio.Event(), asyncio.Event()

    async def slow():
        reading.set()
        await read.wait()
        return EMPTY

    read.set()
    placement = Placement((EMBED, RERANK), slow, thread, PlacementLimits(3000, 500), clock)
    for model in models:
        placement.admit(model)
    await placement.look()
    clock.advance(11)
    reading.clear()
    read.clear()
    looking = asyncio.create_task(placement.look())
    await reading.wait()
    await placement.dismiss(EMBED)
    read.set()
    await looking
    assert (models[0].copied, models[1].copied) == (0, 1)
    assert placement.where(EMBED) == (None, "model-released")
    await placement.failed(EMBED, "gpu-out-of-memory")  # by its last batch
    await placement.dismiss(RERANK)
    assert not placement.is_on_gpu(RERANK)
    assert models[1].freed == 1
    placement.admit(models[1])
    assert placement.where(RERANK) == (None, "warming-up")
