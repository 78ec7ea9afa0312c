"""Assembles embedding and reranking: the models, where they compute, their metrics, their start and end."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

from sidecar.api.app_keys import (
    EMBEDDER,
    EMBEDDERS,
    METRICS,
    PLACEMENT,
    READER,
    RERANKER,
    RERANKERS,
    RETRIEVAL_ANSWERS,
    RETRIEVAL_BODIES,
    RETRIEVAL_THREADS,
    RETRIEVAL_VRAM,
    TEXT_QUOTA,
    WORKERS,
)
from sidecar.api.texts.choice import every_retriever
from sidecar.gpu.vram_monitor import Nvml, ReadDevice, VramMonitor
from sidecar.retrieval.batch_policy import RetrievalPolicy
from sidecar.retrieval.bge import hub, models, openvino_runtime, torch_runtime
from sidecar.retrieval.bge.dense import DenseEmbedder
from sidecar.retrieval.bge.loading import COLBERT, SPARSE, LoadOptions, OpenVinoMeans
from sidecar.retrieval.cpu_threads import CpuThreads
from sidecar.retrieval.keeper import NOT_CONFIGURED, NOT_INSTALLED, KeeperMeans, ModelKeeper
from sidecar.retrieval.model import EMBED, RERANK
from sidecar.retrieval.placement import Placement, PlacementLimits
from sidecar.retrieval.retriever import (
    RetrievalMeans,
    Retriever,
    Threads,
)
from sidecar.runtime.admission import Admission, Quota
from sidecar.runtime.background import beside
from sidecar.runtime.cores import CoreLedger, usable_cores
from sidecar.runtime.daemon_thread import DaemonThread, stop_all
from sidecar.runtime.fair_slots import FairSlots
from sidecar.settings import NamedModel, Settings

M = TypeVar("M", bound=models.ModelOnCpu)

QUERY_AND_TEXT = "the query with text"
"""What a reranker failed on, in errors: either may be the reason."""
OCR_FIRST_S = 20.0
"""Longest time, in seconds, that loading these models waits for documents to be readable."""
SECONDS_A_BYTE = 1e-7
"""Retry-After of a request over the limit of all bodies: at 10 MB/s they have arrived by then."""
LAST_BATCH_S = 3.0
"""Seconds that all batches still running at the end have together; then the process ends without them."""


@dataclass(frozen=True, slots=True)
class GpuSeam:
    """How embedding and reranking access the GPU: who reads its memory (None: NVML), who finds it, and the clock."""

    read: ReadDevice | None = None
    find: Callable[[int], str | None] = torch_runtime.find_gpu
    clock: Callable[[], float] = time.monotonic


def add_retrieval(app: web.Application, settings: Settings, gpu: GpuSeam) -> None:
    """Compose embedding and reranking; on the GPU they have priority in this order, after the LLM and OCR."""
    prepare = partial(torch_runtime.prepare_thread, settings.worker_nice)
    cores = settings.retrieval_threads or usable_cores()
    threads = app[RETRIEVAL_THREADS] = Threads(
        cpu=CpuThreads(prepare, torch_runtime.compute_on),
        gpu=DaemonThread("retrieval-gpu"),
        tokens=DaemonThread("retrieval-tokens"),
    )
    # The device's own figure, never Ollama's: that may be on another machine, and ignores our copies.
    read = gpu.read or Nvml(settings.gpu_index).read
    monitor = app[RETRIEVAL_VRAM] = VramMonitor(read, _no_models, settings.gpu_total_mb, gpu.clock)
    wants_gpu = settings.retrieval_device == "auto" and settings.retrieval_backend != openvino_runtime.OPENVINO
    placement = app[PLACEMENT] = Placement(
        (*labels(settings.embedders, EMBED), *labels(settings.rerankers, RERANK)),
        monitor.read if wants_gpu else None,
        threads.gpu,
        PlacementLimits(settings.headroom_threshold_mb, settings.retrieval_gpu_overhead_mb),
        gpu.clock,
    )

    def loader(model: Callable[..., M], name: str, source: str) -> Callable[[], M]:
        def load() -> M:
            folder = hub.find_model(source)  # first: without a model nothing is imported
            torch_runtime.bound_caches()
            prepare()  # OpenVINO's threads inherit this one's priority
            found = gpu.find(settings.gpu_index) if wants_gpu else None
            means = openvino_means(settings, cores, has_gpu=bool(found))
            loaded = model(folder, LoadOptions(settings.retrieval_dtype, found, means, settings.retrieval_max_tokens))
            loaded.name = name
            return loaded

        return load

    most = settings.retrieval_max_bodies_bytes
    app[RETRIEVAL_BODIES] = Admission(most, "bytes of requests", SECONDS_A_BYTE)
    app[RETRIEVAL_ANSWERS] = Admission(most, "bytes of answers that are being sent", SECONDS_A_BYTE)
    app[TEXT_QUOTA] = Quota(settings.retrieval_key_max_items, "texts")
    workers = app[WORKERS]
    ledger = CoreLedger(usable_cores(), lambda: workers.busy)
    means = RetrievalMeans(
        retrieval_policy(settings, cores), threads, placement, app[METRICS], ledger, app[TEXT_QUOTA], FairSlots(1)
    )
    keeping = KeeperMeans(placement, app[METRICS], settings.bge_keep_alive_s, torch_runtime.reclaim_memory)

    def retrievers(named: Sequence[NamedModel], kind: str, model: Callable[..., Any]) -> dict[str, Retriever[Any, Any]]:
        made = {}
        for place, (label, one) in enumerate(zip(labels(named, kind), named, strict=True)):
            absent = _absent(one.source, settings.retrieval_backend)
            load = loader(model, label, one.source)
            keeper = ModelKeeper(label, load, absent, keeping, on_demand=place > 0)
            made[one.name] = Retriever(keeper, one.name, means, QUERY_AND_TEXT if kind == RERANK else "text")
        return made

    # BGE_M3_MODEL is BGE-M3, and an error where a part of it is missing.
    any_kind = embedding_model if settings.retrieval_models else models.Embedder
    app[EMBEDDERS] = retrievers(settings.embedders, EMBED, any_kind)
    app[RERANKERS] = retrievers(settings.rerankers, RERANK, models.Reranker)
    app[EMBEDDER] = next(iter(app[EMBEDDERS].values()))
    app[RERANKER] = next(iter(app[RERANKERS].values()))


def labels(named: Sequence[NamedModel], kind: str) -> list[str]:
    """Name the models of a kind in metrics: the first by what it does, the others by their names."""
    return [kind if place == 0 else f"{kind}:{one.name}" for place, one in enumerate(named)]


def embedding_model(folder: Path, options: LoadOptions) -> models.Embedder | DenseEmbedder:
    """Load an embedder: BGE-M3 where its heads lie beside it, else one that gives dense vectors alone."""
    is_m3 = any((folder / head).is_file() for head in (SPARSE, COLBERT))
    return models.Embedder(folder, options) if is_m3 else DenseEmbedder(folder, options)


def openvino_means(settings: Settings, cores: int, *, has_gpu: bool) -> OpenVinoMeans | None:
    """Decide whether OpenVINO computes, and how; None: torch does."""
    required = settings.retrieval_backend == openvino_runtime.OPENVINO
    may = settings.retrieval_backend == "auto" and not has_gpu and openvino_runtime.is_installed()
    return OpenVinoMeans(settings.retrieval_cache_dir.expanduser(), cores, required) if required or may else None


def _absent(source: str, backend: str) -> str | None:
    """Return why there is nothing to load, if so."""
    if not source:
        return NOT_CONFIGURED
    has_backend = backend != openvino_runtime.OPENVINO or openvino_runtime.is_installed()
    return None if hub.is_installed() and has_backend else NOT_INSTALLED


async def _no_models() -> None:
    return None


def retrieval_policy(settings: Settings, cores: int) -> RetrievalPolicy:
    """Select the settings of embedding and reranking."""
    return RetrievalPolicy(
        timeout_s=settings.retrieval_timeout_s,
        max_queued=settings.retrieval_max_queued_items,
        cpu_cores=cores,
        cpu_batch_tokens=settings.retrieval_batch_tokens,
        gpu_batch_tokens=settings.retrieval_gpu_batch_tokens,
        padding=settings.retrieval_max_padding,
        max_wait_s=settings.retrieval_max_wait_ms / 1000,
    )


async def retrieval_life(app: web.Application) -> AsyncIterator[None]:
    """Load the models once documents can be read: importing their libraries delays everything else that starts."""
    retrievers = every_retriever(app)
    async with AsyncExitStack() as stack:
        for retriever in retrievers:
            stack.callback(retriever.keeper.close)
            await stack.enter_async_context(beside(retriever.batcher.keep_working()))
            await stack.enter_async_context(beside(retriever.keeper.keep_releasing()))
        await stack.enter_async_context(beside(app[PLACEMENT].keep_placing()))
        await stack.enter_async_context(beside(_load_after_ocr(app)))
        yield
    await app[RETRIEVAL_VRAM].close()
    threads = app[RETRIEVAL_THREADS]
    await asyncio.to_thread(stop_all, (threads.tokens, threads.gpu, *threads.cpu.all), LAST_BATCH_S)


async def _load_after_ocr(app: web.Application) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(OCR_FIRST_S):
            await app[READER].loaded()
    await asyncio.gather(app[EMBEDDER].keeper.keep_loading(), app[RERANKER].keeper.keep_loading())
