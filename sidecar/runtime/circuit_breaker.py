"""A circuit breaker: after failures in a row calls fail at once, then one call at a time tries again.

Decides by the clock it is given; makes no calls.
"""

import math
from collections.abc import Callable

FAILURES_IN_A_ROW = 5
OPEN_S = 10.0


class CircuitBreaker:
    """Closed: calls pass. Open: none does, for :data:`OPEN_S` seconds. Then half open: one passes and decides."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._opened_at_s: float | None = None
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Tell whether it has not been closed again since it opened."""
        return self._opened_at_s is not None

    @property
    def holds_back(self) -> bool:
        """Tell whether calls fail at once now. It ends by itself: a service that nobody calls must not stay unready."""
        return self._opened_at_s is not None and self._clock() < self._opened_at_s + OPEN_S

    @property
    def retry_after_s(self) -> int:
        """Seconds until the next call may try; 1 at least."""
        opened_at_s = self._clock() if self._opened_at_s is None else self._opened_at_s
        return max(1, math.ceil(opened_at_s + OPEN_S - self._clock()))

    def admit(self) -> bool:
        """Ask to call. Whoever is let through says with one of the three methods below how it went."""
        if self._opened_at_s is None:
            return True
        if self._probing or self._clock() < self._opened_at_s + OPEN_S:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        """Hear that the server answered."""
        self._failures = 0
        self._opened_at_s = None
        self._probing = False

    def failed(self, *, was_probe: bool = True) -> None:
        """Hear that it did not; a call from before it opened is not the one that tries."""
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW:
            self._opened_at_s = self._clock()
        if was_probe:
            self._probing = False

    def given_up(self) -> None:
        """Hear that the probe call was cancelled without a result."""
        self._probing = False
