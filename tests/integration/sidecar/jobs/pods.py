"""A pod that works on jobs, in this process or in one of its own, with an engine of which a test decides everything."""

# ruff: noqa: ARG002 - an engine has the protocol's shape, whether it needs all of it or not

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

from reportlab.pdfgen.canvas import Canvas

from sidecar.documents.document import DocumentLimits
from sidecar.documents.page_selection import PageRequest
from sidecar.documents.spool import Spool
from sidecar.errors import JobsUnavailableError, SidecarError
from sidecar.jobs.jetstream.connection import Connection, ServerAccess
from sidecar.jobs.jobs import Draft, Jobs
from sidecar.jobs.queue import Queue
from sidecar.jobs.record import Lane, Order
from sidecar.jobs.shelf import DocumentShelf
from sidecar.jobs.slice_reader import SliceReader
from sidecar.jobs.steps import JobSeams, Steps
from sidecar.jobs.worker import Worker
from sidecar.ocr.engine import EngineModel, EngineTraits, PageText, PreparedPage, ReadOrder, RequestedOptions
from sidecar.ocr.job import ReadJob, ReadPolicy
from sidecar.ocr.reader import DocumentReader
from sidecar.profiles.precedence import instruct
from sidecar.runtime.admission import Admission
from sidecar.runtime.fair_slots import FairSlots
from sidecar.runtime.workers.pool import WorkerLimits

PROGRAM = Path(sys.executable).with_name("nats-server")
TRAITS = EngineTraits("stand-in", takes_languages=False)


class ThisProcess:
    """Does in this process what workers would do."""

    limits = WorkerLimits(count=2, memory_bytes=0, tasks=0, nice=0)

    async def run(self, function, *args, deadline_s):
        return function(*args)


class Hearsay:
    """Counts the pages that were read."""

    def __init__(self):
        self.pages = []

    async def document(self, facts):
        pass

    async def page(self, result):
        self.pages.append(result.page)


