"""Readings of the GPU, taken from hand-written devices and servers: shared, bounded, and never stuck."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import pytest

from sidecar.errors import EngineFailedError, EngineUnavailableError
from sidecar.gpu.vram import UNREADABLE, ResidentModel, VramHeadroom
from sidecar.gpu.vram_monitor import DEADLINE_S, DeviceMemory, Nvml, VramMonitor, headroom
from tests.conftest import until
from tools.fakes.ollama import ManualClock

LLM = ResidentModel("np-dms-ai:latest", 9000, 8192)
CARD = DeviceMemory(16_000, 10_000, 6000)


class Source:
    """Something that is asked: it answers, raises, or waits until it is let go."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.asked = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def read(self):
        self.asked += 1
        await self.go_on.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Rig:
    """A monitor between two sources, on a clock that a test moves."""

    def __init__(self, device: object = CARD, models: Sequence[ResidentModel] | Exception = (LLM,)) -> None:
        self.device, self.models, self.clock = Source(device), Source(models), ManualClock()
        self.monitor = VramMonitor(self.device.read, self.models.read, 16_384, self.clock)


# ── what is read ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("device", "models", "expected"),
    [
        pytest.param(CARD, (LLM,), VramHeadroom(16_000, 10_000, 6000, True, (LLM,)), id="the device's word counts"),
        pytest.param(CARD, None, VramHeadroom(16_000, 10_000, 6000, True), id="nobody tells which model"),
        pytest.param(None, (LLM,), VramHeadroom(16_384, 9000, 7384, True, (LLM,)), id="the card less the models"),
        pytest.param(None, (), VramHeadroom(16_384, 0, 16_384, True), id="an empty card"),
        pytest.param(
            None,
            (LLM, LLM),
            VramHeadroom(16_384, 18_000, 0, True, (LLM, LLM)),
            id="never less than nothing is left",
        ),
        pytest.param(None, None, UNREADABLE, id="neither answers"),
    ],
)
def test_what_was_read_is_put_together(device, models, expected):
    assert headroom(device, models, 16_384) == expected


@pytest.mark.parametrize("error", [EngineUnavailableError(), EngineFailedError()])
async def test_a_server_that_does_not_say_leaves_the_device_s_word(error):
    assert await Rig(CARD, error).monitor.read() == VramHeadroom(16_000, 10_000, 6000, True)


async def test_neither_answers_is_a_reading_that_failed():
    rig = Rig(None, EngineUnavailableError())
    assert rig.monitor.latest == UNREADABLE
    assert (await rig.monitor.read()).query_success is False


async def test_the_first_reading_after_a_failure_is_taken_as_if_nothing_had_been():
    rig = Rig(None, EngineUnavailableError())
    await rig.monitor.read()
    rig.models.answer = (LLM,)
    rig.clock.advance(0.26)
    assert (await rig.monitor.read()).used_mb == 9000
    assert rig.monitor.latest.used_mb == 9000


async def test_a_reading_fails_never_whatever_its_sources_raise():
    rig = Rig(None, OSError("unthought of"))
    assert (await rig.monitor.read()).query_success is False


async def test_a_source_that_raised_what_nobody_thought_of_is_asked_again():
    rig = Rig(CARD, ValueError("unthought of"))
    await asyncio.gather(rig.monitor.read(), return_exceptions=True)
    rig.models.answer = (LLM,)
    rig.clock.advance(1)
    assert (await rig.monitor.read()).models == (LLM,)


# ── shared ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_callers_of_one_moment_share_one_reading():
    rig = Rig()
    readings = await asyncio.gather(*(rig.monitor.read() for _ in range(50)))
    assert len(set(map(id, readings))) == 1
    assert (rig.device.asked, rig.models.asked) == (1, 1)


@pytest.mark.parametrize(("later_s", "used_mb"), [(0.0, 10_000), (0.25, 10_000), (0.26, 11_000), (60.0, 11_000)])
async def test_a_reading_is_shared_for_a_quarter_of_a_second(later_s, used_mb):
    rig = Rig()
    await rig.monitor.read()
    rig.device.answer = DeviceMemory(16_000, 11_000, 5000)
    rig.clock.advance(later_s)
    assert (await rig.monitor.read()).used_mb == used_mb


