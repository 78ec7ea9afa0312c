"""Batches on the CPU: several cores for one, or one core each."""

import asyncio
import subprocess
import sys
import threading

import pytest

from sidecar.retrieval.cpu_threads import CpuThreads
from sidecar.runtime.daemon_thread import stop_all
from tests.conftest import until


@pytest.fixture
def computed():
    return []


@pytest.fixture
def threads(computed):
    def compute(cores, run):
        computed.append((cores, threading.get_ident()))
        return run()

    one = CpuThreads(lambda: None, compute)
    yield one
    stop_all(one.all, 5)


async def test_a_batch_for_all_cores_does_not_wait_for_another_one_of_that_kind(threads, computed):
    """The other is another model's, and may take minutes."""
    held = threading.Event()
    long = asyncio.create_task(threads.run(2, lambda: held.wait(20)))
    await until(lambda: computed)
    assert await threads.run(2, lambda: "quick") == "quick"
    held.set()
    assert await long
    assert [cores for cores, _ in computed] == [2, 1]
    assert await threads.run(2, lambda: "again") == "again"
    assert computed[2] == computed[0], "the thread with the helpers is the same one each time"


async def test_batches_on_one_core_each_run_at_the_same_time(threads):
    meeting = threading.Barrier(3)
    assert sorted(await asyncio.gather(*(threads.run(1, lambda: meeting.wait(10)) for _ in range(3)))) == [0, 1, 2]


async def test_the_end_waits_once_for_all_threads_together(threads, computed):
    held = threading.Event()
    running = [asyncio.create_task(threads.run(1, lambda: held.wait(20))) for _ in range(4)]
    await until(lambda: len(computed) == 4)
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    await asyncio.to_thread(stop_all, threads.all, 0.5)
    taken_s = loop.time() - started_s
    held.set()
    await asyncio.gather(*running)
    assert 0.4 < taken_s < 1.9  # four times would be two seconds


NICER = """
import os, threading
from sidecar.retrieval.bge.torch_runtime import NICE_BELOW_OCR, prepare_thread

def compute():
    prepare_thread(5)
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    print(own - os.getpriority(os.PRIO_PROCESS, os.getpid()) - NICE_BELOW_OCR)

os.nice(3)
thread = threading.Thread(target=compute)
thread.start()
thread.join()
"""


def test_threads_are_below_the_workers_whatever_priority_the_service_was_started_with():
    """The workers count from there as well."""
    told = subprocess.run([sys.executable, "-c", NICER], capture_output=True, check=True, text=True, timeout=60)
    assert told.stdout == "5\n"
