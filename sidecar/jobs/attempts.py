"""What is done with a slice that was handed out before, and with a page that ends whoever reads it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CAREFUL_FROM = 2
"""From this delivery on a slice is read page by page: the pod that had it did not come back; one page may be why."""
DEADLY = 2
"""A page during whose reading so many pods went away, each reading it alone, is not read again."""
TRIES = {503: 30}
"""How often a page is read whose error may pass, by its status: a model server that is away comes back in an hour."""
OTHER_TRIES = 2
RETRY_S = (2.0, 5.0, 15.0, 60.0, 120.0)
"""How long a slice waits before the next try, in seconds."""
OPENING = 0
"""Stands for a page: the opening of the document."""
MOST_DELIVERIES = 30
"""A turn that was handed out so often, and whose step fails for a reason that nobody foresaw, is given up."""


@dataclass(frozen=True, slots=True)
class Portions:
    """How the rest of a slice is read: portions one after the other, and the pages that are left alone."""

    portions: Sequence[tuple[int, ...]]
    quarantined: tuple[int, ...]


def portions(pages: Sequence[int], lost: int, deaths: Mapping[int, int]) -> Portions:
    """Divide the pages that are not read yet.

    Args:
        pages: their numbers.
        lost: how many of those who had the slice did not come back.
        deaths: by page, how often somebody who read it alone did not come back.
    """
    deadly = tuple(page for page in pages if deaths.get(page, 0) >= DEADLY)
    left = tuple(page for page in pages if page not in deadly)
    if lost + 1 < CAREFUL_FROM:
        return Portions([left] if left else [], deadly)
    return Portions([(page,) for page in left], deadly)


def is_tried_again(status: int, tries: int, *, may_pass: bool) -> bool:
    """Return whether a page that failed with an error of this status, after so many tries, is read once more."""
    return may_pass and tries < TRIES.get(status, OTHER_TRIES)


def retry_after_s(tries: int) -> float:
    """Return how long a slice waits after so many tries of its pages, in seconds."""
    return RETRY_S[min(tries, len(RETRY_S)) - 1]
