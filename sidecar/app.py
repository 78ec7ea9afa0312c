"""The composition root: the route lists, the middleware order, and what lives as long as the service."""

import asyncio
import logging
from collections.abc import AsyncIterator

from aiohttp import web

from sidecar import handlers
from sidecar.document import DocumentLimits
from sidecar.drain import Drain
from sidecar.engine import TESSERACT
from sidecar.key_file import KeyFile
from sidecar.keys import (
    DRAIN,
    KEY_FILE,
    METRICS,
    READER,
    SETTINGS,
    SPOOL,
    TESSERACT_ENGINE,
    WORKERS,
)
from sidecar.middleware import authenticate, errors_as_json, identify, sign
from sidecar.ocr import DocumentReader, ReadPolicy
from sidecar.page_queue import PageQueue
from sidecar.settings import Settings
from sidecar.spool import Spool
from sidecar.telemetry import Metrics
from sidecar.tesseract import TesseractEngine
from sidecar.workers import WorkerLimits, WorkerPool, usable_cores

log = logging.getLogger(__name__)

API_ROUTES = (
    web.post("/ocr-upload", handlers.ocr_upload),
    web.post("/ocr", handlers.ocr_path),
    web.get("/health", handlers.get_health),
    web.get("/openapi.json", handlers.get_openapi),
)
OPS_ROUTES = (
    web.get("/livez", handlers.get_livez),
    web.get("/readyz", handlers.get_readyz),
    web.get("/metrics", handlers.get_metrics),
)


def build_app(settings: Settings) -> web.Application:
    """Compose the API application; nothing starts before it does.

    Raises:
        SettingsError: keys are asked for and there is none.
    """
    app = web.Application(middlewares=[identify, errors_as_json, authenticate])
    app.on_response_prepare.append(sign)
    app.add_routes(API_ROUTES)
    limits = DocumentLimits(settings.max_page_pixels, settings.max_stream_bytes, settings.dpi)
    workers = WorkerPool(worker_limits(settings))
    tesseract = TesseractEngine(workers, limits, settings.tessdata_dir)
    queue = PageQueue(workers.limits.count, settings.max_queued_pages)
    app[SETTINGS] = settings
    app[METRICS] = Metrics()
    app[DRAIN] = Drain(settings.max_documents)
    app[SPOOL] = Spool(settings.spool_dir, settings.max_spool_bytes)
    app[WORKERS] = workers
    app[TESSERACT_ENGINE] = tesseract
    app[READER] = DocumentReader(workers, {TESSERACT: tesseract}, queue, limits, read_policy(settings))
    if settings.auth_mode == "api-key":
        app[KEY_FILE] = KeyFile.from_settings(settings)
    _watch(app)
    app.cleanup_ctx.extend([_spool, _workers])
    return app


def build_ops_app(api: web.Application) -> web.Application:
    """Compose the ops application, which looks at what the API application holds."""
    ops = web.Application(middlewares=[identify, errors_as_json])
    ops.on_response_prepare.append(sign)
    ops[SETTINGS] = api[SETTINGS]
    ops[METRICS] = api[METRICS]
    ops[DRAIN] = api[DRAIN]
    ops[WORKERS] = api[WORKERS]
    ops[TESSERACT_ENGINE] = api[TESSERACT_ENGINE]
    ops[READER] = api[READER]
    ops.add_routes(OPS_ROUTES)
    return ops


def worker_limits(settings: Settings) -> WorkerLimits:
    """Decide how many workers there are, and what each may take."""
    return WorkerLimits(
        count=settings.workers or usable_cores(),
        memory_bytes=settings.worker_memory_mb * 1024 * 1024,
        tasks=settings.worker_tasks,
        nice=settings.worker_nice,
    )


def read_policy(settings: Settings) -> ReadPolicy:
    """Pick out what the use case needs."""
    return ReadPolicy(
        default_engine=settings.default_engine,
        fallback_engine=None if settings.fallback_engine == "none" else settings.fallback_engine,
        char_threshold=settings.char_threshold,
        open_timeout_s=settings.open_timeout_s,
        page_timeout_s=settings.page_timeout_s,
    )


def _watch(app: web.Application) -> None:
    metrics, queue, drain = app[METRICS], app[READER].queue, app[DRAIN]
    workers, spool = app[WORKERS], app[SPOOL]
    metrics.watch("ocr_pages_waiting", "Pages that wait for a slot.", lambda: queue.waiting)
    metrics.watch("ocr_pages_admitted", "Pages admitted and not yet done.", lambda: queue.admitted)
    metrics.watch("ocr_slots_busy", "Slots in use.", lambda: queue.busy)
    metrics.watch("ocr_documents_running", "Documents in work.", lambda: drain.running)
    metrics.watch("ocr_spool_bytes", "Bytes of documents in the spool.", lambda: spool.used_bytes)
    metrics.watch("ocr_worker_pool_replaced", "Times the worker pool broke.", lambda: workers.replaced)


async def _spool(app: web.Application) -> AsyncIterator[None]:
    app[SPOOL].open()
    yield
    app[SPOOL].close()


async def _workers(app: web.Application) -> AsyncIterator[None]:
    """Load the engine beside the service's start, so that the ports open at once; end the workers at the end."""
    loading = asyncio.create_task(app[TESSERACT_ENGINE].keep_loading())
    yield
    loading.cancel()
    await asyncio.gather(loading, return_exceptions=True)
    await asyncio.to_thread(app[WORKERS].stop)
