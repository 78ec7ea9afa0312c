"""The gauges, which read their values from running parts: queues, slots, the spool, the GPU."""

from collections.abc import Callable
from functools import partial
from typing import Any

from aiohttp import web

from sidecar.api.app_keys import (
    AUDIT,
    CONNECTIONS,
    DRAIN,
    METRICS,
    PLACEMENT,
    POOLS,
    PROFILE_STORE,
    PULSE,
    READER,
    SPOOL,
    WORKERS,
)
from sidecar.api.texts.choice import every_retriever
from sidecar.engines.model_servers import ModelServer
from sidecar.engines.vision import VisionEngine
from sidecar.gpu.lease.lease import GpuLease
from sidecar.gpu.lease.state import Phase
from sidecar.gpu.vram_monitor import VramMonitor
from sidecar.ocr.engine import OcrEngine
from sidecar.retrieval.bge.openvino_runtime import OPENVINO
from sidecar.retrieval.keeper import ModelKeeper
from sidecar.retrieval.retriever import Retriever
from sidecar.runtime.blocking_pool import BlockingPool
from sidecar.telemetry import Metrics


def watch_all(app: web.Application) -> None:
    """Register the gauges of all parts of the service."""
    metrics, admission, drain = app[METRICS], app[READER].admission, app[DRAIN]
    workers, spool, profiles = app[WORKERS], app[SPOOL], app[PROFILE_STORE]
    engines = app[READER].engines
    metrics.watch_each(
        "ocr_pages_waiting",
        "Pages that wait for a slot.",
        "engine",
        {name: partial(_pages_waiting, engine) for name, engine in engines.items()},
    )
    metrics.watch_each(
        "ocr_slots_busy",
        "Pages being read.",
        "engine",
        {name: partial(_pages_in_work, engine) for name, engine in engines.items()},
    )
    metrics.watch("ocr_pages_admitted", "Pages admitted and not yet done.", lambda: admission.admitted)
    metrics.watch("ocr_documents_running", "Documents in work.", lambda: drain.running)
    connections, pulse = app[CONNECTIONS], app[PULSE]
    metrics.watch("ocr_connections", "Open connections of the API port.", lambda: connections.open)
    metrics.watch("ocr_connections_shed", "Idle connections closed for others.", lambda: connections.shed)
    metrics.watch("ocr_event_loop_still_seconds", "Time since the event loop turned.", lambda: pulse.still_s)
    metrics.watch("ocr_spool_bytes", "Bytes of documents in the spool.", lambda: spool.used_bytes)
    metrics.watch("ocr_worker_pool_replaced", "Times the worker pool broke.", lambda: workers.replaced)
    metrics.watch("ocr_profiles_loaded", "Profiles that are applied.", lambda: len(profiles.current.loaded))
    metrics.watch("ocr_profile_files_refused", "Files that are no profile.", lambda: len(profiles.current.refused))
    metrics.watch_each(
        "ocr_stuck_calls",
        "Calls that have not returned although nobody waits for them.",
        "place",
        {name: partial(_stuck, pool) for name, pool in app[POOLS].items()},
    )
    if AUDIT in app:
        audit = app[AUDIT]
        metrics.watch("ocr_audit_lines_waiting", "Lines on their way to the audit file.", lambda: audit.waiting)
        metrics.watch("ocr_audit_lines_lost", "Lines that the audit file lacks.", lambda: audit.lost)
    watch_retrieval(app)


def _pages_waiting(engine: OcrEngine) -> int:
    return engine.prepare_slots.waiting + engine.read_slots.waiting


def _stuck(pool: BlockingPool) -> int:
    return pool.stuck


def _pages_in_work(engine: OcrEngine) -> int:
    return engine.read_slots.busy


def watch_model(metrics: Metrics, vision: VisionEngine, monitor: VramMonitor) -> None:
    """Show the model servers' states, and how full the GPU is."""
    servers = vision.servers
    metrics.watch("ocr_circuit_open", "Whether model calls fail fast.", lambda: servers.hold_back)
    metrics.watch("ocr_model_ready", "Whether a model server has the model.", lambda: servers.any_has_model)
    metrics.watch_each(
        "ocr_model_server_ready",
        "Whether this model server can be called.",
        "server",
        {one.name: partial(_can_be_called, one) for one in servers.all},
    )
    gate = vision.gate
    metrics.watch(
        "ocr_required_vram_mb",
        "What the last model call was held to, in MiB.",
        lambda: gate.latest_required.mb if gate.latest_required else 0,
    )
    metrics.watch(
        "ocr_required_vram_learned",
        "Whether that was seen, and not estimated.",
        lambda: bool(gate.latest_required and gate.latest_required.is_seen),
    )
    if gate.lease:
        watch_lease(metrics, gate.lease)
    metrics.watch("ocr_vram_readable", "Whether the GPU's memory was read.", lambda: monitor.latest.query_success)
    metrics.watch_each(
        "ocr_vram_mb",
        "The GPU's memory, in MiB.",
        "kind",
        {
            "total": lambda: monitor.latest.total_mb,
            "used": lambda: monitor.latest.used_mb,
            "available": lambda: monitor.latest.available_mb,
        },
    )


def _can_be_called(server: ModelServer) -> bool:
    return server.failure is None


def watch_lease(metrics: Metrics, lease: GpuLease) -> None:
    """Show where the lease is, how long the LLM has been away, and how often what happened."""
    metrics.watch_each(
        "ocr_lease_phase",
        "1 for the phase in which the lease is.",
        "phase",
        {phase.value: partial(_is_in, lease, phase) for phase in Phase},
    )
    metrics.watch("ocr_lease_owed_models", "Models to be loaded again.", lambda: len(lease.state.owed))
    metrics.watch("ocr_lease_away_seconds", "Time since the LLM was sent away.", lambda: lease.away_s or 0)
    metrics.watch("ocr_leases_taken", "Times the GPU was borrowed.", lambda: lease.counts.taken)
    metrics.watch("ocr_leases_refused", "Pages that got no lease.", lambda: lease.counts.refused)
    metrics.watch("ocr_lease_failed_loads", "Loads of what is owed that failed.", lambda: lease.counts.failed_loads)
    metrics.watch("ocr_lease_forgiven_models", "Models owed and not loaded any more.", lambda: lease.counts.forgiven)


def _is_in(lease: GpuLease, phase: Phase) -> bool:
    return lease.state.phase is phase


def watch_retrieval(app: web.Application) -> None:
    """Show of each model its queue, whether it is ready, and where and by what it is computed."""
    metrics = app[METRICS]
    retrievers = {one.name: one for one in every_retriever(app)}
    shown: dict[str, tuple[str, Callable[[Retriever[Any, Any]], float]]] = {
        "retrieval_texts_waiting": ("Texts that wait for a batch.", lambda one: one.batcher.waiting),
        "retrieval_model_ready": ("Whether the model can be asked.", lambda one: one.capability.ready),
        "retrieval_on_gpu": (
            "Whether the model has a copy on the GPU.",
            lambda one: app[PLACEMENT].is_on_gpu(one.name),
        ),
        "retrieval_model_loaded": ("Whether the model is in memory.", lambda one: one.keeper.loaded.is_set()),
        "retrieval_on_openvino": ("Whether OpenVINO computes the model.", lambda one: _is_openvino(one.keeper)),
    }
    for name, (documentation, read) in shown.items():
        metrics.watch_each(
            name, documentation, "model", {label: partial(read, one) for label, one in retrievers.items()}
        )


def _is_openvino(keeper: ModelKeeper[Any]) -> bool:
    return keeper.limits is not None and keeper.limits.backend == OPENVINO
