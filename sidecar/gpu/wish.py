"""What a page wishes for on the GPU: room for its model and its calls beside whoever else is there. Pure.

Gate and lease judge by this one rule: where they differed, each would send the page to the other.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from math import ceil

from sidecar.gpu.vram import VramHeadroom

FITS_SHARE = 0.8
"""Ollama loads a model beside others only if it predicts that weights and context take at most this share of the free
memory, and else evicts (`server/sched.go`, since it runs llama.cpp's server)."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A model and what it takes, in MiB.

    ``least_mb`` with one call, ``need_mb`` with all that may run at a time, ``idle_mb`` with none; 0: not known.
    """

    model: str
    least_mb: int
    need_mb: int
    idle_mb: int = 0


def own_mb(wish: Wish, headroom: VramHeadroom) -> int:
    """Say what the loaded model holds while no call runs, in MiB: the server counts less than the device does."""
    held_mb = headroom.held_by(wish.model)
    return max(held_mb, wish.idle_mb) if held_mb else 0


def lacking_mb(wish: Wish, headroom: VramHeadroom, ours: AbstractSet[str], wanted_mb: int) -> int:
    """Say how much more must be free for the model to take ``wanted_mb`` without an eviction; 0 or less: nothing.

    Models of ours evict each other, where nobody else is there whom the server could choose instead.
    """
    room_mb = headroom.available_mb + own_mb(wish, headroom)
    if not headroom.others(wish.model, *ours):
        return wanted_mb - room_mb - sum(one.vram_mb for one in headroom.others(wish.model))
    beside_mb = 0 if headroom.is_resident(wish.model) else ceil(wish.idle_mb / FITS_SHARE)
    return max(wanted_mb - room_mb, beside_mb - headroom.available_mb)


def too_large(wish: Wish, headroom: VramHeadroom) -> str | None:
    """Say why the model cannot be called even if it is alone, if so."""
    if not headroom.query_success or wish.least_mb <= headroom.total_mb:
        return None
    return f"the OCR model needs {wish.least_mb} MiB for a page, the GPU has {headroom.total_mb}"
