"""Calls that hang hold a bounded number of threads, nobody's wait, and not the end of the process."""

import asyncio
import subprocess
import sys
import threading

import pytest

from sidecar.runtime.blocking_pool import BlockingPool, PoolFullError
from tests.conftest import until

END_WHILE_A_CALL_HANGS = """
import asyncio, threading
from sidecar.runtime.blocking_pool import BlockingPool

async def main():
    try:
        async with asyncio.timeout(0.1):
            await BlockingPool("test", 2).run(threading.Event().wait)
    except TimeoutError:
        print("left")

asyncio.run(main())
"""


@pytest.fixture
def gate():
    one = threading.Event()
    yield one
    one.set()


async def leave(pool: BlockingPool, gate: threading.Event, count: int) -> None:
    """Have so many calls hang, and nobody wait for them."""
    calls = [asyncio.create_task(pool.run(gate.wait)) for _ in range(count)]
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_it_gives_what_a_call_gives_and_raises_what_it_raises():
    pool = BlockingPool("test", 2)
    assert await pool.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await pool.run(divmod, 7, 0)
    assert pool.stuck == 0


async def test_calls_run_beside_one_another_and_further_ones_have_their_turn():
    pool, both = BlockingPool("test", 2), threading.Barrier(2)
    places = await asyncio.gather(*(pool.run(both.wait, 5) for _ in range(6)))
    assert sorted(places) == [0, 0, 0, 1, 1, 1]


async def test_with_every_thread_stuck_a_call_is_refused_at_once_and_later_taken_again(gate):
    pool = BlockingPool("test", 3)
    await leave(pool, gate, 3)
    assert pool.stuck == 3
    with pytest.raises(PoolFullError):
        await pool.run(int)
    gate.set()
    await until(lambda: pool.stuck == 0)
    assert await pool.run(int) == 0


async def test_stuck_calls_leave_the_other_threads_to_those_who_come(gate):
    pool = BlockingPool("test", 3)
    await leave(pool, gate, 2)
    assert await asyncio.gather(*(pool.run(int) for _ in range(9))) == [0] * 9


async def test_who_leaves_before_its_turn_is_not_run_for(gate):
    pool, ran = BlockingPool("test", 1), []
    running = asyncio.create_task(pool.run(gate.wait, 5))
    leaving = asyncio.create_task(pool.run(ran.append, "left"))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    gate.set()
    await running
    await pool.run(ran.append, "stayed")
    assert (ran, pool.stuck) == (["stayed"], 0)


def test_a_call_that_hangs_holds_up_neither_the_loop_s_end_nor_the_process():
    command = [sys.executable, "-c", END_WHILE_A_CALL_HANGS]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "left\n", "")
