"""The pool of worker processes: deadlines, crashes, memory, recycling, and its own supervision."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from sidecar.errors import DeadlineError
from sidecar.runtime.workers.pool import PRELOAD, WorkerDiedError
from tests.conftest import until
from tests.integration.sidecar import misdeeds

MIB = 1024 * 1024


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_tasks_run_elsewhere_at_a_lower_priority(make_pool):
    pool = make_pool()

    assert await pool.run(misdeeds.pid, deadline_s=10) != os.getpid()
    assert await pool.run(misdeeds.priority, deadline_s=10) - os.nice(0) == 5


async def test_no_worker_hears_ctrl_c_from_its_first_moment_on(make_pool):
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])

    assert signal.SIGINT in await make_pool().run(misdeeds.blocked_signals, deadline_s=10)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before, "this process hears what it heard"


async def test_it_tells_how_many_workers_have_something_to_do(make_pool):
    pool = make_pool(count=2)
    assert pool.busy == 0
    tasks = [asyncio.create_task(pool.run(misdeeds.hang, deadline_s=60)) for _ in range(3)]
    await until(lambda: pool.busy == 2)  # and one task waits
    tasks[0].cancel()
    tasks[1].cancel()
    await until(lambda: pool.busy == 1)
    tasks[2].cancel()
    await until(lambda: pool.busy == 0)


@pytest.mark.alone
async def test_a_task_over_its_deadline_is_killed(make_pool):
    pool = make_pool(count=1)
    worker = await pool.run(misdeeds.pid, deadline_s=10)
    started = time.monotonic()

    with pytest.raises(DeadlineError):
        await pool.run(misdeeds.hang, deadline_s=0.3)

    assert time.monotonic() - started < 2
    await until(lambda: not is_running(worker))
    assert await pool.run(misdeeds.pid, deadline_s=10) != worker


@pytest.mark.alone
async def test_a_cancelled_task_ends_its_worker_within_a_second(make_pool, tmp_path):
    pool = make_pool(count=1)
    worker = await pool.run(misdeeds.pid, deadline_s=10)
    (started := tmp_path / "started").touch()
    task = asyncio.create_task(pool.run(misdeeds.hang_at, started, deadline_s=60))
    await until(lambda: misdeeds.is_marked(started))

    task.cancel()

    await until(lambda: not is_running(worker), 1.0)


async def test_a_crash_costs_its_own_task_alone(make_pool):
    pool = make_pool()

    crashing, other = await asyncio.gather(
        pool.run(misdeeds.crash, deadline_s=10), pool.run(misdeeds.pid, deadline_s=10), return_exceptions=True
    )

    assert isinstance(crashing, WorkerDiedError)
    assert isinstance(other, int)
    assert await pool.run(misdeeds.pid, deadline_s=10)


async def test_a_task_whose_worker_died_by_accident_is_tried_once_more(make_pool, tmp_path):
    (flag := tmp_path / "flag").touch()
    assert await make_pool().run(misdeeds.crash_once, flag, deadline_s=10) == "second try"


async def test_a_task_that_is_lost_with_its_worker_is_tried_once_more_long_before_its_deadline(make_pool, tmp_path):
    """As when pebble notes a worker's death first, and only then what it had taken on."""
    (flag := tmp_path / "flag").touch()
    pool = make_pool(count=1)
    task = asyncio.create_task(pool.run(misdeeds.hang_once, flag, deadline_s=100))
    await until(lambda: misdeeds.is_marked(flag))
    pid, _ = pool._pool._pool_manager.worker_manager.workers.popitem()
    os.kill(pid, signal.SIGKILL)

    async with asyncio.timeout(20):
        assert await task == "second try"


async def test_memory_is_bounded(make_pool):
    pool = make_pool(memory_bytes=1024 * MIB)

    with pytest.raises(WorkerDiedError):
        await pool.run(misdeeds.swallow, 1500, deadline_s=10)
    assert await pool.run(misdeeds.swallow, 100, deadline_s=10) == 100 * MIB


async def test_workers_are_replaced_after_their_tasks(make_pool):
    pool = make_pool(count=1, tasks=3)

    pids = [await pool.run(misdeeds.pid, deadline_s=10) for _ in range(7)]

    assert len(set(pids)) == 3
    assert pids[0] == pids[1] == pids[2] != pids[3]


async def test_a_pool_that_broke_is_replaced(make_pool):
    """The death of an idle worker by a signal breaks pebble's pool for good; the service must not break with it."""
    pool = make_pool(count=2)
    idle = await pool.run(misdeeds.pid, deadline_s=10)

    os.kill(idle, signal.SIGKILL)
    await until(lambda: not pool._pool.active)

    assert await pool.run(misdeeds.pid, deadline_s=10) != idle
    assert pool.alive


async def test_stopping_ends_every_worker(make_pool):
    pool = make_pool(count=2)
    pids = {await pool.run(misdeeds.pid, deadline_s=10) for _ in range(20)}
    hanging = asyncio.create_task(pool.run(misdeeds.hang, deadline_s=60))

    await asyncio.to_thread(pool.stop)

    await until(lambda: not any(map(is_running, pids)))
    assert not pool.alive
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)


ENDS_WHILE_ITS_WORKERS_START = """
import asyncio
from sidecar.runtime.workers.pool import WorkerLimits, WorkerPool
from tests.integration.sidecar import misdeeds

pool = WorkerPool(WorkerLimits(count=24, memory_bytes=2**30, tasks=100, nice=5))
asyncio.run(pool.run(misdeeds.pid, deadline_s=60))
pool.stop()
"""


async def test_a_worker_that_still_starts_ends_without_a_word():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ENDS_WHILE_ITS_WORKERS_START), stderr=asyncio.subprocess.PIPE
    )

    assert (await process.communicate())[1] == b""
    assert process.returncode == 0


async def test_the_fork_server_loads_what_each_worker_would(make_pool):
    """A worker that imports pebble and the formats of pictures itself takes 90 ms more until its first page."""
    script = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]; print(*sys.modules)"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, *PRELOAD), stdout=asyncio.subprocess.PIPE
    )
    shared = set((await process.communicate())[0].decode().split())

    loaded = await make_pool().run(misdeeds.modules, deadline_s=10)

    assert {"pebble.pool.process", "PIL.PngImagePlugin"} <= shared
    assert {name for name in loaded if name.startswith(("sidecar.", "pebble", "PIL", "numpy"))} <= shared


async def test_workers_do_not_load_the_service(make_pool):
    loaded = await make_pool().run(misdeeds.modules, deadline_s=10)

    assert "tesserocr" in loaded
    assert not {"aiohttp", "torch", "prometheus_client"} & set(loaded)
