"""The pool of worker processes: a deadline and a kill for each task, recycling, and its own supervision.

Knows nothing of documents: it runs functions. The only module that imports pebble.
"""

import asyncio
import concurrent.futures
import logging
import multiprocessing
import signal
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from typing import Any, TypeVar

import pebble

from sidecar.errors import DeadlineError
from sidecar.runtime.workers import sandbox
from sidecar.runtime.workers.process import limit_process

log = logging.getLogger(__name__)

T = TypeVar("T")

START_METHOD = "forkserver"
"""Workers fork from a small process of one thread: quick as fork, and safe beside pebble's and torch's threads."""
PRELOAD = [__name__, "sidecar.engines.worker_preload"]
"""What workers share. What they import themselves, pebble above all, costs each one 90 ms."""
TRIES = 2
"""A task whose worker dies is given to another one: the kernel's out-of-memory killer may have hit the wrong worker. If
that happens twice, the task is the cause."""
LOOK_S = 1.0
"""How often a running task is checked, in seconds: pebble may notice a worker's death before it knows which task the
worker had taken, and then waits for the deadline."""
BROKEN_IN_A_ROW = 5
"""Pools that may break in a row, without one finished task between them, before the process should be restarted."""


class WorkerDiedError(Exception):
    """The task ended its worker process, each time it was tried, or wanted more memory than it may have."""


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """How many workers, and what each may take. ``memory_bytes`` is address space."""

    count: int
    memory_bytes: int
    tasks: int
    nice: int


def _timed(function: Callable[..., T], *args: Any) -> tuple[T, float]:  # noqa: ANN401 - as the function takes them
    started_s = time.monotonic()
    return function(*args), time.monotonic() - started_s


def _reported(function: Callable[..., T], *args: Any) -> tuple[T, tuple[str, ...]]:  # noqa: ANN401 - likewise
    """Run a task, and also tell what confines the worker that ran it."""
    return function(*args), sandbox.in_force()


def _name(function: Callable[..., object], args: tuple[Any, ...]) -> str:
    return str((args[0] if function is _timed else function).__name__)


def _ensure_fork_server() -> None:
    """Start the fork server, if it does not run, with SIGINT blocked: Ctrl-C reaches the whole process group.

    What it forks inherits the mask. A worker that ignored the signal itself would print a traceback until it does.
    """
    resource_tracker.ensure_running()  # the fork server's start would start it, and it unblocks SIGINT here
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


async def _result(pool: pebble.ProcessPool, task: "pebble.ProcessFuture[T]") -> T:
    """Wait for a task's result.

    Raises:
        ProcessExpired: its worker died, or nobody will ever do it.
    """
    result, was_lost = asyncio.wrap_future(task), False
    try:
        while not (await asyncio.wait((result,), timeout=LOOK_S))[0]:
            is_lost = _is_lost(pool, task)
            if is_lost and was_lost:  # twice: its result may be on the way
                raise pebble.ProcessExpired("lost with its worker")  # type: ignore[no-untyped-call]
            was_lost = is_lost
        return result.result()
    finally:
        result.cancel()  # which ends its worker, if it still runs


def _is_lost(pool: pebble.ProcessPool, future: "pebble.ProcessFuture[T]") -> bool:
    """Return whether no worker has this unfinished task, and no pool will give it to one."""
    if not pool.active:
        return True
    manager = pool._pool_manager  # noqa: SLF001 - pebble tells it nowhere else
    task = next((one for one in list(manager.task_manager.tasks.values()) if one.future is future), None)
    return task is not None and task.started and task.worker_id not in manager.worker_manager.workers


def _end_workers(pool: pebble.ProcessPool) -> None:
    """End the workers of a stopped pool before it unlinks their lock: one that still starts would print a traceback."""
    if pool._pool_manager_loop is not None:  # noqa: SLF001 - pebble's own end takes away the lock first
        pool._pool_manager_loop.join()  # noqa: SLF001 - it starts workers
    pool._pool_manager.worker_manager.force_stop_workers()  # type: ignore[no-untyped-call]  # noqa: SLF001


