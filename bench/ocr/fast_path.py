"""Documents per second that are answered from their text layer, against bare pypdfium2."""

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import psutil

from bench.harness.figure import ROUNDS, Figure, at_least, in_turn, rate, ratio
from bench.harness.load import DATA, seconds_for, upload
from bench.harness.service import running_service
from bench.ocr.reference import count_text_layer, reference_processes
from sidecar.runtime.cores import usable_cores

DOCUMENT = "digital.pdf"
DOCUMENTS = 2000
QUICK_DOCUMENTS = 200
CONNECTIONS = 16
TARGET_RATIO, TARGET_STRUCTURED = 0.40, 0.35


def run(*, quick: bool) -> list[Figure]:
    documents, rounds = (QUICK_DOCUMENTS, 1) if quick else (DOCUMENTS, ROUNDS)
    with running_service() as service, reference_processes() as pool:
        _service_rate(service.port, CONNECTIONS)
        _reference_rate(pool, CONNECTIONS)
        _service_rate(service.port, CONNECTIONS, output="markdown")
        ours = Spending([psutil.Process(service.pid)], partial(_service_rate, service.port, documents))
        written = Spending(
            [psutil.Process(service.pid)], partial(_service_rate, service.port, documents, output="markdown")
        )
        theirs = Spending(
            [one for one in psutil.Process().children() if one.pid != service.pid],
            partial(_reference_rate, pool, documents),
        )
        measured, structured, bare = in_turn(rounds, ours, written, theirs)
    of_bare, shown = ratio(measured, bare)
    return [
        Figure(f"service, {CONNECTIONS} requests at once", rate(measured, "documents/s")),
        Figure("bare pypdfium2", rate(bare, "documents/s")),
        at_least("service / bare", shown, of_bare, TARGET_RATIO),
        *(
            Figure(f"CPU time of a document, {name}", rate([1000 * s / documents for s in one.spent_s], "ms"))
            for name, one in (("service", ours), ("service, output=markdown", written), ("bare", theirs))
        ),
        Figure("service / bare, by CPU time", ratio(theirs.spent_s, ours.spent_s)[1]),
        _structure(structured, bare, written, theirs),
    ]


def _structure(structured: Sequence[float], bare: Sequence[float], written: "Spending", theirs: "Spending") -> Figure:
    """Tell what share of the bare library is left where the pages' structure is told and written as Markdown."""
    by_clock = ratio(structured, bare)[1]
    by_cpu, shown = ratio(theirs.spent_s, written.spent_s)
    name = "output=markdown / bare, by CPU time"
    return at_least(name, f"{shown}; by the clock {by_clock}", by_cpu, TARGET_STRUCTURED)


class Spending:
    """Measures something, and notes the CPU time that processes and theirs took for it, in seconds.

    Where other work shares the cores, a rate also tells how many processes competed for them; this does not.
    """

    def __init__(self, processes: Sequence[psutil.Process], measure: Callable[[], float]) -> None:
        self._processes = processes
        self._measure = measure
        self.spent_s: list[float] = []

    def __call__(self) -> float:
        """Measure once, and return what was measured."""
        before_s = self._cpu_s()
        measured = self._measure()
        self.spent_s.append(self._cpu_s() - before_s)
        return measured

    def _cpu_s(self) -> float:
        trees = [one for process in self._processes for one in (process, *process.children(recursive=True))]
        return float(sum(times.user + times.system for times in (one.cpu_times() for one in trees)))


def _service_rate(port: int, documents: int, **fields: str) -> float:
    return documents / seconds_for(port, [upload(DOCUMENT, **fields)] * documents, CONNECTIONS)


def _reference_rate(pool: ProcessPoolExecutor, documents: int) -> float:
    """Give each process its whole share at once: the reference has no cost of dispatching."""
    started = time.perf_counter()
    share = math.ceil(documents / usable_cores())
    list(pool.map(count_text_layer, [DATA / DOCUMENT] * documents, chunksize=share))
    return documents / (time.perf_counter() - started)