class Engine:
    """Reads page n as "page n", after so many seconds; ``does`` may say another time for a page, or raise."""

    traits = TRAITS
    capability = None

    def __init__(self, page_s: float = 0.0, does: Callable[[int], float | None] = lambda _: None, slots: int = 4):
        self.page_s = page_s
        self.does = does
        self.read_slots, self.prepare_slots = FairSlots(slots), FairSlots(2 * slots)
        self.cancelled = 0
        self.began = []

    def check(self, order):
        pass

    def check_languages(self, languages):
        pass

    def model(self, order):
        return EngineModel("stand-in-1")

    def max_attempts(self, order):
        return 1

    async def prepare(self, order, index):
        return PreparedPage(index)

    async def read(self, order, page, attempt, deadline_s):
        self.began.append(page.index + 1)
        page_s = self.does(page.index + 1)
        try:
            await asyncio.sleep(self.page_s if page_s is None else page_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return PageText(f"page {page.index + 1}")


def make_job(order: Order, path: Path) -> ReadJob:
    read = ReadOrder(path, 60, "eng", instruct(None, "a-model"))
    return ReadJob("stand-in", PageRequest((), 0, 0, 5000), read, RequestedOptions())


async def no_file(order, job, result):
    return None


_ACCESS: dict[int, ServerAccess] = {}
"""How to reach what listens on a port, where it is not a server alone that lets everybody in."""


def server_access(port: int) -> ServerAccess:
    return _ACCESS.get(port) or ServerAccess([f"nats://127.0.0.1:{port}"])


class Pod:
    """A pod: what the service would put together, with a stand-in for its engine."""

    def __init__(self, access: ServerAccess, folder: Path, engine: Engine | None = None, slices: int = 2, **limits):
        self.engine = engine or Engine()
        self.told = []
        self.progress = Hearsay()
        self.connection = Connection(access)
        self.queue = Queue(self.connection, limits.get("kept_for_s", 3600.0))
        policy = ReadPolicy(
            "stand-in", None, refuse_on_pressure=False, char_threshold=1, open_timeout_s=30, second_engine=None
        )
        reader = self.reader = DocumentReader(
            ThisProcess(), {"stand-in": self.engine}, Admission(10_000), DocumentLimits(10**8, 10**8, 72), policy
        )
        self.spool = Spool(folder)
        self.shelf = DocumentShelf(self.queue.blobs, self.spool, 10**9)
        seams = JobSeams(limits.get("make_job", make_job), no_file, lambda order, _: self.told.append(order.ref.id),
                         limits.get("slice_pages", 8))  # fmt: skip
        self.make_job = make_job
        slice_reader = self.slice_reader = SliceReader(self.queue, reader, self.progress)
        steps = self.steps = Steps(self.queue, reader, self.shelf, slice_reader, seams)
        self.worker = Worker(self.queue, steps, self.shelf, slices)
        self.jobs = Jobs(self.queue, steps, slice_reader, seams, limits.get("max_jobs", 100_000))
        self._tasks: list[asyncio.Task] = []

    async def start(self, *, works: bool = True):
        self.spool.open()
        self._tasks.append(asyncio.create_task(self.connection.keep()))
        async with asyncio.timeout(30):
            await self.connection.ready.wait()
        if works:
            self._tasks.append(asyncio.create_task(self.worker.run()))

    async def stop(self):
        for task in reversed(self._tasks):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._tasks = []
        self.spool.close()


@asynccontextmanager
async def running(pod: Pod, *, works: bool = True) -> AsyncIterator[Pod]:
    await pod.start(works=works)
    try:
        yield pod
    finally:
        await pod.stop()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Server:
    """NATS' own server, alone or as one of several."""

    def __init__(
        self,
        folder: Path,
        name: str = "one",
        port: int = 0,
        cluster: tuple[int, ...] = (),
        own: int = 0,
        max_mb: int = 0,
    ):
        self.port = port or free_port()
        self._arguments = ["-js", "-sd", str(folder), "-a", "127.0.0.1", "-p", str(self.port), "-n", name]
        if cluster:
            routes = ",".join(f"nats-route://127.0.0.1:{one}" for one in cluster)
            self._arguments += ["-cluster_name", "c", "-cluster", f"nats://127.0.0.1:{own}", "-routes", routes]
        if max_mb:
            config = folder.with_name(f"{name}.conf")
            config.write_text(json.dumps({"jetstream": {"max_file_store": max_mb << 20}}))
            self._arguments += ["-c", str(config)]
        self._process = None

    def start(self):
        if self._process:
            return
        nowhere = subprocess.DEVNULL
        self._process = subprocess.Popen([PROGRAM, *self._arguments], stdin=nowhere, stdout=nowhere, stderr=nowhere)

    def kill(self, how: int = signal.SIGKILL):
        if self._process:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def pause(self):
        self._process.send_signal(signal.SIGSTOP)

    def resume(self):
        self._process.send_signal(signal.SIGCONT)


class Cluster:
    """Three servers on loopback, each with all that is stored; what is done to "the server" is done to the first."""

    def __init__(self, folder: Path):
        routes = tuple(free_port() for _ in range(3))
        self.nodes = [Server(folder / str(n), f"n{n}", cluster=routes, own=own) for n, own in enumerate(routes)]
        self.port = self.nodes[0].port
        self.access = _ACCESS[self.port] = ServerAccess(
            [f"nats://127.0.0.1:{node.port}" for node in self.nodes], replicas=3
        )

    def start(self):
        for node in self.nodes:
            node.start()

    def kill(self, how: int = signal.SIGKILL):
        for node in self.nodes:
            node.kill(how)

    def pause(self):
        for node in self.nodes:
            node.pause()

    def resume(self):
        for node in self.nodes:
            node.resume()


def pdf(path: Path, pages: int, words: str = "") -> Path:
    """A document whose pages hold a little drawing: an engine must read them."""
    canvas = Canvas(str(path), pagesize=(100, 100), invariant=True)
    for number in range(pages):
        canvas.rect(10, 10, 20 + number % 50, 30)
        if words:
            canvas.drawString(10, 60, f"{words} {number + 1}")
        canvas.showPage()
    canvas.save()
    return path


def draft(lane: Lane = Lane.BATCH, owner: str = "ab12", **fields) -> Draft:
    return Draft(owner=owner, lane=lane, request={"engine": "stand-in"}, profile=None, request_id="r", **fields)


async def ended(jobs: Jobs, ref, within_s: float = 60):
    """The job once it has ended; a caller asks again where the queue does not answer."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                async for view in jobs.watch(ref):
                    last = view
            except JobsUnavailableError:
                await asyncio.sleep(0.1)
            else:
                return last


def figure(text: str) -> None:
    """Tell what was measured; seen with -s."""
    sys.stderr.write(f"FIGURE {text}\n")


async def until(condition, within_s: float = 30):
    async with asyncio.timeout(within_s):
        while True:
            told = condition()
            if asyncio.iscoroutine(told):
                told = await told
            if told:
                return told
            await asyncio.sleep(0.01)


def _does(deadly: list[int]) -> Callable[[int], None]:
    def does(page):
        if page in deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    return does


def _deadly_job(order: Order, path: Path) -> ReadJob:
    os.kill(os.getpid(), signal.SIGKILL)
    return make_job(order, path)


async def _submit(pod: Pod, document: str, key: str) -> None:
    async with running(pod, works=False):
        await pod.jobs.submit(draft(), Path(document), key)


async def _serve(told: str) -> None:
    what = json.loads(told)
    access = ServerAccess(**what["access"])
    limits = {"make_job": _deadly_job} if what.get("opening_kills") else {}
    engine = Engine(what.get("page_s", 0.0), _does(what.get("deadly", [])))
    pod = Pod(access, Path(what["folder"]), engine, what.get("slices", 2), **limits)
    if "submits" in what:
        await _submit(pod, *what["submits"])
        return
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with running(pod):
        await stop.wait()


class PodProcess:
    """A pod in a process of its own, which can be killed."""

    def __init__(self, access: ServerAccess, folder: Path, **what):
        told = {"access": asdict(access), "folder": str(folder), **what}
        self._command = [sys.executable, "-m", __name__, json.dumps(told)]
        self._process = None

    @property
    def is_gone(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def start(self):
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def kill(self, how: int = signal.SIGKILL):
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, how)
            self._process.wait(60)
            self._process = None

    def signal(self, how: int):
        self._process.send_signal(how)


if __name__ == "__main__":
    with contextlib.suppress(SidecarError, KeyboardInterrupt):
        asyncio.run(_serve(*sys.argv[1:]))
