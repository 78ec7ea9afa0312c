"""A burst: the time in which calls of one model run without a gap, and what the GPU showed meanwhile. Pure.

Everything above what the card held before it, without the model, is the model's. A burst tells nothing any more once
other models came, left or changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sidecar.gpu.need import Need, learn_idle, learn_peak
from sidecar.gpu.vram import ResidentModel, VramHeadroom


@dataclass(frozen=True, slots=True)
class Burst:
    """A burst so far, in MiB. ``base_mb``: what everything else used at its start; ``room_mb``: what there was for it.

    ``is_cold``: the model was not loaded before, so that its whole use is measured, CUDA's context too.
    """

    model: str
    base_mb: int
    room_mb: int
    others: tuple[ResidentModel, ...]
    is_cold: bool
    is_clean: bool
    peaks: Mapping[int, int] = field(default_factory=dict)
    idle_mb: int | None = None


def begin(headroom: VramHeadroom, model: str, own_mb: int) -> Burst:
    """Begin with the reading before the first call; ``own_mb`` is what the model holds already."""
    return Burst(
        model,
        base_mb=headroom.used_mb - own_mb,
        room_mb=headroom.available_mb + own_mb,
        others=headroom.others(model),
        is_cold=not headroom.is_resident(model),
        is_clean=headroom.query_success and bool(headroom.gpu),
    )


def next_burst(burst: Burst, headroom: VramHeadroom, calls: int) -> Burst:
    """Take a reading during which so many calls ran; 0: the last one has just ended."""
    if not burst.is_clean or not headroom.query_success:
        return burst
    if headroom.others(burst.model) != burst.others:
        return replace(burst, is_clean=False)
    mb = max(0, headroom.used_mb - burst.base_mb)
    if 0 < calls < max(burst.peaks, default=0):
        return burst  # the server keeps the buffers of more calls: fewer show nothing of their own
    if calls:
        return replace(burst, peaks={**burst.peaks, calls: max(mb, burst.peaks.get(calls, 0))})
    return replace(burst, idle_mb=mb if headroom.is_resident(burst.model) else None)


def room_mb(burst: Burst, headroom: VramHeadroom) -> int:
    """Say what there is for the model while its calls run, in MiB: what there was, less what others took since."""
    others_mb = sum(one.vram_mb for one in headroom.others(burst.model))
    return burst.room_mb - (others_mb - sum(one.vram_mb for one in burst.others))


def learn(need: Need, burst: Burst, now_s: float) -> Need:
    """Take what a burst showed. One that began with the model loaded shows less than all: it only ever raises."""
    for calls, mb in burst.peaks.items():
        known_mb = max((seen.mb for seen in need.peaks.get(calls, ())), default=0)
        if mb and (burst.is_cold or mb > known_mb):
            need = learn_peak(need, calls, mb, now_s)
    if burst.is_cold and burst.idle_mb:
        need = learn_idle(need, burst.idle_mb, now_s)
    return need
