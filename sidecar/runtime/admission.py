"""How many pages, texts or documents may be in work, and when a refused caller should try again."""

import math
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from sidecar.errors import QueueFullError, QuotaExhaustedError

PACE_WEIGHT = 0.2
"""Share of the newest page in the running mean of seconds a page: about the last ten pages count."""
MAX_RETRY_AFTER_S = 600
QUOTA_RETRY_AFTER_S = 2
"""A document takes seconds, and a caller that tries too early is refused before its body is received."""


class Admission:
    """Counts pages in and out. ``max_pages`` bounds those admitted and not yet done.

    One document of each caller is admitted whatever its size, so that nobody is blocked by what others sent. What is
    counted need not be pages: ``noun`` names it in errors, ``page_s`` is the first guess of its pace.
    """

    def __init__(self, max_pages: int, noun: str = "pages", page_s: float = 1.0) -> None:
        self._max_pages = max_pages
        self._noun = noun
        self._page_s = page_s
        self.admitted = 0
        self._of_callers: Counter[Hashable] = Counter()

    @property
    def is_full(self) -> bool:
        """Return whether not even one more page would be admitted."""
        return self.admitted >= self._max_pages

    @property
    def retry_after_s(self) -> int:
        """Seconds until the pages admitted now should be done, at the recent pace."""
        return max(1, min(MAX_RETRY_AFTER_S, math.ceil(self.admitted * self._page_s)))

    def refuse_if_full(self, caller: Hashable = None) -> None:
        """Refuse, before its body is received, a document that would be refused afterwards.

        Raises:
            QueueFullError: there is no room for one page more, and the caller has some.
        """
        if self.is_full and self._of_callers[caller]:
            raise self._full(1)

    @contextmanager
    def admit(self, pages: int, caller: Hashable = None) -> Iterator[None]:
        """Count a document's pages in for as long as it is worked on.

        Raises:
            QueueFullError: they do not fit. A caller's only document is always admitted.
        """
        self.refuse_unless_fits(pages, self._of_callers[caller])
        self._count(caller, pages)
        try:
            yield
        finally:
            self._count(caller, -pages)

    def _count(self, caller: Hashable, pages: int) -> None:
        self.admitted += pages
        self._of_callers[caller] += pages
        if not self._of_callers[caller]:
            del self._of_callers[caller]  # keys come and go

    @contextmanager
    def growing(self) -> Iterator["Growing"]:
        """Count in, piece by piece, what is held for as long as the block."""
        held = Growing(self)
        try:
            yield held
        finally:
            self.admitted -= held.count

    def page_done(self, took_s: float, at_a_time: int) -> None:
        """Update the pace: a page took ``took_s``, with ``at_a_time`` pages in parallel."""
        self._page_s += PACE_WEIGHT * (took_s / at_a_time - self._page_s)

    def refuse_unless_fits(self, pages: int, others: int) -> None:
        """Refuse ``pages`` more if they do not fit beside ``others``. If others hold none, any number fits.

        Raises:
            QueueFullError: they do not fit.
        """
        if others and self.admitted + pages > self._max_pages:
            raise self._full(pages)

    def _full(self, pages: int) -> QueueFullError:
        return QueueFullError(
            f"{self.admitted} {self._noun} are in work, {pages} more do not fit; the limit is {self._max_pages}",
            retry_after_s=self.retry_after_s,
        )


class Growing:
    """What one holder has of an admission; ``count`` is how much that is by now."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.count = 0

    def take(self, pages: int) -> None:
        """Count in more.

        Raises:
            QueueFullError: it does not fit.
        """
        self._admission.refuse_unless_fits(pages, self._admission.admitted - self.count)
        self.take_anyway(pages)

    def take_anyway(self, pages: int) -> None:
        """Count in more, whether it fits or not: the memory is already in use."""
        self._admission.admitted += pages
        self.count += pages


class Quota:
    """Counts the documents of each caller; at most ``most`` at a time are let in, any number if that is 0."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.held: Counter[Hashable] = Counter()

    @contextmanager
    def place(self, caller: Hashable) -> Iterator[None]:
        """Hold a place for a document for as long as the block. Whoever calls without a key (None) needs none.

        Raises:
            QuotaExhaustedError: the caller holds as many as it may.
        """
        if not self._most or caller is None:
            yield
            return
        if self.held[caller] >= self._most:
            raise QuotaExhaustedError(
                f"{self.held[caller]} documents of this API key are in work, which is its limit",
                retry_after_s=QUOTA_RETRY_AFTER_S,
            )
        self.held[caller] += 1
        try:
            yield
        finally:
            self.held[caller] -= 1
            if not self.held[caller]:
                del self.held[caller]
