"""A thread that runs blocking calls one after the other, and never delays the end of the process.

Unlike ThreadPoolExecutor's, which the interpreter waits for at its exit: a download or a forward may take minutes.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class DaemonThread:
    """Runs what it is given, in order; ``prepare`` runs first, in the thread itself. Starts with its first call."""

    def __init__(self, name: str, prepare: Callable[[], None] = lambda: None) -> None:
        self._name = name
        self._prepare = prepare
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call in the thread and wait for it; a cancelled caller does not stop it once it runs."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def run() -> None:
            if answer.cancelled():
                return
            try:
                result = call(*args, **kwargs)
            except BaseException as exc:  # noqa: BLE001 - whatever it is, the caller gets it
                _tell(loop, _fail, answer, exc)
            else:
                _tell(loop, _succeed, answer, result)

        self._calls.put(run)
        return await answer

    def stop(self, wait_s: float = 0.0) -> None:
        """Let the thread end after its current call, and wait at most ``wait_s`` seconds for it."""
        stop_all((self,), wait_s)

    def tell_to_end(self) -> None:
        """Let the thread end after its current call and the queued ones."""
        self._calls.put(None)

    def join(self, wait_s: float) -> None:
        """Wait at most ``wait_s`` seconds for the thread's end."""
        if self._thread:
            self._thread.join(wait_s)

    def _work(self) -> None:
        self._prepare()
        while (call := self._calls.get()) is not None:
            call()
            del call  # drop the reference: the call may hold a copy of a model


def stop_all(threads: Iterable[DaemonThread], wait_s: float) -> None:
    """Let threads end after their current calls, and wait at most ``wait_s`` seconds for all of them together."""
    threads, ends_s = tuple(threads), time.monotonic() + wait_s
    for thread in threads:
        thread.tell_to_end()
    for thread in threads:
        thread.join(max(0.0, ends_s - time.monotonic()))


def _tell(loop: asyncio.AbstractEventLoop, how: Callable[..., None], *args: object) -> None:
    try:
        loop.call_soon_threadsafe(how, *args)
    except RuntimeError:
        return  # the loop is closed, and nobody waits


def _succeed(answer: "asyncio.Future[T]", result: T) -> None:
    if not answer.done():
        answer.set_result(result)


def _fail(answer: "asyncio.Future[T]", exc: BaseException) -> None:
    if not answer.done():
        answer.set_exception(exc)
