"""Where embed and rerank run: the CPU's copy is always there, a copy on the GPU comes and goes. Pure, replayable.

The GPU belongs to the LLM first, then to OCR, then to the embedder, then to the reranker. A copy is made when there has
been room for it for a while, and dropped as soon as too little is left: coming back is as automatic as leaving.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sidecar.gpu.vram import VramHeadroom

SETTLE_S = 10.0
"""There must be room for so many seconds before a copy is made: a model that is being loaded shows up meanwhile."""
DWELL_S = 1.0
"""No copy changes its place twice within this."""
BARRED_S = 60.0
"""Pause after a copy ran out of memory or was dropped for OCR: OCR's model takes about that long to load."""

HEADROOM_SUFFICIENT = "headroom-sufficient"
QUERY_FAILED = "gpu-query-failed"
BELOW_THRESHOLD = "gpu-headroom-below-threshold"
NO_CUDA = "cuda-not-available"
OUT_OF_MEMORY = "gpu-out-of-memory"
WARMING_UP = "warming-up"
RELEASED = "model-released"
NEVER_S = float("-inf")


@dataclass(frozen=True, slots=True)
class CopyState:
    """Where one model runs and why. Times in seconds of one clock.

    ``needed_mb``: what its copy takes, in MiB. ``enough_since_s``: since when there has been room. ``changed_at_s``:
    when it last came or left. ``barred_until_s``: until when it stays away.
    """

    needed_mb: int
    on_gpu: bool = False
    reason: str = WARMING_UP
    enough_since_s: float | None = None
    changed_at_s: float = NEVER_S
    barred_until_s: float = NEVER_S


def place(copies: Sequence[CopyState], headroom: VramHeadroom, threshold_mb: int, now_s: float) -> list[CopyState]:
    """Give the copies' next states, the first in rank first, from a reading and the memory that must stay free.

    The reading counts the memory of copies that are there; equality with the threshold is no pressure.
    """
    if not headroom.query_success:
        return [leave(copy, QUERY_FAILED, now_s) for copy in copies]
    placed = list(copies)
    left_mb = headroom.available_mb
    for rank in reversed(range(len(placed))):
        if left_mb < threshold_mb:
            left_mb += placed[rank].needed_mb if placed[rank].on_gpu else 0
            placed[rank] = leave(placed[rank], BELOW_THRESHOLD, now_s)
    return (
        placed if headroom.available_mb < threshold_mb else _admit(placed, headroom.available_mb - threshold_mb, now_s)
    )


def _admit(copies: Sequence[CopyState], spare_mb: int, now_s: float) -> list[CopyState]:
    admitted = []
    for copy in copies:
        if copy.on_gpu:
            admitted.append(replace(copy, reason=HEADROOM_SUFFICIENT))
            continue
        spare_mb -= copy.needed_mb  # those before it in rank come first, even while they are only awaited
        admitted.append(_approach(copy, spare_mb >= 0, now_s))
    return admitted


def _approach(copy: CopyState, has_room: bool, now_s: float) -> CopyState:
    """Let an absent copy come one step nearer."""
    if now_s < copy.barred_until_s:
        return replace(copy, enough_since_s=None)
    if not has_room:
        return replace(copy, enough_since_s=None, reason=BELOW_THRESHOLD)
    since_s = now_s if copy.enough_since_s is None else copy.enough_since_s
    if now_s - since_s < SETTLE_S or now_s - copy.changed_at_s < DWELL_S:
        return replace(copy, enough_since_s=since_s, reason=WARMING_UP)
    return replace(copy, on_gpu=True, reason=HEADROOM_SUFFICIENT, enough_since_s=None, changed_at_s=now_s)


def leave(copy: CopyState, reason: str, now_s: float) -> CopyState:
    """Send a copy away, or keep it away; one that has only just come stays until its second is over."""
    if not copy.on_gpu:
        barred = now_s < copy.barred_until_s
        return replace(copy, enough_since_s=None, reason=copy.reason if barred else reason)
    if now_s - copy.changed_at_s < DWELL_S:
        return copy
    return replace(copy, on_gpu=False, reason=reason, enough_since_s=None, changed_at_s=now_s)


def bar(copy: CopyState, reason: str, now_s: float) -> CopyState:
    """Send a copy away at once and keep it away for a while: it failed, or OCR needs its room now."""
    changed_at_s = now_s if copy.on_gpu else copy.changed_at_s
    return CopyState(copy.needed_mb, False, reason, None, changed_at_s, now_s + BARRED_S)
