"""Heaps of documents, made by chance: how many of how many pages, when they come, how long each page takes. Pure."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

from bench.scale.scenario import Document
from sidecar.jobs.record import Lane


@dataclass(frozen=True, slots=True)
class Kind:
    """So many documents of so many pages."""

    count: int
    pages: int


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the model reads a page: the mean in seconds, the standard deviation's share of it, and which chance."""

    mean_s: float = 0.5
    spread: float = 0.0
    seed: int = 1


ISSUE = (Kind(65, 2), Kind(12, 10), Kind(3, 150))
"""80 documents, 700 pages: what the first measurements were made with."""


def kinds(text: str) -> tuple[Kind, ...]:
    """Read ``65x2,12x10``: counts and pages.

    Raises:
        ValueError: it is not such a list.
    """
    found = []
    for part in text.split(","):
        count, _, pages = part.partition("x")
        if not (count.strip().isdigit() and pages.strip().isdigit() and int(count) and int(pages)):
            raise ValueError(f"{part!r} is not COUNTxPAGES, such as 65x2")
        found.append(Kind(int(count), int(pages)))
    return tuple(found)


def office(documents: int) -> tuple[Kind, ...]:
    """Return an office's archive: most documents are letters, most pages are in reports. 7.1 pages on average."""
    shares = ((1, 0.45), (3, 0.30), (10, 0.18), (30, 0.06), (150, 0.01))
    counts = [Kind(round(documents * share), pages) for pages, share in shares[1:]]
    first = Kind(documents - sum(kind.count for kind in counts), 1)
    return tuple(kind for kind in (first, *counts) if kind.count)


def at_once(heap: Sequence[Kind], pace: Pace) -> tuple[Document, ...]:
    """Return documents that are all there at the beginning, in an order by chance."""
    return arriving(heap, pace, repeat(0.0))


def poisson(a_second: float, seed: int, begin_s: float = 0.0) -> Iterator[float]:
    """Return when documents come that know nothing of each other, so many a second on average."""
    chance, now_s = random.Random(seed), begin_s
    while True:
        now_s += chance.expovariate(a_second)
        yield now_s


def arriving(
    heap: Sequence[Kind],
    pace: Pace,
    times_s: Iterator[float],
    *,
    lane: Lane = Lane.BATCH,
    first: int = 0,
) -> tuple[Document, ...]:
    """Return documents in an order by chance, each at the next of ``times_s``; numbered from ``first`` on."""
    chance = random.Random(pace.seed)
    sizes = [kind.pages for kind in heap for _ in range(kind.count)]
    chance.shuffle(sizes)
    return tuple(
        Document(first + number, next(times_s), tuple(_pages_s(pages, pace, chance)), lane)
        for number, pages in enumerate(sizes)
    )


def _pages_s(pages: int, pace: Pace, chance: random.Random) -> Iterator[float]:
    """Give each page its time: log-normal, as a few pages are very full."""
    sigma = math.sqrt(math.log(1 + pace.spread**2))
    for _ in range(pages):
        yield pace.mean_s * math.exp(chance.gauss(0, sigma) - sigma**2 / 2) if sigma else pace.mean_s
