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
TARGET_RATIO = 0.40


def run(*, quick: bool) -> list[Figure]:
    documents, rounds = (QUICK_DOCUMENTS, 1) if quick else (DOCUMENTS, ROUNDS)
    with running_service() as service, reference_processes() as pool:
        _service_rate(service.port, CONNECTIONS)
        _reference_rate(pool, CONNECTIONS)
        ours = Spending([psutil.Process(service.pid)], partial(_service_rate, service.port, documents))
        theirs = Spending(
            [one for one in psutil.Process().children() if one.pid != service.pid],
            partial(_reference_rate, pool, documents),
        )
        measured, bare = in_turn(rounds, ours, theirs)
    of_bare, shown = ratio(measured, bare)
    return [
        Figure(f"service, {CONNECTIONS} requests at once", rate(measured, "documents/s")),
        Figure("bare pypdfium2", rate(bare, "documents/s")),
        at_least("service / bare", shown, of_bare, TARGET_RATIO),
        *(
            Figure(f"CPU time of a document, {name}", rate([1000 * s / documents for s in one.spent_s], "ms"))
            for name, one in (("service", ours), ("bare", theirs))
        ),
        Figure("service / bare, by CPU time", ratio(theirs.spent_s, ours.spent_s)[1]),
    ]


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


def _service_rate(port: int, documents: int) -> float:
    return documents / seconds_for(port, [upload(DOCUMENT)] * documents, CONNECTIONS)


def _reference_rate(pool: ProcessPoolExecutor, documents: int) -> float:
    """Give each process its whole share at once: the reference has no cost of dispatching."""
    started = time.perf_counter()
    share = math.ceil(documents / usable_cores())
    list(pool.map(count_text_layer, [DATA / DOCUMENT] * documents, chunksize=share))
    return documents / (time.perf_counter() - started)
