"""An event loop in a thread of its own, so that programs without one can wait for what needs one."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for any number of threads, also where the caller's own thread has a running loop (Jupyter)."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._is_closed = False
        # Reentrant: while it is held, a collection may end a stream, whose end comes here, too.
        self._submitting = threading.RLock()
        self._ends: set[asyncio.Task[None]] = set()
        # A daemon: a client that nobody closed does not keep the interpreter from ending.
        self._thread = threading.Thread(target=self._serve, name="ocr-sidecar-client", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Wait for a coroutine; if the waiting is interrupted, as by Ctrl-C, it is cancelled.

        Raises:
            RuntimeError: the thread has ended, or ends meanwhile.
        """
        future = self._submit(coroutine)
        try:
            return future.result()
        except CancelledError as exc:
            raise RuntimeError("the client is closed") from exc
        except BaseException:
            future.cancel()
            raise

    def end(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Wait for the end of what a coroutine ends; a thread that has ended has ended that, too.

        On the loop's own thread, which may collect what somebody left, it is begun and not waited for: nobody else
        would run it.
        """
        if self._is_closed:
            coroutine.close()
        elif threading.current_thread() is self._thread:
            task = self._loop.create_task(coroutine)
            self._ends.add(task)
            task.add_done_callback(self._ends.discard)
        else:
            self.run(coroutine)

    def close(self, last: Callable[[], Awaitable[None]]) -> None:
        """Cancel what runs, wait for ``last``, and end loop and thread."""
        with self._submitting:
            if not self._is_closed:
                self._is_closed = True
                asyncio.run_coroutine_threadsafe(self._finish(last), self._loop)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        with self._submitting:  # what is submitted stands before the end in the loop's queue, or is refused
            if not self._is_closed:
                return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        coroutine.close()
        raise RuntimeError("the client is closed")

    async def _finish(self, last: Callable[[], Awaitable[None]]) -> None:
        try:
            running = asyncio.all_tasks() - {asyncio.current_task()}
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await self._loop.shutdown_asyncgens()
            await last()
        finally:
            self._loop.stop()

    def _serve(self) -> None:
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
