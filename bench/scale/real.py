"""Real runs: what a fleet on this machine takes, beside what the simulator says of the same documents."""

import asyncio
import itertools
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp

from bench.scale.caller import Caller, Posted
from bench.scale.heap import Kind
from bench.scale.outcome import percentile
from bench.scale.papers import make_paper
from bench.scale.scenario import Costs, Document, Scenario
from bench.scale.simulation import simulate
from bench.scale.site import Site, running_site
from bench.scale.table import table
from sidecar.jobs.record import Lane

PAGE_S, SLOTS = 0.5, 4
PAGE_COSTS_S = (Costs().page_s, 0.06)
"""A page beyond the model: as a rule, and as it was where 13 processes wanted two cores (docs/scale.md)."""
AT_ONCE = 8
"""Documents that are handed in at a time."""


@asynccontextmanager
async def _calling(papers: Sequence[tuple[int, int]]) -> AsyncIterator[tuple[Caller, list[Path]]]:
    """Make a paper for each (pages, seed), and a caller."""
    timeout = aiohttp.ClientTimeout(total=600)
    connector = aiohttp.TCPConnector(limit=0)
    with tempfile.TemporaryDirectory(prefix="ocr-papers-") as folder:
        paths = [Path(folder) / f"{seed}-{pages}.pdf" for pages, seed in papers]
        for path, (pages, seed) in zip(paths, papers, strict=True):
            make_paper(path, pages, seed)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            yield Caller(session), paths


# ── a heap of documents ───────────────────────────────────────────────────────────────────────────────────────────


async def heap_run(kinds: Sequence[Kind], sidecars: int, seed: int, slices: int, *, places: bool) -> str:
    """Have a heap read by so many sidecars; return a line: real, simulated, processor time."""
    sizes = [kind.pages for kind in kinds for _ in range(kind.count)]
    random.Random(seed).shuffle(sizes)
    async with (
        running_site(sidecars, page_s=PAGE_S, slots=SLOTS, places=places, OCR_JOBS_SLICES=str(slices)) as site,
        _calling([(pages, number) for number, pages in enumerate(sizes)]) as (caller, papers),
    ):
        await _warm(site, caller, papers[sizes.index(min(sizes))])
        calls = _calls(site)
        cpu_s, began_s = site.cpu_s(), time.perf_counter()
        jobs = await _hand_in(site, caller, papers)
        await asyncio.gather(*(caller.wait(job) for job in jobs))
        took_s = time.perf_counter() - began_s
        cpu_s = {name: after_s - cpu_s[name] for name, after_s in site.cpu_s().items()}
        arrived = [job.began_s + job.took_s - began_s for job in jobs]
        same = _same(sizes, arrived, sidecars, slices)
        simulated_s = [simulate(replace(same, costs=Costs(page_s=one))).makespan_s for one in PAGE_COSTS_S]
        read = _calls(site) - calls
    took = sum(cpu_s.values())
    parts = ", ".join(f"{name} {value:.1f}" for name, value in cpu_s.items())
    ideal_s = sum(sizes) * PAGE_S / SLOTS / sidecars
    return (
        f"{sidecars} sidecars, {len(sizes)} documents of {sum(sizes)} pages: real {took_s:.1f} s, "
        f"simulated {simulated_s[0]:.1f} s, on a loaded machine {simulated_s[1]:.1f} s, ideal {ideal_s:.1f} s; "
        f"{read} pages read, {caller.refused} x 429\n"
        f"  processor time {took:.1f} s, {took / took_s:.2f} cores of it all the time: {parts}"
    )


def _same(sizes: Sequence[int], arrived: Sequence[float], sidecars: int, slices: int) -> Scenario:
    """Return the scenario of what really happened; its documents come when the real ones were accepted."""
    documents = tuple(
        Document(number, at_s, (PAGE_S,) * pages)
        for number, (pages, at_s) in enumerate(zip(sizes, arrived, strict=True))
    )
    return Scenario(documents, pods=sidecars, slots=SLOTS, slices=slices)


def _calls(site: Site) -> int:
    return sum(len(model.chats) for model in site.models)


async def _warm(site: Site, caller: Caller, paper: Path) -> None:
    """Let each sidecar draw and read a page, so that its worker has what it needs."""
    await asyncio.gather(*(caller.read_now(one.url, paper) for one in site.sidecars))


async def _hand_in(site: Site, caller: Caller, papers: Sequence[Path], lane: Lane = Lane.BATCH) -> list[Posted]:
    """Hand all documents in, a few at a time, to each sidecar in turn."""
    left = enumerate(zip(papers, itertools.cycle(one.url for one in site.sidecars)))
    posted: dict[int, Posted] = {}

    async def one_caller() -> None:
        for number, (paper, url) in left:
            posted[number] = await caller.post(url, paper, lane)

    await asyncio.gather(*(one_caller() for _ in range(AT_ONCE)))
    return [posted[number] for number in sorted(posted)]


