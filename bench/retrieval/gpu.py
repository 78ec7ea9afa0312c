"""Texts per second on a GPU, in the real BGE-M3's shape with random weights: our line of texts beside the bare forward.

Runs in its own process, and only with CUDA. Also measures what a removed copy leaves behind. On every machine the line
feeds a stand-in that computes nothing: for what share of the time is that busy?
"""

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from bench.harness.figure import Figure, at_least, below, in_turn, rate, ratio
from sidecar.retrieval.batcher import Batcher
from sidecar.retrieval.call import Answered
from sidecar.retrieval.model import Embedding, IsWanted, ModelCopy, Tokens
from sidecar.runtime.background import beside
from sidecar.runtime.daemon_thread import DaemonThread
from sidecar.service.retrieval_wiring import retrieval_policy
from sidecar.settings import parse_settings
from sidecar.wire.retrieval import render

TEXTS, QUICK_TEXTS = 512, 64
ROUNDS = 3
TARGET = 0.90
CONTEXT_MB = 64
"""What may stay allocated after a copy is removed, in MiB: torch's own leftovers, not weights."""


LIMITS = retrieval_policy(parse_settings({"OCR_AUTH_MODE": "network"}), cores=1).gpu_limits()
FULL_BATCH_S = 0.02
"""A large GPU's time for a full batch of BGE-M3: 10 TFLOP."""
VECTOR = np.random.default_rng(0).standard_normal(1024).astype(np.float32)
LOADS = ((8, 64), (128, 1))


class Measured(NamedTuple):
    """Texts per second of each round; MiB that torch holds with a copy, and after its removal."""

    ours: list[float]
    bare: list[float]
    with_copy_mb: float
    without_mb: float


class StandIn:
    """Takes as long for a batch as a large GPU does, and counts that."""

    device = "cuda"

    def __init__(self) -> None:
        self.busy_s = 0.0

    def run(self, batch: Sequence[Tokens], _is_wanted: IsWanted) -> Sequence[Embedding]:
        """Return vectors of BGE-M3's size."""
        takes_s = FULL_BATCH_S * sum(len(one.ids) for one in batch) / LIMITS.tokens
        time.sleep(takes_s)
        self.busy_s += takes_s
        return [Embedding(VECTOR, VECTOR[:0], VECTOR[:0])] * len(batch)


def line_figures(*, quick: bool) -> list[Figure]:
    """Measure how busy the line keeps a device: each caller waits for its written answer, then sends again."""
    seconds = 1.0 if quick else 4.0
    figures = []
    for callers, texts in LOADS:
        busy = [asyncio.run(_busy_share(callers, texts, seconds)) for _ in range(ROUNDS)]
        shown = f"{median(busy):.3f} ({', '.join(f'{one:.3f}' for one in busy)})"
        figures.append(
            at_least(f"a stand-in for a GPU, {callers} callers x {texts} texts: busy", shown, median(busy), TARGET)
        )
    return figures


async def _busy_share(callers: int, texts: int, seconds: float) -> float:
    chance = random.Random(callers)
    device = StandIn()
    started = time.perf_counter()
    async with _line_before(device) as batcher, asyncio.TaskGroup() as tasks:

        async def ask_again() -> None:
            while time.perf_counter() < started + seconds:
                asked = [Tokens(range(chance.randint(104, 430))) for _ in range(texts)]
                answers = await batcher.submit(asked)
                render({"dense": [one.result.dense for one in answers if one.result]})

        for _ in range(callers):
            tasks.create_task(ask_again())
    return device.busy_s / (time.perf_counter() - started)


def gpu_figures(*, quick: bool) -> list[Figure]:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        measured = pool.submit(measure, QUICK_TEXTS if quick else TEXTS, 1 if quick else ROUNDS).result()
    if measured is None:
        return [Figure("GPU", "none here: not measured")]
    of_bare, shown = ratio(measured.ours, measured.bare)
    left = f"{measured.without_mb:.0f} MiB"
    return [
        Figure("GPU: the line of the service", rate(measured.ours, "texts/s")),
        Figure("GPU: bare forward by length", rate(measured.bare, "texts/s")),
        at_least("GPU: the line of the service, of bare", shown, of_bare, TARGET),
        Figure("GPU: memory of a copy", f"{measured.with_copy_mb:.0f} MiB"),
        below("GPU: memory after it has gone", left, measured.without_mb, CONTEXT_MB, " MiB"),
    ]


def measure(count: int, rounds: int) -> Measured | None:
    """Measure, in this process."""
    import torch

    if not torch.cuda.is_available():
        return None
    from sidecar.retrieval.bge.loading import LoadOptions
    from sidecar.retrieval.bge.models import Embedder
    from sidecar.retrieval.bge.torch_runtime import find_gpu
    from tools.fakes import model_texts, tiny_models

    shape = model_texts.Shape(hidden=1024, layers=24, heads=16, vocabulary=3000)
    with tempfile.TemporaryDirectory() as folder:
        embedder = Embedder(tiny_models.make_embedder(Path(folder), shape), LoadOptions("auto", find_gpu(0)))
    held = [embedder.copy_to_gpu()]
    line = embedder.tokenize(model_texts.texts(count))

    def ours() -> None:
        asyncio.run(_through_the_line(held[0], line))

    def bare() -> None:
        ordered = sorted((one.ids for one in line), key=len)
        with torch.inference_mode():
            for first in range(0, len(ordered), 64):
                batch = ordered[first : first + 64]
                longest = len(batch[-1])
                ids = torch.tensor([[*one, *[1] * (longest - len(one))] for one in batch]).cuda()
                held[0].encoder(ids, attention_mask=(ids != 1).long())[0][:, 0].float().cpu()

    def timed(work: Callable[[], None]) -> Callable[[], float]:
        def run() -> float:
            started = time.perf_counter()
            work()
            torch.cuda.synchronize()
            return count / (time.perf_counter() - started)

        return run

    ours()
    bare()
    rates = in_turn(rounds, timed(ours), timed(bare))
    held_mb = torch.cuda.memory_reserved() / 2**20
    held.clear()
    embedder.free_gpu()
    return Measured(rates[0], rates[1], held_mb, torch.cuda.memory_reserved() / 2**20)


async def _through_the_line(copy: ModelCopy[Embedding], texts: Sequence[Tokens]) -> None:
    """Have one caller per text wait for its result."""
    async with _line_before(copy) as batcher:
        await asyncio.gather(*(batcher.submit([text]) for text in texts))


@asynccontextmanager
async def _line_before(copy: ModelCopy[Embedding]) -> AsyncIterator[Batcher[Embedding]]:
    """Run the line of texts as in the service with its defaults, but without HTTP."""
    thread = DaemonThread("bench-gpu")

    async def run(batch: Sequence[Tokens], _cores: int, is_wanted: IsWanted) -> Sequence[Answered[Embedding]]:
        results = await thread.run(copy.run, batch, is_wanted)
        return [Answered(result, copy.device, "headroom-sufficient") for result in results]

    batcher: Batcher[Embedding] = Batcher(run, lambda: LIMITS, lambda _took_s, _at_a_time: None)
    async with beside(batcher.keep_working()):
        yield batcher
    thread.stop()
