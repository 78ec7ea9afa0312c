"""What the OCR model really takes of the GPU, learned from what was seen. Pure.

Weights and context stay while the model does; the vision encoder's buffers come with each call, and no server tells
them. So the need is that of a number of calls at a time.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

DAY_S = 24 * 3600.0
PEAK_KEPT_S = 7 * DAY_S
"""Then a peak is forgotten. One that was too high, since another process grew meanwhile, must not hold for ever."""
LACK_KEPT_S = DAY_S
"""Likewise for a call that lacked memory: perhaps another process had it just then."""
PEAKS_KEPT = 8
"""Latest peaks for each number of calls, of which the highest counts."""
LACK_STEP_MB = 1024
"""By how much more is needed than what was not enough, in MiB. Smaller steps would cost more calls that fail."""


class _Learned(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Seen(_Learned):
    """Memory seen, in MiB, and when, in seconds since 1970."""

    mb: int = Field(ge=0)
    at_s: float


class NeedKey(_Learned):
    """What a need depends on. ``model`` is the model's digest, or its name where the server tells none.

    ``num_ctx`` in tokens, 0 where we set none; ``longest_side`` of the pictures, in pixels.
    """

    gpu: str
    model: str
    num_ctx: int
    longest_side: int


class Need(_Learned):
    """What is known of one key: peaks by the number of calls at a time, the latest last.

    ``idle``: with no call. ``lacking``: what is needed at least, since less was not enough.
    """

    key: NeedKey
    idle: Seen | None = None
    peaks: Mapping[int, tuple[Seen, ...]] = {}
    lacking: Mapping[int, Seen] = {}


@dataclass(frozen=True, slots=True)
class Requirement:
    """MiB that the model takes with so many calls; ``is_seen``: measured, and not the operator's estimate."""

    mb: int
    is_seen: bool


def learn_peak(need: Need, calls: int, mb: int, now_s: float) -> Need:
    """Take the highest use seen, in MiB, while so many calls ran."""
    seen = (*need.peaks.get(calls, ()), Seen(mb=mb, at_s=now_s))[-PEAKS_KEPT:]
    return need.model_copy(update={"peaks": {**need.peaks, calls: seen}})


def learn_idle(need: Need, mb: int, now_s: float) -> Need:
    """Take the use seen, in MiB, while the model was loaded and no call ran."""
    return need.model_copy(update={"idle": Seen(mb=mb, at_s=now_s)})


def learn_lack(need: Need, calls: int, room_mb: int, now_s: float) -> Need:
    """Take that a call ran out of memory although there were ``room_mb`` MiB for so many calls."""
    before = need.lacking.get(calls)
    least_mb = max(room_mb + LACK_STEP_MB, before.mb if before and _is_fresh(before, LACK_KEPT_S, now_s) else 0)
    return need.model_copy(update={"lacking": {**need.lacking, calls: Seen(mb=least_mb, at_s=now_s)}})


def requirement(need: Need | None, calls: int, estimate_mb: int, now_s: float) -> Requirement:
    """Say what so many calls at a time take; the operator's estimate stands until something was seen.

    Without a peak for as many calls, that for the next larger number bounds it; beyond the largest, each further call
    takes as much as those seen did on average. Where several calls ran out of memory and no peak is known, one at a
    time is tried next: any number of them takes more than there was.
    """
    if need is None:
        return Requirement(estimate_mb, is_seen=False)
    peaks = {n: highest for n, seen in need.peaks.items() if (highest := _highest_mb(seen, now_s))}
    counts = {n: seen.mb for n, seen in need.lacking.items() if _is_fresh(seen, LACK_KEPT_S, now_s)}
    least_mb = max((mb for n, mb in counts.items() if n <= calls or (calls > 1 and not peaks)), default=0)
    if not peaks:
        return Requirement(max(estimate_mb, least_mb), is_seen=least_mb > 0)
    return Requirement(max(_interpolate(peaks, _idle_mb(need), calls), least_mb), is_seen=True)


def own_mb(need: Need | None, held_mb: int) -> int:
    """Say what the loaded model holds while no call runs, in MiB: the server counts less than the device does."""
    return max(held_mb, _idle_mb(need)) if need and held_mb else held_mb


def _idle_mb(need: Need) -> int:
    return need.idle.mb if need.idle else 0


def _highest_mb(seen: tuple[Seen, ...], now_s: float) -> int:
    return max((one.mb for one in seen if _is_fresh(one, PEAK_KEPT_S, now_s)), default=0)


def _is_fresh(seen: Seen, kept_s: float, now_s: float) -> bool:
    return now_s - seen.at_s < kept_s


def _interpolate(peaks: Mapping[int, int], idle_mb: int, calls: int) -> int:
    at_least = [n for n in peaks if n >= calls]
    if at_least:
        return peaks[min(at_least)]
    most = max(peaks)
    base_mb = min(idle_mb, peaks[most]) if idle_mb else peaks[most]  # nothing is known of a call's own share
    return base_mb + (peaks[most] - base_mb) * calls // most
