"""A thread that runs calls in order, and holds up nobody's end."""

import asyncio
import gc
import os
import threading
import time
import weakref

import pytest

from sidecar.runtime.daemon_thread import DaemonThread, stop_all
from tests.conftest import until


@pytest.fixture
def thread():
    one = DaemonThread("test")
    yield one
    one.stop(5)


async def test_calls_run_in_order_in_one_thread_that_is_not_the_loop_s(thread):
    found = await asyncio.gather(
        *(thread.run(lambda number=number: (number, threading.get_ident())) for number in range(9))
    )
    assert [number for number, _ in found] == list(range(9))
    assert len({ident for _, ident in found} - {threading.get_ident()}) == 1


async def test_what_a_call_raises_reaches_who_waits_and_the_thread_goes_on(thread):
    with pytest.raises(ZeroDivisionError):
        await thread.run(lambda: 1 // 0)
    assert await thread.run(os.getpid) == os.getpid()


async def test_a_caller_that_leaves_before_its_call_runs_is_not_run_for(thread):
    gate, ran = threading.Event(), []
    running = asyncio.create_task(thread.run(gate.wait, 5))
    leaving = asyncio.create_task(thread.run(ran.append, "left"))
    staying = asyncio.create_task(thread.run(ran.append, "stayed"))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    gate.set()
    await asyncio.gather(running, staying)
    assert ran == ["stayed"]


async def test_the_thread_is_prepared_before_its_first_call():
    seen = []
    thread = DaemonThread("test", lambda: seen.append("prepared"))
    await thread.run(seen.append, "called")
    thread.stop(5)
    assert seen == ["prepared", "called"]


class Weights:
    def use(self):
        return None


async def test_nothing_of_a_call_outlives_it(thread):
    weights = Weights()
    gone = weakref.ref(weights)
    await thread.run(weights.use)
    del weights
    await thread.run(gc.collect)
    await until(lambda: gone() is None)


async def test_a_call_that_never_ends_holds_up_no_end():
    thread, gate = DaemonThread("test"), threading.Event()
    running = asyncio.create_task(thread.run(gate.wait, 30))
    await asyncio.sleep(0)
    await asyncio.to_thread(thread.stop, 0.05)
    assert not running.done()
    assert [one.daemon for one in threading.enumerate() if one.name == "test"] == [True]
    gate.set()
    await running


@pytest.mark.alone
async def test_busy_threads_are_stopped_together_within_one_bound():
    gate, threads = threading.Event(), [DaemonThread(f"busy-{number}") for number in range(4)]
    running = [asyncio.create_task(thread.run(gate.wait, 30)) for thread in threads]
    await asyncio.sleep(0)
    idle = DaemonThread("idle")
    await idle.run(os.getpid)

    started_s = time.monotonic()
    await asyncio.to_thread(stop_all, (*threads, idle), 0.3)
    assert 0.3 <= time.monotonic() - started_s < 0.6
    assert "idle" not in {one.name for one in threading.enumerate()}
    gate.set()
    await asyncio.gather(*running)
    await until(lambda: not {one.name for one in threading.enumerate()} & {f"busy-{number}" for number in range(4)})
