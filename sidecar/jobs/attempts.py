"""What is done with a slice that was handed out before, and with a page that ends whoever reads it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CAREFUL_FROM = 2
"""From this delivery on a slice is read page by page: the pod that had it did not come back, and one page may be why."""
DEADLY = 2
"""A page during whose reading so many pods went away, each reading it alone, is not read again."""
MOST_TRIES = 6
"""How often a page is read that fails for a reason that may pass, such as a model server that is away."""
RETRY_S = (2.0, 5.0, 15.0, 60.0, 120.0)
"""How long a slice waits before the next try, in seconds."""


@dataclass(frozen=True, slots=True)
class Portions:
    """How the rest of a slice is read: portions one after the other, and the pages that are left alone."""

    portions: Sequence[tuple[int, ...]]
    quarantined: tuple[int, ...]


def portions(pages: Sequence[int], delivery: int, deaths: Mapping[int, int]) -> Portions:
    """Divide the pages that are not read yet. ``deaths`` counts by page how often somebody ended who read it alone."""
    deadly = tuple(page for page in pages if deaths.get(page, 0) >= DEADLY)
    left = tuple(page for page in pages if page not in deadly)
    if delivery < CAREFUL_FROM:
        return Portions([left] if left else [], deadly)
    return Portions([(page,) for page in left], deadly)


def retry_after_s(tries: int) -> float | None:
    """Return how long to wait after so many tries; None: it was tried often enough."""
    return RETRY_S[min(tries, len(RETRY_S)) - 1] if tries < MOST_TRIES else None