# ── what the queue costs ──────────────────────────────────────────────────────────────────────────────────────────


async def overhead(pages: int, rounds: int) -> str:
    """Have documents read on the line and by the queue, in turn; return what each takes, and the difference a page."""
    async with (
        running_site(1, page_s=PAGE_S, slots=SLOTS) as site,
        _calling([(size, seed) for size in (pages, 1) for seed in range(rounds)]) as (caller, papers),
    ):
        url = site.sidecars[0].url
        await _warm(site, caller, papers[0])
        long = [await _both_ways(caller, url, paper) for paper in papers[:rounds]]
        short = [await _both_ways(caller, url, paper) for paper in papers[rounds:]]
    return "\n".join([_compared(pages, long, pages / SLOTS * PAGE_S), _compared(1, short, PAGE_S)])


async def _both_ways(caller: Caller, url: str, paper: Path) -> tuple[float, float]:
    """Return how long, in seconds, a document takes on the line and by the queue."""
    on_line_s = await caller.read_now(url, paper)
    job = await caller.post(url, paper)
    await caller.wait(job)
    return on_line_s, time.perf_counter() - job.began_s


def _compared(pages: int, took: Sequence[tuple[float, float]], ideal_s: float) -> str:
    on_line_s, queued_s = (statistics.median(one) for one in zip(*took, strict=True))
    more_ms = sorted((late_s - soon_s) / pages * 1000 for soon_s, late_s in took)
    return (
        f"{pages} pages, medians of {len(took)}: ideal {ideal_s:.2f} s, on the line {on_line_s:.2f} s, by the queue "
        f"{queued_s:.2f} s: {statistics.median(more_ms):.1f} ms more a page ({more_ms[0]:.1f} to {more_ms[-1]:.1f})"
    )


# ── a full queue ──────────────────────────────────────────────────────────────────────────────────────────────────


async def full_queue(queued: int, measured: int) -> str:
    """Fill the queue while no page comes to its end; return how long it takes to hand in more."""
    async with (
        running_site(1, page_s=36_000, slots=SLOTS) as site,
        _calling([(1, 0)]) as (caller, papers),
    ):
        lines, before = [], 0
        for goal in (0, queued):
            await _hand_in(site, caller, papers * (goal - before))
            before = goal + measured
            posted = [await caller.post(site.sidecars[0].url, papers[0]) for _ in range(measured)]
            times_s = [one.took_s for one in posted]
            shown = [f"{(percentile(times_s, share) or 0) * 1000:.1f} ms" for share in (0.5, 0.95, 0.99)]
            memory = [f"{value:.0f} MiB" for value in site.memory_mib().values()]
            lines.append([f"{goal}", *shown, *memory, f"{sum(site.nats.stored_bytes().values()) / 2**20:.0f} MiB"])
    return table(["queued", "POST p50", "p95", "p99", "nats-server", "sidecar", "store"], lines)


# ── somebody who waits ────────────────────────────────────────────────────────────────────────────────────────────


async def beside(sidecars: int, asked: int, every_s: float) -> str:
    """Ask for single pages while 10,000 batch pages are read; return how long they wait, beyond being read."""
    async with (
        running_site(sidecars, page_s=PAGE_S, slots=SLOTS) as site,
        _calling([*((100, seed) for seed in range(100)), *((1, 1000 + seed) for seed in range(asked))]) as (
            caller,
            papers,
        ),
    ):
        await _warm(site, caller, papers[-1])
        batch = await _hand_in(site, caller, papers[:100])
        await asyncio.sleep(5 * PAGE_S)
        waits_s = []
        for number, paper in enumerate(papers[100:]):
            job = await caller.post(site.sidecars[number % sidecars].url, paper, Lane.REALTIME)
            await caller.wait(job)
            waits_s.append(time.perf_counter() - job.began_s - PAGE_S)
            await asyncio.sleep(every_s)
        left = [job for job in batch if await caller.state(job) != "done"]
        await asyncio.gather(*(caller.give_up(job) for job in left))
    p50_s, p95_s = percentile(waits_s, 0.5), percentile(waits_s, 0.95)
    return (
        f"{sidecars} sidecars, {asked} realtime pages beside 10,000 of batch: from the upload to the result, "
        f"less the page itself, p50 {p50_s:.2f} s, p95 {p95_s:.2f} s; {len(left)} of 100 batch jobs were still running"
    )