class WorkerPool:
    """Runs functions in worker processes. Started by the first task; a pool that breaks is replaced."""

    def __init__(self, limits: WorkerLimits) -> None:
        self.limits = limits
        self._context = multiprocessing.get_context(START_METHOD)
        self._context.set_forkserver_preload(PRELOAD)
        self._pool = self._new_pool()
        self._stopped = False
        self._broken_in_a_row = 0
        self.replaced = 0
        """How often the pool broke and was replaced."""
        self.confined_by: tuple[str, ...] | None = None
        """What confines the worker that ended a task last; None before the first has."""
        self._tasks = 0

    @property
    def alive(self) -> bool:
        """Return whether tasks can be run: not after the end, nor if every new pool breaks like the one before."""
        return not self._stopped and self._broken_in_a_row < BROKEN_IN_A_ROW

    @property
    def busy(self) -> int:
        """Count the workers that are busy."""
        return min(self._tasks, self.limits.count)

    async def run_timed(self, function: Callable[..., T], *args: Any, deadline_s: float) -> tuple[T, float]:  # noqa: ANN401 - likewise
        """Do as :meth:`run`; also tell the seconds it took, from the moment a worker took it on."""
        return await self.run(_timed, function, *args, deadline_s=deadline_s)

    async def run(self, function: Callable[..., T], *args: Any, deadline_s: float) -> T:  # noqa: ANN401 - as the function takes them
        """Run ``function(*args)`` in a worker; a cancelled call ends the worker that runs it.

        Args:
            function: a function of a module, which the worker imports.
            args: what can be pickled.
            deadline_s: seconds from the moment a worker takes the task on.

        Raises:
            DeadlineError: it took longer; its worker was killed.
            WorkerDiedError: its worker died, twice.
        """
        self._tasks += 1
        try:
            return await self._try(function, args, deadline_s)
        finally:
            self._tasks -= 1

    async def _try(self, function: Callable[..., T], args: tuple[Any, ...], deadline_s: float) -> T:
        for _ in range(TRIES):
            _ensure_fork_server()
            pool = self._pool
            try:
                task: pebble.ProcessFuture[tuple[T, tuple[str, ...]]]
                task = pool.schedule(_reported, args=(function, *args), timeout=deadline_s)
                result, confined_by = await _result(pool, task)
            except (TimeoutError, concurrent.futures.TimeoutError) as exc:
                raise DeadlineError(f"it took longer than {deadline_s:g} s") from exc
            except MemoryError as exc:
                raise WorkerDiedError("more memory than allowed") from exc
            except pebble.ProcessExpired as exc:
                log.warning("a worker died", extra={"exitcode": exc.exitcode, "task": _name(function, args)})
            except (BrokenProcessPool, RuntimeError):
                if self._stopped or pool.active:
                    raise
                self._replace(pool)
            else:
                self._broken_in_a_row = 0
                self._note(confined_by)
                return result
        raise WorkerDiedError("its worker died")

    def _note(self, confined_by: tuple[str, ...]) -> None:
        """Keep what confines a worker; log it once if the kernel has more than it granted."""
        if confined_by != self.confined_by and confined_by != sandbox.available():
            log.warning("workers are less confined than this kernel allows", extra={"confinedBy": confined_by})
        self.confined_by = confined_by

    def stop(self) -> None:
        """End all workers at once, whatever they do."""
        self._stopped = True
        self._end(self._pool)

    def _new_pool(self) -> pebble.ProcessPool:
        return pebble.ProcessPool(
            max_workers=self.limits.count,
            max_tasks=self.limits.tasks,
            initializer=limit_process,
            initargs=(self.limits.memory_bytes, self.limits.nice),
            context=self._context,
        )

    def _replace(self, broken: pebble.ProcessPool) -> None:
        """Put a new pool in place of one that broke (pebble gives up when an idle worker dies of a signal)."""
        if self._pool is broken:
            log.error("the worker pool broke and is replaced")
            self.replaced += 1
            self._broken_in_a_row += 1
            self._pool = self._new_pool()
            asyncio.get_running_loop().run_in_executor(None, self._end, broken)

    @staticmethod
    def _end(pool: pebble.ProcessPool) -> None:
        pool.stop()  # type: ignore[no-untyped-call]
        _end_workers(pool)
        pool.join()
