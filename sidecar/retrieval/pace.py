"""How fast a model computes on each device, learnt from its batches; estimates made from that. Pure."""

import math
from dataclasses import dataclass

from sidecar.errors import InvalidValueError, QueueFullError

NEWEST = 0.2
"""Weight of the newest batch: about the last ten count."""


@dataclass(slots=True)
class _Learnt:
    core_s: float = 0.0
    tokens: float = 0.0


class Pace:
    """Seconds a token, for one core of a device. Long batches count more: the first of all, which is slow, is short."""

    def __init__(self) -> None:
        self._learnt: dict[str, _Learnt] = {}

    def learn(self, device: str, core_s: float, tokens: int) -> None:
        """Take a batch into account: seconds, times the cores it had, and its tokens with the padding."""
        learnt = self._learnt.setdefault(device, _Learnt())
        learnt.core_s += NEWEST * (core_s - learnt.core_s)
        learnt.tokens += NEWEST * (tokens - learnt.tokens)

    def core_s(self, device: str, tokens: int) -> float:
        """Estimate the seconds that a core takes for so many tokens; 0 while nothing is known."""
        learnt = self._learnt.get(device)
        return tokens * learnt.core_s / learnt.tokens if learnt and learnt.tokens else 0.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds until a request is begun, and seconds that it takes itself then."""

    wait_s: float
    own_s: float


def check_estimate(estimate: Estimate, stall_s: float, total_s: float) -> None:
    """Refuse at once what would not be answered in time, instead of computing a part of it in vain.

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
