"""A lone caller of one model while others load the machine: the other model's callers, or pages that are read."""

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from bench.harness import load
from bench.harness.figure import Figure, in_turn, rate, ratio

PAIR_CALLERS = 8
"""Callers of the other model, each with one text at a time."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What the lone caller sends, one after the other, and what the others send meanwhile, over and over."""

    name: str
    lone: Sequence[bytes]
    others: Sequence[bytes]
    callers: int


class Beside(NamedTuple):
    """Median latency of the lone caller in milliseconds, and requests a second of the others."""

    lone_ms: float
    others_per_s: float


def pair_figures(port: int, pairs: Sequence[Pair], rounds: int) -> list[Figure]:
    """Measure each pair: the lone caller alone, the others alone, and both together."""
    figures: list[Figure] = []
    for pair in pairs:
        together: list[Beside] = []

        def beside(pair: Pair = pair, together: list[Beside] = together) -> float:
            together.append(asyncio.run(_beside(port, pair)))
            return together[-1].lone_ms

        def alone(pair: Pair = pair) -> float:
            return median(reply.latency_s * 1000 for reply in asyncio.run(load.send(port, pair.lone, 1)))

        def others(pair: Pair = pair) -> float:
            return len(pair.others) / load.seconds_for(port, pair.others, pair.callers)

        lone_ms, beside_ms, others_per_s = in_turn(rounds, alone, beside, others)
        figures += [
            Figure(f"{pair.name}: one caller alone, p50", rate(lone_ms, "ms")),
            Figure(f"{pair.name}: one caller, p50", rate(beside_ms, "ms")),
            Figure(f"{pair.name}: one caller, of alone", ratio(beside_ms, lone_ms)[1]),
            Figure(
                f"{pair.name}: the others, of alone", ratio([one.others_per_s for one in together], others_per_s)[1]
            ),
        ]
    return figures


async def _beside(port: int, pair: Pair) -> Beside:
    """Have the lone caller ask until each of its requests was answered once, while the others go on."""
    going = True

    def requests() -> Iterator[bytes]:
        return itertools.takewhile(lambda _: going, itertools.cycle(pair.others))

    started = time.perf_counter()
    others = asyncio.create_task(load.send(port, requests(), pair.callers))
    async with load.Connection.open(port) as connection:
        latencies_ms = [(await connection.ask(request)).latency_s * 1000 for request in pair.lone]
    going = False
    replies = await others
    return Beside(median(latencies_ms), len(replies) / (time.perf_counter() - started))
