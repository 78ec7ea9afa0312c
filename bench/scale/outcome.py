"""What came of a simulation, page by page, and the figures that are made of it."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.scale.scenario import Document, Scenario
from sidecar.jobs.record import Lane


class Account:
    """Filled while a simulation runs.

    ``reads``: how often each page of each document was read to its end. ``waits_s``: from a realtime document's arrival
    to the beginning of each of its pages. ``ended``: when each document's result was there.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.reads = {one.number: [0] * len(one.pages_s) for one in scenario.documents}
        self.waits_s: list[float] = []
        self.ended: dict[int, float] = {}
        self.lost_pages = 0
        self.refused = 0
        self._begun: set[tuple[int, int]] = set()

    def started(self, document: Document, page: int, now_s: float) -> None:
        """Note that a page's reading begins; only the first time counts as the end of its wait."""
        key = (document.number, page)
        if document.lane is Lane.REALTIME and key not in self._begun:
            self._begun.add(key)
            self.waits_s.append(now_s - document.arrives_s)

    def read(self, document: Document, page: int) -> None:
        """Note that a page was read."""
        self.reads[document.number][page] += 1

    def end(self, document: Document, now_s: float) -> None:
        """Note that a document is done; a second time changes nothing."""
        self.ended.setdefault(document.number, now_s)

    @property
    def is_complete(self) -> bool:
        """Whether all documents are done."""
        return len(self.ended) == len(self.scenario.documents)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The figures of one simulation; times are in seconds."""

    makespan_s: float
    ideal_s: float
    idle_share: float
    """Of the slots that were paid for."""
    wait_p50_s: float | None
    wait_p95_s: float | None
    """Of realtime pages; None if there were none."""
    done_p50_s: float
    """When half of the documents were done, each from its own arrival."""
    unread_pages: int
    """Pages of documents that are done, and were not read: there must be none."""
    lost_pages: int
    """Pages that had been accepted, and whose caller got an error and had to send them again."""
    doubled_pages: int
    """Pages that were read more often than once. One of them counts in the result."""
    refused: int
    """Answers 429."""
    gpu_hours: float
    cost: float

    @property
    def of_ideal(self) -> float:
        """The ideal time's share of the time taken."""
        return self.ideal_s / self.makespan_s


def outcome(account: Account, busy_s: float, paid_s: float) -> Outcome:
    """Make the figures. ``busy_s`` are of slots, ``paid_s`` of pods."""
    scenario = account.scenario
    slots_s = paid_s * scenario.slots
    return Outcome(
        makespan_s=max(account.ended.values()) - min(one.arrives_s for one in scenario.documents),
        ideal_s=scenario.ideal_s,
        idle_share=1 - busy_s / slots_s,
        wait_p50_s=percentile(account.waits_s, 0.50),
        wait_p95_s=percentile(account.waits_s, 0.95),
        done_p50_s=statistics.median(account.ended[one.number] - one.arrives_s for one in scenario.documents),
        unread_pages=sum(times == 0 for pages in account.reads.values() for times in pages),
        lost_pages=account.lost_pages,
        doubled_pages=sum(times - 1 for pages in account.reads.values() for times in pages if times > 1),
        refused=account.refused,
        gpu_hours=paid_s / 3600,
        cost=paid_s / 3600 * scenario.price_an_hour,
    )


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the smallest value that so large a share of all does not exceed; None of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
