"""The command line: one scenario, the tables of docs/scale.md, or a real run beside its simulation."""

import argparse
import asyncio
from collections.abc import Callable, Coroutine, Sequence
from itertools import repeat

from bench.scale import heap, real, tables
from bench.scale.heap import Kind, Pace
from bench.scale.scenario import Costs, Design, Document, Fault, FaultKind, Scaling, Scenario
from bench.scale.simulation import simulate
from bench.scale.table import columns, table
from sidecar.jobs.record import Lane

FAULTS = "kill, drain or partition of a pod, in seconds, such as kill:0:10:30; again for more"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = parser().parse_args(arguments)
    return int(options.run(options))


def parser() -> argparse.ArgumentParser:
    """Return what the command line accepts."""
    whole = argparse.ArgumentParser(prog="python -m bench.scale", description="How long a fleet takes.")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser("simulate", help="one scenario, in each design")
    one.set_defaults(run=_simulate)
    _add_heap(one)
    _add_fleet(one)
    real_run = commands.add_parser("real", help="real sidecars here, beside their simulation")
    real_run.set_defaults(run=_real)
    real_run.add_argument("what", choices=list(REAL), help="what is measured")
    real_run.add_argument("--sidecars", type=_positive, default=3)
    real_run.add_argument("--count", type=_positive, default=20_000, help="jobs that wait, of `full-queue` (20000)")
    real_run.add_argument("--slices", type=_positive, default=2, help="OCR_JOBS_SLICES, of `heap` (2)")
    real_run.add_argument("--places", action="store_true", help="Tesseract reads each page too, for its words' places")
    real_run.add_argument("--seed", type=int, default=1)
    commands.add_parser("tables", help="the tables of docs/scale.md; minutes").set_defaults(run=_tables)
    return whole


def _add_heap(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add(
        "--documents",
        type=_kinds,
        default=heap.ISSUE,
        metavar="LIST",
        help="65x2,12x10,3x150 (default), office:20000",
    )
    add("--page", type=float, default=0.5, metavar="S", help="seconds a page (0.5)")
    add("--page-cost", type=float, default=Costs().page_s, metavar="S", help="and beyond the model (0.005)")
    add("--spread", type=float, default=0.0, metavar="SHARE", help="standard deviation of that, of the mean (0)")
    add("--a-second", type=float, metavar="N", help="documents that come each second on average; else all at once")
    add("--realtime", type=_realtime, metavar="N:S", help="N more of one page, one in S s, that somebody waits for")
    add("--seed", type=int, default=1)


def _add_fleet(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--pods", type=_positive, default=3)
    add("--slots", type=_positive, default=4, help="pages at a time a pod, OCR_PARALLEL_PAGES (4)")
    add("--slice-pages", type=_positive, default=8, help="OCR_JOBS_SLICE_PAGES (8)")
    add("--slices", type=_positive, default=2, help="slices at a time a pod, OCR_JOBS_SLICES (2)")
    add("--scale", type=_scaling, metavar="LEAST:MOST:SLICES", help="pods by due slices, as KEDA does it")
    add("--fault", type=_fault, action="append", default=[], metavar="KIND:POD:AT:FOR", help=FAULTS)
    add("--price", type=float, default=1.0, help="of a GPU, an hour (1)")
    add("--design", type=Design, action="append", choices=list(Design), help="again for more; default: all")


def _simulate(options: argparse.Namespace) -> int:
    scenario = _scenario(options)
    print(f"{len(scenario.documents)} documents, {scenario.pages} pages; ideal {scenario.ideal_s:.1f} s\n")
    shown = {design: columns(simulate(scenario, design)) for design in options.design or Design}
    names = list(next(iter(shown.values())))
    print(table(["design", *names], [[design.value, *cells.values()] for design, cells in shown.items()]))
    return 0


def _tables(_: argparse.Namespace) -> int:
    for heading, made in tables.all_tables():
        print(f"{heading}\n\n{made}\n", flush=True)
    return 0


def _real(options: argparse.Namespace) -> int:
    print(asyncio.run(REAL[options.what](options)), flush=True)
    return 0


REAL: dict[str, Callable[[argparse.Namespace], Coroutine[None, None, str]]] = {
    "heap": lambda told: real.heap_run(heap.ISSUE, told.sidecars, told.seed, told.slices, places=told.places),
    "overhead": lambda _: real.overhead(pages=64, rounds=5),
    "full-queue": lambda told: real.full_queue(told.count, measured=500),
    "realtime": lambda told: real.beside(told.sidecars, asked=60, every_s=1.0),
}


def _scenario(options: argparse.Namespace) -> Scenario:
    return Scenario(
        _documents(options),
        pods=options.pods,
        slots=options.slots,
        slice_pages=options.slice_pages,
        slices=options.slices,
        scaling=options.scale,
        faults=tuple(options.fault),
        price_an_hour=options.price,
        seed=options.seed,
        costs=Costs(page_s=options.page_cost),
    )


def _documents(options: argparse.Namespace) -> tuple[Document, ...]:
    pace = Pace(options.page, options.spread, options.seed)
    times_s = heap.poisson(options.a_second, options.seed) if options.a_second else repeat(0.0)
    batch = heap.arriving(options.documents, pace, times_s)
    if not options.realtime:
        return batch
    count, every_s = options.realtime
    urgent_s = heap.poisson(1 / every_s, options.seed + 1)
    return batch + heap.arriving((Kind(count, 1),), pace, urgent_s, lane=Lane.REALTIME, first=len(batch))


# ── values ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _kinds(text: str) -> tuple[Kind, ...]:
    name, _, count = text.partition(":")
    try:
        return heap.office(_positive(count)) if name == "office" else heap.kinds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _positive(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def _realtime(text: str) -> tuple[int, float]:
    count, _, every_s = text.partition(":")
    return _positive(count), float(every_s)


def _scaling(text: str) -> Scaling:
    least, most, slices = (int(part) for part in text.split(":"))
    return Scaling(least, most, slices)


def _fault(text: str) -> Fault:
    kind, pod, at_s, for_s = text.split(":")
    return Fault(FaultKind(kind), int(pod), float(at_s), float(for_s))
