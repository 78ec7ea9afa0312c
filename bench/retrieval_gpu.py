"""Texts a second on a GPU, in the real BGE-M3's shape with random weights: our line of texts beside the bare forward.

Runs in a process of its own, and only where CUDA is there. Also tells what a copy that has gone leaves behind.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from bench.figure import Figure, at_least, below, in_turn, rate, ratio
from sidecar.background import beside
from sidecar.batcher import Answered, Batcher
from sidecar.compute_thread import ComputeThread
from sidecar.retrieval_engine import Embedding, IsWanted, ModelCopy, Tokens
from sidecar.retrieval_parts import retrieval_policy
from sidecar.settings import parse_settings

TEXTS, QUICK_TEXTS = 512, 64
ROUNDS = 3
TARGET = 0.90
CONTEXT_MB = 64
"""What may stay allocated of a copy that has gone, in MiB: torch's own rests, not weights."""


class Measured(NamedTuple):
    """Texts a second, each round's; MiB that torch holds with a copy, and once it has gone."""

    ours: list[float]
    bare: list[float]
    with_copy_mb: float
    without_mb: float


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
    from sidecar.retrieval_models import Embedder, find_gpu
    from tests.fakes import tiny_models

    shape = tiny_models.Shape(hidden=1024, layers=24, heads=16, vocabulary=3000)
    with tempfile.TemporaryDirectory() as folder:
        embedder = Embedder(tiny_models.make_embedder(Path(folder), shape), "auto", find_gpu(0))
    held = [embedder.copy_to_gpu()]
    line = embedder.tokenize(tiny_models.texts(count))

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
    """Have as many callers as texts wait for them, as in the service with its defaults, but for HTTP."""
    thread = ComputeThread("bench-gpu")

    async def run(batch: Sequence[Tokens], _cores: int, is_wanted: IsWanted) -> Sequence[Answered[Embedding]]:
        results = await thread.run(copy.run, batch, is_wanted)
        return [Answered(result, copy.device, "headroom-sufficient") for result in results]

    limits = retrieval_policy(parse_settings({"OCR_AUTH_MODE": "network"}), cores=1).limits(on_gpu=True)
    batcher: Batcher[Embedding] = Batcher(run, lambda: limits, lambda _took_s, _at_a_time: None)
    async with beside(batcher.keep_working()):
        await asyncio.gather(*(batcher.submit([text]) for text in texts))
    thread.stop()
