"""The threads that compute batches on the CPU: as many as there are batches at a time, each on cores of its own."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from sidecar.runtime.daemon_thread import DaemonThread

R = TypeVar("R")


class Compute(Protocol):
    """Runs a batch in the calling thread, with the help of others where there are several cores for it."""

    def __call__(self, cores: int, run: Callable[[], R]) -> R:
        """Return what ``run`` returns."""


class CpuThreads:
    """Threads, made as they are needed and kept. ``prepare`` runs first in each.

    Only one thread may use OpenMP helpers: it computes all batches that take several cores. If each thread had helpers,
    there would be more of them than cores, and OpenMP's library, libgomp, would put them to sleep at every step: a text
    then took 1.5 times as long. While that thread is busy with another model, a batch gets one core instead of waiting.
    """

    def __init__(self, prepare: Callable[[], None], compute: Compute) -> None:
        self._prepare = prepare
        self._compute = compute
        self._with_helpers = DaemonThread("retrieval-cpu-all", prepare)
        self._threads: list[DaemonThread] = []
        self._idle: list[DaemonThread] = []
        self._helpers_idle = True

    async def run(self, cores: int, run: Callable[[], R]) -> R:
        """Run a batch on so many cores."""
        if cores > 1 and self._helpers_idle:
            self._helpers_idle = False
            try:
                return await self._with_helpers.run(self._compute, cores, run)
            finally:
                self._helpers_idle = True
        thread = self._idle.pop() if self._idle else self._new_thread()
        try:
            return await thread.run(self._compute, 1, run)
        finally:
            self._idle.append(thread)

    def _new_thread(self) -> DaemonThread:
        self._threads.append(DaemonThread(f"retrieval-cpu-{len(self._threads)}", self._prepare))
        return self._threads[-1]

    @property
    def all(self) -> tuple[DaemonThread, ...]:
        """All threads, to stop them."""
        return self._with_helpers, *self._threads
