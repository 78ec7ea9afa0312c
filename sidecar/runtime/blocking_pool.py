"""Blocking calls that may never return, in a bounded number of threads that never delay the end of the process.

For calls to a network file system or a name server: a deadline cannot end such a call, only the wait for it.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class PoolFullError(Exception):
    """Every thread is held by an abandoned call."""


class BlockingPool:
    """Runs at most ``size`` calls at a time, each in a daemon thread of its own; further ones wait for their turn."""

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._free = asyncio.Semaphore(size)
        self.stuck = 0
        """Calls that still run although their callers have left."""

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call and wait for it; a caller that leaves does not stop it.

        Raises:
            PoolFullError: as many calls are stuck as there may be threads.
        """
        if self.stuck >= self._size:
            raise PoolFullError(f"{self.stuck} calls of {self._name} do not return")
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def run() -> None:
            try:
                end = _answered(answer, call(*args, **kwargs))
            except BaseException as exc:  # noqa: BLE001 - whatever it is, it belongs to who waits for the call
                end = _failed(answer, exc)
            try:
                loop.call_soon_threadsafe(self._end, answer, end)
            except RuntimeError:
                return  # the loop is closed, and nobody waits

        threading.Thread(target=run, name=self._name, daemon=True).start()
        try:
            return await answer
        except asyncio.CancelledError:
            self.stuck += answer.cancelled()
            raise

    def _end(self, answer: "asyncio.Future[T]", tell: Callable[[], None]) -> None:
        self._free.release()
        if answer.cancelled():
            self.stuck -= 1
        else:
            tell()


def _answered(answer: "asyncio.Future[T]", result: T) -> Callable[[], None]:
    return lambda: answer.set_result(result)


def _failed(answer: "asyncio.Future[T]", exc: BaseException) -> Callable[[], None]:
    return lambda: answer.set_exception(exc)
