"""Documents per second that are answered from their text layer, against bare pypdfium2."""

import math
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import psutil

from bench.harness.figure import ROUNDS, Figure, at_least, in_turn, rate, ratio
from bench.harness.load import DATA, seconds_for, upload
from bench.harness.service import running_service
from bench.harness.spending import Spending
from bench.ocr.reference import count_text_layer, reference_processes
from sidecar.runtime.cores import usable_cores

DOCUMENT = "digital.pdf"
DOCUMENTS = 2000
QUICK_DOCUMENTS = 200
CONNECTIONS = 16
TARGET_RATIO, TARGET_STRUCTURED = 0.40, 0.35


WAYS = {"output=markdown": {"output": "markdown"}, "include=blocks": {"include": "blocks"}}
"""Structure: how it is asked for."""


def run(*, quick: bool) -> list[Figure]:
    documents, rounds = (QUICK_DOCUMENTS, 1) if quick else (DOCUMENTS, ROUNDS)
    with running_service() as service, reference_processes() as pool:
        asked = partial(_service_rate, service.port)
        _reference_rate(pool, CONNECTIONS)
        for fields in ({}, *WAYS.values()):
            asked(CONNECTIONS, **fields)
        processes = [psutil.Process(service.pid)]
        ours = Spending(processes, partial(asked, documents))
        ways = [Spending(processes, partial(asked, documents, **fields)) for fields in WAYS.values()]
        theirs = Spending(
            [one for one in psutil.Process().children() if one.pid != service.pid],
            partial(_reference_rate, pool, documents),
        )
        measured, *structured, bare = in_turn(rounds, ours, *ways, theirs)
    of_bare, shown = ratio(measured, bare)
    names = ("service", *(f"service, {name}" for name in WAYS), "bare")
    return [
        Figure(f"service, {CONNECTIONS} requests at once", rate(measured, "documents/s")),
        Figure("bare pypdfium2", rate(bare, "documents/s")),
        at_least("service / bare", shown, of_bare, TARGET_RATIO),
        *(
            Figure(f"CPU time of a document, {name}", rate([1000 * s / documents for s in one.spent_s], "ms"))
            for name, one in zip(names, (ours, *ways, theirs), strict=True)
        ),
        Figure("service / bare, by CPU time", ratio(theirs.spent_s, ours.spent_s)[1]),
        *(
            _structure(name, values, bare, written, theirs)
            for name, values, written in zip(WAYS, structured, ways, strict=True)
        ),
    ]


def _structure(
    name: str, structured: Sequence[float], bare: Sequence[float], written: Spending, theirs: Spending
) -> Figure:
    """Tell what share of the bare library is left where the pages' structure is told and written."""
    by_clock = ratio(structured, bare)[1]
    by_cpu, shown = ratio(theirs.spent_s, written.spent_s)
    return at_least(f"{name} / bare, by CPU time", f"{shown}; by the clock {by_clock}", by_cpu, TARGET_STRUCTURED)


def _service_rate(port: int, documents: int, **fields: str) -> float:
    return documents / seconds_for(port, [upload(DOCUMENT, **fields)] * documents, CONNECTIONS)


def _reference_rate(pool: ProcessPoolExecutor, documents: int) -> float:
    """Give each process its whole share at once: the reference has no cost of dispatching."""
    started = time.perf_counter()
    share = math.ceil(documents / usable_cores())
    list(pool.map(count_text_layer, [DATA / DOCUMENT] * documents, chunksize=share))
    return documents / (time.perf_counter() - started)
