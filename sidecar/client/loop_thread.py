"""An event loop in a thread of its own, so that programs without one can wait for what needs one."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for any number of threads, also where the caller's own thread has a running loop (Jupyter)."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        # A daemon: a client that nobody closed does not keep the interpreter from ending.
        self._thread = threading.Thread(target=self._loop.run_forever, name="ocr-sidecar-client", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Wait for a coroutine; if the waiting is interrupted, as by Ctrl-C, it is cancelled.

        Raises:
            RuntimeError: the thread has ended.
        """
        if self.is_closed:
            coroutine.close()
            raise RuntimeError("the client is closed")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    @property
    def is_closed(self) -> bool:
        """Whether it ended."""
        return self._loop.is_closed()

    def close(self) -> None:
        """End loop and thread."""
        if not self.is_closed:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()
