"""The tables of docs/scale.md: what each setting, size and failure does, by the simulator."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from bench.scale import heap
from bench.scale.heap import ISSUE, Kind, Pace
from bench.scale.outcome import Outcome
from bench.scale.scenario import Design, Fault, FaultKind, Scaling, Scenario
from bench.scale.simulation import simulate
from bench.scale.table import columns, duration, table
from sidecar.jobs.record import Lane

SEEDS = range(1, 21)
ARCHIVE = 20_000
ARCHIVE_PACE = Pace(2.0, 0.5)
BESIDE, BESIDE_S = 200, 2.0
"""Realtime documents of one page beside 10,000 batch pages, and how many seconds apart they come on average."""


def all_tables() -> Iterator[tuple[str, str]]:
    """Return each table with its heading, as they are made; it takes a few minutes."""
    makers: dict[str, Callable[[], str]] = {
        "Three designs": designs,
        "Failures": failures,
        "Nodes for an archive": nodes,
        "Pods that come and go": scaled,
        "Realtime beside batch": realtime,
        "Short documents": short,
    }
    for heading, make in makers.items():
        yield heading, make()


def designs() -> str:
    """80 documents on three pods, in 20 orders."""
    lines = []
    for design in Design:
        runs = [simulate(Scenario(heap.at_once(ISSUE, Pace(seed=seed)), seed=seed), design) for seed in SEEDS]
        took = sorted(run.makespan_s for run in runs)
        reach = f"{took[0]:.1f} to {took[-1]:.1f} s"
        idle = statistics.mean(run.idle_share for run in runs)
        lines.append([design.value, f"{statistics.median(took):.1f} s", reach, f"{idle * 100:.0f} %"])
    return table(["design", "takes, median", "range", "idle"], lines)


def failures() -> str:
    """700 pages on three pods while something happens to one of them, or to all in turn."""
    rolling = tuple(Fault(FaultKind.DRAIN, pod, 8.0 * (pod + 1), 6.0) for pod in range(3))
    happening = {
        "nothing": (),
        "kill -9 after 10 s, back after 30 s": (Fault(FaultKind.KILL, 0, 10, 30),),
        "drained after 10 s, back after 30 s": (Fault(FaultKind.DRAIN, 0, 10, 30),),
        "cut off after 10 s, for 60 s": (Fault(FaultKind.PARTITION, 0, 10, 60),),
        "rolling update: each drained in turn, back after 6 s": rolling,
    }
    lines = []
    for what, faults in happening.items():
        for design in Design:
            runs = [simulate(_heap(seed, faults), design) for seed in SEEDS]
            lines.append(
                [what, design.value, *(_median(runs, name) for name in ("makespan_s", "lost_pages", "doubled_pages"))]
            )
    return table(["to one of three pods", "design", "takes", "sent again", "read twice"], lines)


def _heap(seed: int, faults: tuple[Fault, ...]) -> Scenario:
    return Scenario(heap.at_once(ISSUE, Pace(0.5, 0.3, seed)), seed=seed, faults=faults)


def _median(runs: Sequence[Outcome], name: str) -> str:
    value = statistics.median(getattr(run, name) for run in runs)
    return duration(value) if name.endswith("_s") else f"{value:.0f}"


def archive(**settings: object) -> Scenario:
    """Return an office's archive that is handed in at once."""
    return replace(Scenario(heap.at_once(heap.office(ARCHIVE), ARCHIVE_PACE)), **settings)  # type: ignore[arg-type]


def nodes() -> str:
    """An archive on 1 to 10 pods."""
    runs = {(pods, slices): simulate(archive(pods=pods, slices=slices)) for pods in (1, 3, 10) for slices in (2, 4)}
    names = ("takes", "of ideal", "idle", "half done", "GPU hours")
    lines = [[f"{pods}", f"{slices}", *(columns(run)[name] for name in names)] for (pods, slices), run in runs.items()]
    return table(["pods", "OCR_JOBS_SLICES", *names], lines)


def scaled() -> str:
    """A working day: some documents all the time, and a heap of them at two."""
    times = {
        "10 all day": None,
        "1 to 10, one for 4 slices": Scaling(1, 10, 4),
        "1 to 10, one for 20 slices": Scaling(1, 10, 20),
        "1 to 10, one for 100 slices": Scaling(1, 10, 100),
    }
    names = ("half done", "idle", "GPU hours", "cost")
    runs = {what: columns(simulate(_day(scaling))) for what, scaling in times.items()}
    lines = [[what, *(shown[name] for name in names)] for what, shown in runs.items()]
    return table(["pods", *names], lines)


def _day(scaling: Scaling | None) -> Scenario:
    pace = Pace(2.0, 0.5)
    steady = heap.arriving(heap.office(800), pace, heap.poisson(800 / 28_800, seed=1))
    heaped = heap.arriving(heap.office(2000), pace, iter([6 * 3600.0] * 2000), first=800)
    return Scenario(steady + heaped, pods=10, slices=4, scaling=scaling)


def realtime() -> str:
    """Pages that somebody waits for, beside 10,000 batch pages on three pods."""
    lines: list[list[str]] = []
    names = ("wait p50", "wait p95", "of ideal")
    for slice_pages, slices in ((4, 2), (8, 2), (8, 4), (16, 2), (32, 2)):
        run = simulate(replace(_beside(), slice_pages=slice_pages, slices=slices))
        shown, slice_s = columns(run), slice_pages * slices * 0.5 / 4
        lines.append([f"{slice_pages}", f"{slices}", f"{slice_s:.1f} s", *(shown[name] for name in names)])
    return table(["OCR_JOBS_SLICE_PAGES", "OCR_JOBS_SLICES", "a slice takes", *names], lines)


def _beside() -> Scenario:
    pace, times_s = Pace(0.5, 0.3), heap.poisson(1 / BESIDE_S, seed=2)
    batch = heap.at_once((Kind(100, 50), Kind(500, 10)), pace)
    return Scenario(batch + heap.arriving((Kind(BESIDE, 1),), pace, times_s, lane=Lane.REALTIME, first=len(batch)))


def short() -> str:
    """Documents shorter than a slice: how many slices a pod must read at a time to have its slots busy."""
    lines = []
    for pages in (1, 2, 4, 8):
        heap_of = heap.at_once((Kind(2400 // pages, pages),), Pace(0.5, 0.3))
        shares = [f"{simulate(Scenario(heap_of, slices=slices)).of_ideal:.2f}" for slices in (1, 2, 4, 6, 8)]
        lines.append([f"{pages}", *shares])
    return table(["pages a document", *(f"OCR_JOBS_SLICES={slices}" for slices in (1, 2, 4, 6, 8))], lines)
