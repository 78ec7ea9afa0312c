"""A pod that works on jobs, in this process or in one of its own, with an engine of which a test decides everything."""

# ruff: noqa: ARG002 - an engine has the protocol's shape, whether it needs all of it or not

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
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


def server_access(port: int, *others: int) -> ServerAccess:
    return ServerAccess([f"nats://127.0.0.1:{one}" for one in (port, *others)])


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
        seams = JobSeams(make_job, no_file, lambda order, _: self.told.append(order.ref.id),
                         limits.get("slice_pages", 8))  # fmt: skip
        self.make_job = make_job
        slice_reader = self.slice_reader = SliceReader(self.queue, reader, self.progress)
        steps = Steps(self.queue, reader, self.shelf, slice_reader, seams)
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

    def __init__(self, folder: Path, name: str = "one", port: int = 0, cluster: tuple[int, ...] = (), own: int = 0):
        self.port = port or free_port()
        self._arguments = ["-js", "-sd", str(folder), "-a", "127.0.0.1", "-p", str(self.port), "-n", name]
        if cluster:
            routes = ",".join(f"nats-route://127.0.0.1:{one}" for one in cluster)
            self._arguments += ["-cluster_name", "c", "-cluster", f"nats://127.0.0.1:{own}", "-routes", routes]
        self._process = None

    def start(self):
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


async def until(condition, within_s: float = 30):
    async with asyncio.timeout(within_s):
        while True:
            told = condition()
            if asyncio.iscoroutine(told):
                told = await told
            if told:
                return told
            await asyncio.sleep(0.01)


async def _serve(ports: str, folder: str, page_s: str) -> None:
    pod = Pod(server_access(*map(int, ports.split(","))), Path(folder), Engine(float(page_s)))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with running(pod):
        await stop.wait()


class PodProcess:
    """A pod in a process of its own, which can be killed."""

    def __init__(self, ports: list[int], folder: Path, page_s: float = 0.0):
        self._command = [sys.executable, "-m", __name__, ",".join(map(str, ports)), str(folder), str(page_s)]
        self._process = None

    def start(self):
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def kill(self, how: int = signal.SIGKILL):
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, how)
            self._process.wait(60)
            self._process = None


if __name__ == "__main__":
    with contextlib.suppress(SidecarError, KeyboardInterrupt):
        asyncio.run(_serve(*sys.argv[1:]))
