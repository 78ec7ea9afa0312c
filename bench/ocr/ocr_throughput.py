"""Pages per second, drawn and read, against bare Tesseract."""

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import psutil

from bench.harness.figure import ROUNDS, Figure, at_least, below, in_turn, rate, ratio
from bench.harness.load import DATA, seconds_for, upload
from bench.harness.service import running_service
from bench.harness.spending import Spending
from bench.ocr.reference import Page, read_page, read_prepared, reference_processes
from sidecar.runtime.cores import usable_cores

PAGE_COUNTS = {"scan-thai-english.pdf": 3, "scan-noisy-skewed.pdf": 2, "photo.png": 1}
COPIES = 10
"""Copies of each document in one round: so many that the last page, read while other cores wait, costs little."""
TARGET_RATIO = 0.90
WORDS_TARGET = 1.03
"""What the words' places may cost: 3 %."""


def run(*, quick: bool) -> list[Figure]:
    copies, rounds = (2, 1) if quick else (COPIES, ROUNDS)
    pages = [Page(DATA / name, index) for name, count in PAGE_COUNTS.items() for index in range(count)]
    with running_service() as service, reference_processes(pages) as pool:
        _service_rate(service.port, 1)  # its workers load their models
        ours = Spending([psutil.Process(service.pid)], partial(_service_rate, service.port, copies))
        placed = Spending([psutil.Process(service.pid)], partial(_service_rate, service.port, copies, include="words"))
        measured, _, drawn, prepared = in_turn(
            rounds,
            ours,
            placed,
            partial(_reference_rate, pool, read_page, pages * copies),
            partial(_reference_rate, pool, read_prepared, pages * copies),
        )
    of_drawn, shown = ratio(measured, drawn)
    words, dearer = ratio(placed.spent_s, ours.spent_s)
    return [
        Figure("service", rate(measured, "pages/s")),
        Figure("bare pypdfium2 + tesserocr", rate(drawn, "pages/s")),
        at_least("service / bare", shown, of_drawn, TARGET_RATIO),
        Figure("bare tesserocr, pages drawn before", rate(prepared, "pages/s")),
        Figure("service / bare, pages drawn before", ratio(measured, prepared)[1]),
        below("include=words, of the CPU time without", dearer, words, WORDS_TARGET),
    ]


def _service_rate(port: int, copies: int, **fields: str) -> float:
    requests = [upload(name, engine="tesseract", **fields) for name in PAGE_COUNTS] * copies
    return sum(PAGE_COUNTS.values()) * copies / seconds_for(port, requests, connections=4 * usable_cores())


def _reference_rate(pool: ProcessPoolExecutor, read: Callable[[Page], str], pages: list[Page]) -> float:
    started = time.perf_counter()
    list(pool.map(read, pages))
    return len(pages) / (time.perf_counter() - started)
