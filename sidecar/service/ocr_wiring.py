"""Assembles the reading of documents: spool, workers, profiles, engines; their start and end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from aiohttp import web

from sidecar.api.app_keys import ENGINE_TRAITS, PROFILE_STORE, READER, RECIPES, SPOOL, WORKERS
from sidecar.documents.document import DocumentLimits
from sidecar.evidence.confidence import QualityLimits
from sidecar.ocr.job import ReadPolicy
from sidecar.ocr.reader import DocumentReader
from sidecar.profiles.recipe import RecipeBook
from sidecar.profiles.recipe_files import RecipeError, book_with
from sidecar.runtime import heap
from sidecar.runtime.admission import Admission
from sidecar.runtime.background import beside
from sidecar.runtime.cores import usable_cores
from sidecar.runtime.daemon_thread import DaemonThread
from sidecar.runtime.workers.pool import WorkerLimits
from sidecar.service.engines import EngineFactory, check_engines, default_engine
from sidecar.settings import Settings, SettingsError

WORKERS_END_S = 2.0
"""Longest wait for workers to die, in seconds: killing takes milliseconds, and some cannot be killed."""


def add_reader(app: web.Application, settings: Settings, factories: Sequence[EngineFactory]) -> None:
    """Compose the use case with the configured engines.

    Raises:
        SettingsError: a setting names an unavailable engine.
    """
    traits = app[ENGINE_TRAITS] = tuple(factory.traits for factory in factories)
    check_engines(settings, traits)
    app[RECIPES] = recipe_book(settings)
    limits = DocumentLimits(settings.max_page_pixels, settings.max_stream_bytes, settings.dpi)
    built = {factory.traits.name: engine for factory in factories if (engine := factory.build(app, limits))}
    policy = read_policy(settings, default_engine(settings, traits, built))
    app[READER] = DocumentReader(app[WORKERS], built, Admission(settings.max_queued_pages), limits, policy)


def recipe_book(settings: Settings) -> RecipeBook:
    """Read the recipes: ours, and the one that a setting names.

    Raises:
        SettingsError: there is no such recipe, or it is none.
    """
    try:
        return book_with(settings.recipe)
    except RecipeError as exc:
        raise SettingsError(str(exc)) from exc


def worker_limits(settings: Settings) -> WorkerLimits:
    """Decide the number of workers, and the limits of each."""
    return WorkerLimits(
        count=settings.workers or usable_cores(),
        memory_bytes=settings.worker_memory_mb * 1024 * 1024,
        tasks=settings.worker_tasks,
        nice=settings.worker_nice,
    )


def read_policy(settings: Settings, engine: str) -> ReadPolicy:
    """Select the use case's settings; ``engine`` is the one that ``auto`` means."""
    return ReadPolicy(
        default_engine=engine,
        fallback_engine=settings.fallback,
        refuse_on_pressure=settings.on_pressure == "refuse",
        char_threshold=settings.char_threshold,
        open_timeout_s=settings.open_timeout_s,
        second_engine=settings.second,
        quality=QualityLimits(settings.quality_low, settings.quality_high),
    )


async def heap_life(_: web.Application) -> AsyncIterator[None]:
    """Keep the process's memory from growing with the largest peak of each of its threads."""
    heap.bound()
    async with beside(heap.keep_trimmed()):
        yield


async def spool_life(app: web.Application) -> AsyncIterator[None]:
    """Provide a folder for documents, and empty it at the end."""
    app[SPOOL].open()
    yield
    app[SPOOL].close()


async def workers_life(app: web.Application) -> AsyncIterator[None]:
    """End the workers at the end; the first task starts them."""
    yield
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(WORKERS_END_S):
            await DaemonThread("workers-end").run(app[WORKERS].stop)


async def profiles_life(app: web.Application) -> AsyncIterator[None]:
    """Load the profiles before the first request, and keep them loaded."""
    await app[PROFILE_STORE].look_in_time()
    async with beside(app[PROFILE_STORE].keep_loading()):
        yield
