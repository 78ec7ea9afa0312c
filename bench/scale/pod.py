"""A pod: it holds portions of documents, and gives its slots to their pages in turn."""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bench.scale.clock import Clock
from bench.scale.scenario import Document
from sidecar.jobs.lanes import LaneOrder


@dataclass(eq=False, slots=True)
class Portion:
    """Pages of a document that a pod holds. ``is_careful``: one after the other, since a pod ended that had them."""

    document: Document
    pages: tuple[int, ...]
    done: Callable[[], None]
    """Called by the pod once all pages are read."""
    is_careful: bool = False
    begun: int = 0
    """Pages whose reading has begun, in their order."""
    read: int = 0

    @property
    def is_begun(self) -> bool:
        """Whether no page waits for a slot."""
        return self.begun == len(self.pages)

    @property
    def is_read(self) -> bool:
        """Whether all pages are read."""
        return self.read == len(self.pages)

    def next(self) -> int:
        """Take out the next page."""
        self.begun += 1
        return self.pages[self.begun - 1]


@dataclass(eq=False, slots=True)
class Ledger:
    """What was done with each page, of all pods."""

    started: Callable[[Document, int], None]
    read: Callable[[Document, int], None]
    cost_s: float = 0.0
    """A page, beyond the model."""


class Pod:
    """Reads at most ``slots`` pages at a time. A pod that was killed forgets what it had."""

    def __init__(self, number: int, slots: int, clock: Clock, ledger: Ledger) -> None:
        self.number = number
        self.lanes = LaneOrder()
        self.is_up = False
        self.is_reachable = True
        self.is_leaving = False
        self.is_retired = False
        """It leaves for good."""
        self.held = 0
        """Steps that it has taken: the queue's business."""
        self.busy_s = 0.0
        self.paid_s = 0.0
        self.life = 0
        """Raised by each end, so that what began before it has no effect after it."""
        self._paid_since: float | None = None
        self._slots, self._free = slots, slots
        self._clock, self._ledger = clock, ledger
        self._lines: OrderedDict[int, deque[Portion]] = OrderedDict()

    @property
    def takes_work(self) -> bool:
        """Whether it may be given something."""
        return self.is_up and self.is_reachable and not self.is_leaving

    @property
    def is_paid(self) -> bool:
        """Whether its GPU is paid for."""
        return self._paid_since is not None

    def pay(self) -> None:
        """Begin to pay for its GPU."""
        if self._paid_since is None:
            self._paid_since = self._clock.now_s

    def pay_no_more(self) -> None:
        """Stop paying."""
        if self._paid_since is not None:
            self.paid_s += self._clock.now_s - self._paid_since
            self._paid_since = None

    def read(self, portion: Portion) -> None:
        """Read these pages, besides what it has."""
        self._lines.setdefault(portion.document.number, deque()).append(portion)
        self._fill()

    def end(self) -> None:
        """Lose all that it has."""
        self.life += 1
        self.held = 0
        self.is_up = self.is_leaving = False
        self._free = self._slots
        self._lines.clear()

    def start(self) -> None:
        """Be as new."""
        self.is_up = self.is_reachable = True
        self.is_leaving = False
        self.lanes = LaneOrder()

    def later(self, delay_s: float, do: Callable[[], None]) -> None:
        """Call ``do`` then, if the pod has not ended meanwhile."""
        life = self.life
        self._clock.after(delay_s, lambda: do() if self.life == life else None)

    def _fill(self) -> None:
        while self._free and self._lines:
            portion, page = self._next_page()
            self._free -= 1
            self._ledger.started(portion.document, page)
            took_s = portion.document.pages_s[page] + self._ledger.cost_s
            self.later(took_s, partial(self._page_ends, portion, page, took_s))

    def _next_page(self) -> tuple[Portion, int]:
        """Take the next page out; its document goes to the end of the round."""
        number, line = self._lines.popitem(last=False)
        portion = line[0]
        page = portion.next()
        if portion.is_begun or portion.is_careful:
            line.popleft()
        if line:
            self._lines[number] = line
        return portion, page

    def _page_ends(self, portion: Portion, page: int, took_s: float) -> None:
        self.busy_s += took_s
        self._free += 1
        self._ledger.read(portion.document, page)
        portion.read += 1
        if portion.is_careful and not portion.is_begun:
            self._lines.setdefault(portion.document.number, deque()).append(portion)
        self._fill()
        if portion.is_read:
            portion.done()
