"""How fast a model computes on each device, learnt from its batches; estimates made from that. Pure."""

import math
from collections import deque
from dataclasses import dataclass
from itertools import accumulate
from operator import attrgetter

from sidecar.errors import InvalidValueError, QueueFullError

RECENT = 32
"""Batches that count."""
ENOUGH = 4
"""Batches after which something is known: the first are slow, as the library compiles its code for them."""


@dataclass(frozen=True, slots=True)
class _Batch:
    core_s_each: float
    tokens: int


class Pace:
    """Seconds a token, for one core of a device: the median of the last batches, long ones counting more.

    One short batch that was slow would falsify a mean for minutes.
    """

    def __init__(self) -> None:
        self._recent: dict[str, deque[_Batch]] = {}

    def learn(self, device: str, core_s: float, tokens: int) -> None:
        """Take a batch into account: seconds, times the cores it had, and its tokens with the padding."""
        self._recent.setdefault(device, deque(maxlen=RECENT)).append(_Batch(core_s / tokens, tokens))

    def core_s(self, device: str, tokens: int) -> float:
        """Estimate the seconds that a core takes for so many tokens; 0 while too little is known."""
        recent = sorted(self._recent.get(device, ()), key=attrgetter("core_s_each"))
        if len(recent) < ENOUGH:
            return 0.0
        half = sum(one.tokens for one in recent) / 2
        sums = accumulate(one.tokens for one in recent)
        return tokens * next(one.core_s_each for one, so_far in zip(recent, sums, strict=True) if so_far >= half)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds until a request is begun, and seconds that it takes itself then."""

    wait_s: float
    own_s: float


def check_estimate(estimate: Estimate, stall_s: float, total_s: float) -> None:
    """Refuse at once what would not be answered in time, instead of computing a part of it for nothing.

    Args:
        estimate: what the request needs.
        stall_s: how long it may wait before it is begun, in seconds.
        total_s: how long it may take altogether, in seconds.

    Raises:
        InvalidValueError: the request is too large for this machine, even alone.
        QueueFullError: others are before it.
    """
    if estimate.own_s > total_s:
        raise InvalidValueError(
            f"the texts would take about {estimate.own_s:.0f} s here, the limit is {total_s:g} s: send fewer at a time"
        )
    if estimate.wait_s > stall_s or estimate.wait_s + estimate.own_s > total_s:
        raise QueueFullError(
            f"what is before this request takes about {estimate.wait_s:.0f} s, and the request itself "
            f"{estimate.own_s:.0f} s; the limits are {stall_s:g} s and {total_s:g} s altogether",
            retry_after_s=math.ceil(estimate.wait_s),
        )
