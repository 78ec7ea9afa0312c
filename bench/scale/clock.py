"""The simulator's time: what is to happen, in its order."""

import heapq
from collections.abc import Callable
from itertools import count

LONGEST_S = 90 * 86_400.0


class StuckError(Exception):
    """Nothing comes to an end: the scenario has no pod that could read, or the simulator is wrong."""


class Clock:
    """Calls what was asked for, each at its time; of two at the same time, the one that was asked for first."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def after(self, delay_s: float, do: Callable[[], None]) -> None:
        """Call ``do`` after so many seconds."""
        heapq.heappush(self._events, (self.now_s + delay_s, next(self._numbers), do))

    def run(self, is_over: Callable[[], bool]) -> None:
        """Go on until it is over.

        Raises:
            StuckError: nothing more would happen, or 90 days have gone by.
        """
        while not is_over():
            if not self._events or self.now_s > LONGEST_S:
                raise StuckError(f"it does not end: stopped after {self.now_s:.0f} s")
            self.now_s, _, do = heapq.heappop(self._events)
            do()
