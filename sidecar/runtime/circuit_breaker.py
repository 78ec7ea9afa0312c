"""A circuit breaker: after several failures in a row calls fail at once; then one probe call at a time is let through.

Decides by the clock it is given; makes no calls.
"""

import math
from collections.abc import Callable

FAILURES_IN_A_ROW = 5
OPEN_S = 10.0


class CircuitBreaker:
    """Closed: calls pass. Open: none passes, for :data:`OPEN_S` seconds. Then half open: one probe decides."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._opened_at_s: float | None = None
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether it is open or half open."""
        return self._opened_at_s is not None

    @property
    def holds_back(self) -> bool:
        """Whether calls fail at once now. This ends by itself: a service that nobody calls must not stay unready."""
        return self._opened_at_s is not None and self._clock() < self._opened_at_s + OPEN_S

    @property
    def retry_after_s(self) -> int:
        """Seconds until the next call may try; 1 at least."""
        opened_at_s = self._clock() if self._opened_at_s is None else self._opened_at_s
        return max(1, math.ceil(opened_at_s + OPEN_S - self._clock()))

    @property
    def would_admit(self) -> bool:
        """Whether a call might be made now."""
        return self._opened_at_s is None or not (self._probing or self.holds_back)

    def admit(self) -> bool:
        """Return whether a call may be made. Its caller reports the outcome with one of the three methods below."""
        admits = self.would_admit
        self._probing |= admits and self.is_open
        return admits

    def succeeded(self) -> None:
        """Record that the server answered."""
        self._failures = 0
        self._opened_at_s = None
        self._probing = False

    def failed(self, *, was_probe: bool = True) -> None:
        """Record that it did not. A call that began before the breaker opened is not the probe."""
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW:
            self._opened_at_s = self._clock()
        if was_probe:
            self._probing = False

    def cancelled(self) -> None:
        """Record that the probe call was cancelled without a result."""
        self._probing = False
