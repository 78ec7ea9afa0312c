"""Assembles jobs: the queue or its own server, who works on them, who calls back; their start and end."""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from aiohttp import web

from sidecar.api.answers import files
from sidecar.api.answers.answer import Answer
from sidecar.api.app_keys import AUDIT, CALLS_LOGS, DRAIN, JOBS, JOBS_STATE, METRICS, READER, SHARED_READER, SPOOL
from sidecar.api.jobs import orders
from sidecar.api.jobs.state import JobsState
from sidecar.errors import JobNotFoundError
from sidecar.jobs.calling.callbacks import Callbacks
from sidecar.jobs.jetstream.connection import Connection, ServerAccess
from sidecar.jobs.jetstream.embedded import EmbeddedServer, EmbeddedServerError
from sidecar.jobs.jobs import Jobs
from sidecar.jobs.queue import Queue
from sidecar.jobs.record import Order, Ref, SliceOutcome, State
from sidecar.jobs.shared_reading import SharedReader
from sidecar.jobs.shelf import DocumentShelf
from sidecar.jobs.slice_reader import SliceReader
from sidecar.jobs.steps import JobSeams, Steps
from sidecar.jobs.worker import Worker
from sidecar.ocr.job import DocumentResult, ReadJob
from sidecar.outputs.formats import Output
from sidecar.runtime.background import beside
from sidecar.settings import JOBS_EMBEDDED, Settings, SettingsError
from sidecar.telemetry import Metrics
from sidecar.wire import common
from sidecar.wire import jobs as wire

log = logging.getLogger(__name__)

AGAIN_S = 1.0
CONNECT_S = 5.0
"""How long the start of the service waits for the queue, in seconds: what comes first should find it."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """What runs as long as the service."""

    connection: Connection
    worker: Worker
    state: JobsState
    embedded: EmbeddedServer | None
    callbacks: Callbacks | None


def add_jobs(app: web.Application, settings: Settings) -> None:
    """Compose the jobs; nothing is connected before the service starts."""
    metrics = app[METRICS]
    embedded = EmbeddedServer(jobs_folder(settings)) if settings.jobs == JOBS_EMBEDDED else None
    connection = Connection(_access(settings))
    queue = Queue(connection, settings.jobs_ttl_s, partial(_count_end, metrics))
    shelf = DocumentShelf(queue.blobs, app[SPOOL], settings.max_document_bytes)
    seams = JobSeams(
        partial(orders.make_job, app),
        partial(_write_file, app),
        partial(_told, app),
        settings.jobs_slice_pages,
        partial(_count_slice, metrics),
    )
    slices = SliceReader(queue, app[READER], Answer("", [], metrics))
    steps = Steps(queue, app[READER], shelf, slices, seams)
    worker = Worker(queue, steps, shelf, settings.jobs_slices)
    app[JOBS] = Jobs(queue, steps, slices, seams, settings.jobs_max)
    if settings.sync_over_jobs == "on":
        app[SHARED_READER] = SharedReader(app[READER], app[JOBS], settings.jobs_slice_pages)
    app[JOBS_STATE], app[CALLS_LOGS] = JobsState(queue), queue.records
    _watch(metrics, app[JOBS_STATE], worker)
    parts = _Parts(connection, worker, app[JOBS_STATE], embedded, _callbacks(app, queue, settings))
    app.cleanup_ctx.append(partial(_jobs_life, parts))


def jobs_folder(settings: Settings) -> Path:
    """Return the folder of the embedded server's store."""
    base = settings.state_dir or Path(tempfile.gettempdir()) / "ocr-sidecar"
    return (settings.jobs_dir or base / "jobs").absolute()


def _access(settings: Settings) -> ServerAccess:
    return ServerAccess(
        settings.nats_servers,
        credentials_file=settings.jobs_credentials_file,
        ca_file=settings.jobs_ca_file,
        replicas=settings.jobs_replicas,
    )


async def _jobs_life(parts: _Parts, app: web.Application) -> AsyncIterator[None]:
    """Connect and work as long as the service runs; what is held is given back as soon as it is told to stop."""
    async with AsyncExitStack() as running:
        if parts.embedded:
            await running.enter_async_context(_serving(parts.embedded, parts.connection))
        await running.enter_async_context(beside(parts.connection.keep()))
        with suppress(TimeoutError):  # the embedded server is there at once; another one need not be
            await asyncio.wait_for(parts.connection.ready.wait(), CONNECT_S)
        await running.enter_async_context(beside(parts.state.keep_looking()))
        if parts.callbacks:
            await running.enter_async_context(beside(_supervised(app, parts.callbacks.run)))
        await running.enter_async_context(beside(_supervised(app, parts.worker.run)))
        yield


