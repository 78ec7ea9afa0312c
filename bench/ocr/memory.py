"""The service's memory over a thousand documents. Linux only: read from /proc."""

import asyncio
import contextlib
import itertools
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.harness.figure import Figure, below
from bench.harness.load import send, upload
from bench.harness.service import running_service
from sidecar.runtime.cores import usable_cores

PROC = Path("/proc")
TARGET_MB = 0.1


class Plan(NamedTuple):
    """How many documents are read, how often memory is sampled, and how many documents are warm-up."""

    documents: int
    every: int
    warm_up: int


FULL = Plan(documents=1000, every=50, warm_up=200)
QUICK = Plan(documents=48, every=8, warm_up=16)


class Sample(NamedTuple):
    """Memory after this many documents, in MB: of the whole process tree, and of the process that serves HTTP."""

    documents: int
    tree_mb: float
    server_mb: float


def run(*, quick: bool) -> list[Figure]:
    plan = QUICK if quick else FULL
    with running_service() as service:
        samples = list(_samples(service.port, service.pid, plan))
    settled = [sample for sample in samples if sample.documents >= plan.warm_up]
    documents = [sample.documents for sample in settled]
    tree = statistics.linear_regression(documents, [sample.tree_mb for sample in settled]).slope
    server = statistics.linear_regression(documents, [sample.server_mb for sample in settled]).slope
    return [
        Figure("at the start", _shown(samples[0])),
        Figure("after the warm-up", _shown(settled[0])),
        Figure("at the end", _shown(samples[-1])),
        below("growth after the warm-up", f"{tree:.4f} MB a document", tree, TARGET_MB, " MB"),
        Figure("of which the serving process", f"{server:.4f} MB a document"),
    ]


def _shown(sample: Sample) -> str:
    return f"{sample.tree_mb:.1f} MB after {sample.documents} documents"


def _samples(port: int, pid: int, plan: Plan) -> Iterator[Sample]:
    """Read documents in batches; no document is in work when memory is sampled."""
    rotation = itertools.cycle(
        [
            upload("digital.pdf"),
            upload("photo.png"),
            upload("blank-pages.pdf", pages="1"),
            upload("mixed.pdf", pages="3"),
        ]
    )
    yield _sample(0, pid)
    for done in range(plan.every, plan.documents + 1, plan.every):
        batch = list(itertools.islice(rotation, plan.every))
        asyncio.run(send(port, batch, connections=2 * usable_cores()))
        yield _sample(done, pid)


def _sample(documents: int, pid: int) -> Sample:
    return Sample(documents, sum(map(pss_mb, process_tree(pid))), pss_mb(pid))


def process_tree(root: int) -> list[int]:
    """List a process and all its descendants."""
    parents = dict(_parents())
    tree = [root]
    for pid in tree:  # which grows while it is walked
        tree += [child for child, parent in parents.items() if parent == pid]
    return tree


def _parents() -> Iterator[tuple[int, int]]:
    for stat in PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            after_name = stat.read_text(errors="replace").rpartition(")")[2].split()
            yield int(stat.parent.name), int(after_name[1])


def pss_mb(pid: int) -> float:
    """Return a process's resident memory, shared pages counted proportionally; an ended process has none."""
    with contextlib.suppress(OSError):
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024 / 1_000_000
    return 0.0
