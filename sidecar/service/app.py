"""The composition root: the route lists, the middleware order, and what lives as long as the service."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from sidecar.api import documents, texts
from sidecar.api.app_keys import (
    DRAIN,
    EMBEDDER,
    KEY_FILE,
    METRICS,
    MODEL_WATCH,
    OLLAMA,
    PLACEMENT,
    PROFILE_STORE,
    READER,
    RERANKER,
    SETTINGS,
    SPOOL,
    TESSERACT_ENGINE,
    VISION_ENGINE,
    VRAM_MONITOR,
    WORKERS,
)
from sidecar.api.key_file import KeyFile
from sidecar.api.middleware import authenticate, errors_as_json, identify, sign, turn_away
from sidecar.documents.document import DocumentLimits
from sidecar.documents.spool import Spool
from sidecar.engines.model_watch import ModelWatch
from sidecar.engines.ollama import Ollama
from sidecar.engines.tesseract import TesseractEngine
from sidecar.engines.vision import PageDrawer, VisionEngine, VisionPolicy
from sidecar.gpu.residency_policy import ResidencyLimits
from sidecar.gpu.vram_monitor import DeviceMemory, Nvml, VramMonitor
from sidecar.ocr.engine import NP_DMS_OCR, TESSERACT, OcrEngine
from sidecar.ocr.reader import DocumentReader, ReadPolicy
from sidecar.profiles.store import ProfileStore
from sidecar.runtime.admission import Admission
from sidecar.runtime.background import beside
from sidecar.runtime.cores import usable_cores
from sidecar.runtime.drain import Drain
from sidecar.runtime.worker_pool import WorkerLimits, WorkerPool
from sidecar.service.retrieval_wiring import GpuSeam, add_retrieval, retrieval_life, watch_retrieval
from sidecar.settings import Settings
from sidecar.telemetry import Metrics

API_ROUTES = (
    web.post("/ocr-upload", documents.ocr_upload),
    web.post("/ocr", documents.ocr_path),
    web.post("/embed", texts.embed),
    web.post("/rerank", texts.rerank),
    web.post("/v1/embeddings", texts.v1_embeddings),
    web.post("/v1/rerank", texts.v1_rerank),
    web.post("/v2/rerank", texts.v1_rerank),
    web.get("/health", documents.get_health),
    web.get("/openapi.json", documents.get_openapi),
)
OPS_ROUTES = (
    web.get("/livez", documents.get_livez),
    web.get("/readyz", documents.get_readyz),
    web.get("/metrics", documents.get_metrics),
    web.get("/profiles", documents.get_profiles),
)


def build_app(settings: Settings, gpu: GpuSeam | None = None) -> web.Application:
    """Compose the API application; nothing starts before it does.

    Raises:
        SettingsError: keys are asked for and there is none.
    """
    app = web.Application(middlewares=[identify, errors_as_json, authenticate, turn_away])
    app.on_response_prepare.append(sign)
    app.add_routes(API_ROUTES)
    app[SETTINGS] = settings
    app[METRICS] = Metrics()
    app[DRAIN] = Drain(settings.max_documents)
    app[SPOOL] = Spool(settings.spool_dir, settings.max_spool_bytes)
    app[WORKERS] = WorkerPool(worker_limits(settings))
    app[PROFILE_STORE] = ProfileStore(settings.profile_dir)
    add_retrieval(app, settings, gpu or GpuSeam())
    _add_reader(app, settings)
    if settings.auth_mode == "api-key":
        app[KEY_FILE] = KeyFile.from_settings(settings)
    _watch(app)
    app.cleanup_ctx.extend([_spool, _workers, _profiles, _model, retrieval_life])
    return app


def _add_reader(app: web.Application, settings: Settings) -> None:
    """Compose the use case with the engines that the settings configure."""
    limits = DocumentLimits(settings.max_page_pixels, settings.max_stream_bytes, settings.dpi)
    app[TESSERACT_ENGINE] = TesseractEngine(app[WORKERS], limits, settings.tessdata_dir)
    engines: dict[str, OcrEngine] = {TESSERACT: app[TESSERACT_ENGINE]}
    if settings.ollama_api_url:
        _add_model(app, settings, settings.ollama_api_url, limits)
        engines[NP_DMS_OCR] = app[VISION_ENGINE]
    admission = Admission(settings.max_queued_pages)
    app[READER] = DocumentReader(app[WORKERS], engines, admission, limits, read_policy(settings))


def _add_model(app: web.Application, settings: Settings, url: str, limits: DocumentLimits) -> None:
    ollama = app[OLLAMA] = Ollama(url, settings.connect_s)
    read_device = Nvml(settings.gpu_index).read if settings.vram_source == "auto" else _no_device
    monitor = app[VRAM_MONITOR] = VramMonitor(read_device, ollama.resident, settings.gpu_total_mb)
    drawer = PageDrawer(app[WORKERS], limits, settings.image_longest_side)
    app[VISION_ENGINE] = VisionEngine(drawer, ollama, monitor, vision_policy(settings))
    if settings.vram_source == "auto":  # else Ollama's GPU is on another machine, where no copies of ours are
        app[VISION_ENGINE].make_room = app[PLACEMENT].make_room
    app[MODEL_WATCH] = ModelWatch(ollama.installed, lambda: _default_model(app), monitor.read)


async def _no_device() -> DeviceMemory | None:
    return None


def _default_model(app: web.Application) -> str:
    """Name the model of a request that says nothing."""
    profile = app[PROFILE_STORE].current.get(app[SETTINGS].default_profile)
    return (profile and profile.model) or app[SETTINGS].ocr_model


def build_ops_app(api: web.Application) -> web.Application:
    """Compose the ops application, which looks at what the API application holds."""
    ops = web.Application(middlewares=[identify, errors_as_json])
    ops.on_response_prepare.append(sign)
    ops[SETTINGS] = api[SETTINGS]
    ops[METRICS] = api[METRICS]
    ops[DRAIN] = api[DRAIN]
    ops[WORKERS] = api[WORKERS]
    ops[TESSERACT_ENGINE] = api[TESSERACT_ENGINE]
    ops[PROFILE_STORE] = api[PROFILE_STORE]
    ops[EMBEDDER], ops[RERANKER] = api[EMBEDDER], api[RERANKER]
    if VISION_ENGINE in api:
        ops[VISION_ENGINE] = api[VISION_ENGINE]
        ops[MODEL_WATCH] = api[MODEL_WATCH]
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
        fallback_engine=settings.stand_in,
        refuse_on_pressure=settings.on_pressure == "refuse",
        char_threshold=settings.char_threshold,
        open_timeout_s=settings.open_timeout_s,
        page_timeout_s=settings.page_timeout_s,
    )


def vision_policy(settings: Settings) -> VisionPolicy:
    """Pick out what the governed engine needs."""
    return VisionPolicy(
        parallel_pages=settings.parallel_pages,
        connect_s=settings.connect_s,
        first_token_s=settings.first_token_s,
        residency=ResidencyLimits(
            settings.residency_window_s, settings.main_model_pressure_mb, settings.headroom_threshold_mb
        ),
        required_mb=None if settings.on_pressure == "evict" else settings.required_vram_mb,
        pressure_wait_s=settings.pressure_wait_s,
        active_profile=settings.active_profile,
        load_mb=settings.required_vram_mb,
    )


def _watch(app: web.Application) -> None:
    metrics, admission, drain = app[METRICS], app[READER].admission, app[DRAIN]
    workers, spool, profiles = app[WORKERS], app[SPOOL], app[PROFILE_STORE]
    engines = app[READER].engines
    metrics.watch_each(
        "ocr_pages_waiting",
        "Pages that wait for their turn.",
        "engine",
        lambda: {name: one.ahead.waiting + one.turns.waiting for name, one in engines.items()},
    )
    metrics.watch_each(
        "ocr_slots_busy",
        "Pages being read.",
        "engine",
        lambda: {name: one.turns.busy for name, one in engines.items()},
    )
    metrics.watch("ocr_pages_admitted", "Pages admitted and not yet done.", lambda: admission.admitted)
    metrics.watch("ocr_documents_running", "Documents in work.", lambda: drain.running)
    metrics.watch("ocr_spool_bytes", "Bytes of documents in the spool.", lambda: spool.used_bytes)
    metrics.watch("ocr_worker_pool_replaced", "Times the worker pool broke.", lambda: workers.replaced)
    metrics.watch("ocr_profiles_loaded", "Profiles that are applied.", lambda: len(profiles.current.loaded))
    metrics.watch("ocr_profile_files_refused", "Files that are no profile.", lambda: len(profiles.current.refused))
    watch_retrieval(app)
    if VISION_ENGINE in app:
        _watch_gpu(metrics, app[VISION_ENGINE], app[VRAM_MONITOR], app[MODEL_WATCH])


def _watch_gpu(metrics: Metrics, vision: VisionEngine, monitor: VramMonitor, watch: ModelWatch) -> None:
    metrics.watch("ocr_circuit_open", "Whether model calls fail fast.", lambda: vision.circuit.holds_back)
    metrics.watch("ocr_model_ready", "Whether the model server has the model.", lambda: watch.failure is None)
    metrics.watch("ocr_vram_readable", "Whether the GPU's memory was read.", lambda: monitor.latest.query_success)
    metrics.watch_each(
        "ocr_vram_mb",
        "The GPU's memory, in MiB.",
        "kind",
        lambda: {
            "total": monitor.latest.total_mb,
            "used": monitor.latest.used_mb,
            "available": monitor.latest.available_mb,
        },
    )


async def _spool(app: web.Application) -> AsyncIterator[None]:
    app[SPOOL].open()
    yield
    app[SPOOL].close()


async def _workers(app: web.Application) -> AsyncIterator[None]:
    """Load the engine beside the service's start, so that the ports open at once; end the workers at the end."""
    async with beside(app[TESSERACT_ENGINE].keep_loading()):
        yield
    await asyncio.to_thread(app[WORKERS].stop)


async def _profiles(app: web.Application) -> AsyncIterator[None]:
    """Load the profiles before the first request, and keep them loaded."""
    await asyncio.to_thread(app[PROFILE_STORE].look)
    async with beside(app[PROFILE_STORE].keep_loading()):
        yield


async def _model(app: web.Application) -> AsyncIterator[None]:
    """Hold the session to the model server, and watch it."""
    if VISION_ENGINE not in app:
        yield
        return
    async with app[OLLAMA].open(), beside(app[MODEL_WATCH].keep_looking()):
        yield
        await app[VRAM_MONITOR].close()
