"""Puts reading documents together: spool, workers, profiles, engines; and their life."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from sidecar.api.app_keys import (
    MODEL_WATCH,
    OLLAMA,
    PLACEMENT,
    POOLS,
    PROFILE_STORE,
    READER,
    SETTINGS,
    SPOOL,
    TESSERACT_ENGINE,
    VISION_ENGINE,
    VRAM_MONITOR,
    WORKERS,
)
from sidecar.documents.document import DocumentLimits
from sidecar.engines.model_watch import ModelWatch
from sidecar.engines.ollama import Ollama
from sidecar.engines.tesseract import TesseractEngine
from sidecar.engines.vision import PageDrawer, VisionEngine, VisionPolicy
from sidecar.gpu.residency_policy import ResidencyLimits
from sidecar.gpu.vram_monitor import DeviceMemory, Nvml, VramMonitor
from sidecar.ocr.engine import NP_DMS_OCR, TESSERACT, OcrEngine
from sidecar.ocr.reader import DocumentReader, ReadPolicy
from sidecar.runtime.admission import Admission
from sidecar.runtime.background import beside
from sidecar.runtime.cores import usable_cores
from sidecar.runtime.daemon_thread import ComputeThread
from sidecar.runtime.worker_pool import WorkerLimits
from sidecar.settings import Settings

WORKERS_END_S = 2.0
"""Workers are killed, which takes milliseconds; one that cannot be is not waited for any longer, in seconds."""


def add_reader(app: web.Application, settings: Settings) -> None:
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
    ollama = app[OLLAMA] = Ollama(url, settings.connect_s, names=app[POOLS]["names"])
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


async def spool_life(app: web.Application) -> AsyncIterator[None]:
    """Have a folder for documents, and leave nothing in it."""
    app[SPOOL].open()
    yield
    app[SPOOL].close()


async def workers_life(app: web.Application) -> AsyncIterator[None]:
    """Load the engine beside the service's start, so that the ports open at once; end the workers at the end."""
    async with beside(app[TESSERACT_ENGINE].keep_loading()):
        yield
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(WORKERS_END_S):
            await ComputeThread("workers-end").run(app[WORKERS].stop)


async def profiles_life(app: web.Application) -> AsyncIterator[None]:
    """Load the profiles before the first request, and keep them loaded."""
    await app[PROFILE_STORE].look_in_time()
    async with beside(app[PROFILE_STORE].keep_loading()):
        yield


async def model_life(app: web.Application) -> AsyncIterator[None]:
    """Hold the session to the model server, and watch it."""
    if VISION_ENGINE not in app:
        yield
        return
    async with app[OLLAMA].open(), beside(app[MODEL_WATCH].keep_looking()):
        yield
        await app[VRAM_MONITOR].close()