@asynccontextmanager
async def _serving(embedded: EmbeddedServer, connection: Connection) -> AsyncIterator[None]:
    """Run the embedded server.

    Raises:
        SettingsError: it cannot be started.
    """
    try:
        await embedded.start()
    except EmbeddedServerError as exc:
        await embedded.stop()
        raise SettingsError(f"OCR_JOBS is embedded: {exc}") from exc
    connection.use(embedded.access)
    try:
        async with beside(embedded.watch()):
            yield
    finally:
        await embedded.stop()


async def _supervised(app: web.Application, run: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run a loop until the service is told to stop; one that ends otherwise is begun anew."""
    stops = asyncio.create_task(app[DRAIN].began.wait())
    try:
        while not stops.done():
            work = asyncio.create_task(run())
            try:
                await asyncio.wait([work, stops], return_when=asyncio.FIRST_COMPLETED)
            finally:
                work.cancel()
                outcome = (await asyncio.gather(work, return_exceptions=True))[0]
            if isinstance(outcome, Exception):
                log.error("the work on jobs has ended unexpectedly, and is begun anew", exc_info=outcome)
                await asyncio.sleep(AGAIN_S)
    finally:
        stops.cancel()


def _callbacks(app: web.Application, queue: Queue, settings: Settings) -> Callbacks | None:
    if not settings.jobs_callback_secret_file:
        return None
    count = app[METRICS].jobs_callbacks

    def counted(outcome: str) -> None:
        count.labels(outcome).inc()

    return Callbacks(
        queue, partial(_call_of, app), settings.callback_hosts, settings.jobs_callback_secret_file, counted
    )


async def _call_of(app: web.Application, ref: Ref) -> tuple[str, bytes]:
    """Return whom a job's end is told, and how: the job, as its owner would see it."""
    view = await app[JOBS].view(ref)
    if view.record.order.callback_url is None:
        raise JobNotFoundError("nobody is to be called")
    return view.record.order.callback_url, common.render(wire.render_job(view, datetime.now(UTC)))


async def _write_file(app: web.Application, order: Order, job: ReadJob, result: DocumentResult) -> Path | None:
    """Make the searchable PDF that was asked for, if one was; it must be there before the document is deleted."""
    asked = orders.asked_of(order)
    if asked.output is not Output.PDF:
        return None
    path = app[SPOOL].folder / f"job-{order.ref.id}.pdf"
    await files.write_pdf(app, job, result, path, keeps_signature=bool(asked.keep_signature))
    return path


def _told(app: web.Application, order: Order, result: DocumentResult) -> None:
    """Count a job that was read, and have its pages written into the audit file."""
    asked = orders.asked_of(order)
    told = Answer(order.request_id, list(order.ignored_fields), app[METRICS], asked.wanted, app.get(AUDIT))
    told.count(result)


def _count_end(metrics: Metrics, state: State) -> None:
    metrics.jobs_ended.labels(state.value).inc()


def _count_slice(metrics: Metrics, outcome: SliceOutcome) -> None:
    metrics.jobs_slices.labels(outcome.value).inc()


def _watch(metrics: Metrics, state: JobsState, worker: Worker) -> None:
    """Show how the queue is; what is counted is there from the start, so that the first of it is seen as one more."""
    for outcome in SliceOutcome:
        metrics.jobs_slices.labels(outcome.value)
    for end in State:
        if end.is_end:
            metrics.jobs_ended.labels(end.value)
    for told in ("delivered", "retried", "failed"):
        metrics.jobs_callbacks.labels(told)
    metrics.watch("ocr_pages_due", "Pages of jobs to be read, of all pods.", lambda: state.pages_due)
    metrics.watch("ocr_jobs_oldest_due_seconds", "Age of the oldest slice that is due.", lambda: state.oldest_due_s)
    metrics.watch("ocr_jobs_connected", "Whether the queue of jobs can be used.", lambda: state.failure is None)
    metrics.watch("ocr_jobs_parked", "Messages that wait for another version.", lambda: worker.parked)
