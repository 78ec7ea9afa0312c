"""Which frames of a TIFF are pages. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

REDUCED, MASK = 1, 4
"""Bits of NewSubfileType: a smaller version of another image, and a mask of transparency (TIFF 6.0, section 8)."""
PREVIEW_SIDE = 320
"""Most pixels on the long side of a preview that does not say that it is one."""
PREVIEW_REDUCTION = 4
"""How many times as large as its preview a page is at least."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame's size in pixels, and its NewSubfileType."""

    size: tuple[int, int]
    kind: int = 0


def pages_of(frames: Sequence[Frame]) -> tuple[int, ...]:
    """Return the numbers of the frames that are pages; all of them, if otherwise none would be left."""
    named = [at for at, frame in enumerate(frames) if not frame.kind & (REDUCED | MASK)]
    pages = tuple(at for at in named if not _is_preview(frames[at], [frames[other] for other in named]))
    return pages or tuple(range(len(frames)))


def _is_preview(frame: Frame, others: Sequence[Frame]) -> bool:
    """Return whether a frame is small and has the shape of one that is much larger."""
    width, height = frame.size
    if max(width, height) > PREVIEW_SIDE:
        return False
    return any(
        other.size[0] >= PREVIEW_REDUCTION * width
        and abs(width * other.size[1] - height * other.size[0]) <= 2 * max(other.size)
        for other in others
    )