async def test_a_failed_reading_is_shared_too():
    rig = Rig(None, EngineUnavailableError())
    await asyncio.gather(rig.monitor.read(), rig.monitor.read())
    assert rig.models.asked == 1


async def test_a_caller_that_leaves_takes_nobody_s_reading_along():
    rig = Rig()
    rig.device.go_on.clear()
    leaves, stays = (asyncio.create_task(rig.monitor.read()) for _ in range(2))
    await until(lambda: rig.device.asked)
    leaves.cancel()
    await asyncio.wait([leaves])
    rig.device.go_on.set()
    assert (await stays).used_mb == 10_000
    assert rig.device.asked == 1


async def test_a_reading_whose_callers_all_left_serves_the_next():
    rig = Rig()
    rig.device.go_on.clear()
    leaves = asyncio.create_task(rig.monitor.read())
    await until(lambda: rig.device.asked)
    leaves.cancel()
    await asyncio.wait([leaves])
    rig.device.go_on.set()
    assert (await rig.monitor.read()).used_mb == 10_000


@pytest.mark.alone
async def test_closing_ends_a_reading_that_still_runs():
    rig = Rig()
    rig.device.go_on.clear()
    waits = asyncio.create_task(rig.monitor.read())
    await until(lambda: rig.device.asked)
    async with asyncio.timeout(1):
        await rig.monitor.close()
        await asyncio.wait([waits])
    assert waits.cancelled()


# ── bounded ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_no_reading_takes_over_three_seconds_whoever_hangs():
    no_device, no_models, neither = Rig(), Rig(), Rig()
    for source in (no_device.device, no_models.models, neither.device, neither.models):
        source.go_on.clear()
    started_s = time.monotonic()
    readings = await asyncio.gather(*(rig.monitor.read() for rig in (no_device, no_models, neither)))
    assert time.monotonic() - started_s < DEADLINE_S + 0.5
    assert [(one.query_success, one.used_mb, one.models) for one in readings] == [
        (True, 9000, (LLM,)),
        (True, 10_000, ()),
        (False, 0, ()),
    ]


class WedgedNvml(Nvml):
    """A driver that does not answer until it is let go."""

    def __init__(self) -> None:
        super().__init__(0)
        self.let_go = threading.Event()

    def _read(self) -> DeviceMemory | None:
        self.let_go.wait(10)
        return CARD


@pytest.mark.alone
async def test_a_wedged_driver_holds_nobody_up_and_is_believed_once_it_answers():
    nvml = WedgedNvml()
    try:
        first = asyncio.create_task(nvml.read())
        await asyncio.sleep(0)
        async with asyncio.timeout(1):
            assert await nvml.read() is None
            assert await nvml.read() is None
        nvml.let_go.set()
        assert await first == CARD
        assert await nvml.read() == CARD
    finally:
        nvml.let_go.set()


@pytest.mark.alone
async def test_a_caller_that_gives_up_on_a_wedged_driver_does_not_unwedge_it():
    nvml = WedgedNvml()
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await nvml.read()
        async with asyncio.timeout(1):
            assert await nvml.read() is None
    finally:
        nvml.let_go.set()


STUCK = """
import asyncio, threading
from sidecar.gpu.vram_monitor import Nvml

class Stuck(Nvml):
    def _read(self):
        threading.Event().wait(20)

async def main():
    nvml = Stuck(0)
    reading = asyncio.create_task(nvml.read())
    await asyncio.sleep(0)
    reading.cancel()

asyncio.run(main())
"""


def test_a_driver_that_never_answers_does_not_keep_the_process_from_ending():
    subprocess.run([sys.executable, "-c", STUCK], check=True, timeout=3)


async def test_nvml_gives_a_reading_that_adds_up_or_none():
    memory = await Nvml(0).read()
    assert memory is None or memory.total_mb >= memory.used_mb + memory.free_mb > 0


async def test_a_device_that_is_not_there_is_none():
    assert await Nvml(4096).read() is None
