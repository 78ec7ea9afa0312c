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
"""Documents and texts take seconds, and a caller that tries too early is refused before its body is received."""


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
        self.count_in(caller, pages)
        try:
            yield
        finally:
            self.count_in(caller, -pages)

    def count_in(self, caller: Hashable, pages: int) -> None:
        """Count in what a caller has more now, whether it fits or not; less, if it is negative."""
        self.admitted += pages
        self._of_callers[caller] += pages
        if not self._of_callers[caller]:
            del self._of_callers[caller]  # keys come and go

    def held_by(self, caller: Hashable) -> int:
        """Return how many pages of this caller are in work."""
        return self._of_callers[caller]

    @contextmanager
    def growing(self, caller: Hashable = None) -> Iterator["Growing"]:
        """Count in, piece by piece, what a caller holds for as long as the block."""
        held = Growing(self, caller)
        try:
            yield held
        finally:
            self.count_in(caller, -held.count)

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
    """What one request of a caller has of an admission; ``count`` is how much that is by now."""

    def __init__(self, admission: Admission, caller: Hashable) -> None:
        self._admission = admission
        self._caller = caller
        self.count = 0

    def take(self, pages: int) -> None:
        """Count in more.

        Raises:
            QueueFullError: it does not fit. What a caller's only request holds always fits.
        """
        self._admission.refuse_unless_fits(pages, self._admission.held_by(self._caller) - self.count)
        self.take_anyway(pages)

    def take_anyway(self, pages: int) -> None:
        """Count in more, whether it fits or not: the memory is already in use."""
        self._admission.count_in(self._caller, pages)
        self.count += pages


class Quota:
    """Counts the documents, or what ``noun`` names, of each caller; ``most`` at a time are let in, 0: any number."""

    def __init__(self, most: int, noun: str = "documents") -> None:
        self._most = most
        self._noun = noun
        self.held: Counter[Hashable] = Counter()

    def refuse_if_exhausted(self, caller: Hashable) -> None:
        """Refuse, before its body is received, a request that would be refused afterwards.

        Raises:
            QuotaExhaustedError: the caller holds as many as it may.
        """
        self._refuse_unless_fits(caller, 1)

    @contextmanager
    def place(self, caller: Hashable, count: int = 1) -> Iterator[None]:
        """Hold so many places for as long as the block. Whoever calls without a key (None) needs none.

        Raises:
            QuotaExhaustedError: the caller would hold more than it may. Its only request always fits.
        """
        self._refuse_unless_fits(caller, count)
        self.held[caller] += count
        try:
            yield
        finally:
            self.held[caller] -= count
            if not self.held[caller]:
                del self.held[caller]

    def _refuse_unless_fits(self, caller: Hashable, count: int) -> None:
        held = self.held[caller]
        if self._most and caller is not None and held and held + count > self._most:
            raise QuotaExhaustedError(
                f"{held} {self._noun} of this API key are in work, {count} more do not fit; its limit is {self._most}",
                retry_after_s=QUOTA_RETRY_AFTER_S,
            )
