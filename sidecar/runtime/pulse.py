"""The pulse of an event loop: it beats while the loop turns, and another thread can tell since when it does not."""

import asyncio
import time
from collections.abc import Callable

EVERY_S = 0.5


class Pulse:
    """Beats in the loop that runs :meth:`keep_beating`, and is read from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beat_at_s = clock()

    def beat(self) -> None:
        """Note that the loop turns."""
        self._beat_at_s = self._clock()

    @property
    def still_s(self) -> float:
        """Seconds since the last beat."""
        return self._clock() - self._beat_at_s

    async def keep_beating(self) -> None:
        """Beat until cancelled."""
        while True:
            self.beat()
            await asyncio.sleep(EVERY_S)
