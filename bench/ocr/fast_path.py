"""Documents per second that are answered from their text layer, against bare pypdfium2."""

import math
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

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
        measured, bare = in_turn(
            rounds, partial(_service_rate, service.port, documents), partial(_reference_rate, pool, documents)
        )
    of_bare, shown = ratio(measured, bare)
    return [
        Figure(f"service, {CONNECTIONS} requests at once", rate(measured, "documents/s")),
        Figure("bare pypdfium2", rate(bare, "documents/s")),
        at_least("service / bare", shown, of_bare, TARGET_RATIO),
    ]


def _service_rate(port: int, documents: int) -> float:
    return documents / seconds_for(port, [upload(DOCUMENT)] * documents, CONNECTIONS)


def _reference_rate(pool: ProcessPoolExecutor, documents: int) -> float:
    """Give each process its whole share at once: the reference has no cost of dispatching."""
    started = time.perf_counter()
    share = math.ceil(documents / usable_cores())
    list(pool.map(count_text_layer, [DATA / DOCUMENT] * documents, chunksize=share))
    return documents / (time.perf_counter() - started)
