"""The application's typed keys: each long-lived object has one key here, and no other name."""

import asyncio
from collections.abc import Hashable

from aiohttp import web

from sidecar.api.connections import Connections
from sidecar.api.jobs.state import JobsState
from sidecar.api.key_file import KeyFile
from sidecar.api.key_ring import Caller
from sidecar.api.lingering import Lingering
from sidecar.documents.spool import Spool
from sidecar.documents.upload_folder import UploadFolder
from sidecar.gpu.call_gate import CallGate
from sidecar.gpu.state_folder import StateFolder
from sidecar.gpu.vram_monitor import VramMonitor
from sidecar.jobs.jetstream.records import Records
from sidecar.jobs.jobs import Jobs
from sidecar.jobs.shared_reading import SharedReader
from sidecar.ocr.engine import EngineTraits
from sidecar.ocr.reader import DocumentReader
from sidecar.profiles.recipe import RecipeBook
from sidecar.profiles.store import ProfileStore
from sidecar.retrieval.model import Embedding
from sidecar.retrieval.placement import Placement
from sidecar.retrieval.retriever import Retriever, Threads
from sidecar.runtime.admission import Admission, Quota
from sidecar.runtime.blocking_pool import BlockingPool
from sidecar.runtime.drain import Drain
from sidecar.runtime.line_writer import LineWriter
from sidecar.runtime.pulse import Pulse
from sidecar.runtime.workers.pool import WorkerPool
from sidecar.settings import Settings
from sidecar.telemetry import Metrics
from sidecar.wire.dialects.described import Described

SETTINGS = web.AppKey("SETTINGS", Settings)
METRICS = web.AppKey("METRICS", Metrics)
CONNECTIONS = web.AppKey("CONNECTIONS", Connections)
LINGERING = web.AppKey("LINGERING", Lingering)
LONG_ANSWERS = web.AppKey("LONG_ANSWERS", asyncio.Lock)
"""Held while an answer of the ops port is written that takes milliseconds."""
PULSE = web.AppKey("PULSE", Pulse)
KEY_FILE = web.AppKey("KEY_FILE", KeyFile)
DRAIN = web.AppKey("DRAIN", Drain)
QUOTA = web.AppKey("QUOTA", Quota)
SPOOL = web.AppKey("SPOOL", Spool)
UPLOADS = web.AppKey("UPLOADS", UploadFolder)
POOLS = web.AppKey("POOLS", dict[str, BlockingPool])
WORKERS = web.AppKey("WORKERS", WorkerPool)
PROFILE_STORE = web.AppKey("PROFILE_STORE", ProfileStore)
ENGINE_TRAITS: web.AppKey[tuple[EngineTraits, ...]] = web.AppKey("ENGINE_TRAITS", tuple)
"""The traits of all engines, including those that are not configured."""
RECIPES = web.AppKey("RECIPES", RecipeBook)
READER = web.AppKey("READER", DocumentReader)
SHARED_READER = web.AppKey("SHARED_READER", SharedReader)
"""Only where OCR_SYNC_OVER_JOBS is on."""
DESCRIBED: web.AppKey[tuple[Described, ...]] = web.AppKey("DESCRIBED", tuple)
"""The routes of the dialects that are on."""
CALL_GATE = web.AppKey("CALL_GATE", CallGate)
"""Only where a model server is configured."""
STATE_FOLDER = web.AppKey("STATE_FOLDER", StateFolder)
"""Only where OCR_STATE_DIR is set."""
AUDIT = web.AppKey("AUDIT", LineWriter)
"""Only where OCR_AUDIT_FILE is set."""
EMBEDDER = web.AppKey("EMBEDDER", Retriever[str, Embedding])
RERANKER = web.AppKey("RERANKER", Retriever[tuple[str, str], float])
EMBEDDERS: web.AppKey[dict[str, Retriever[str, Embedding]]] = web.AppKey("EMBEDDERS", dict)
"""All by their names for callers; EMBEDDER is the first."""
RERANKERS: web.AppKey[dict[str, Retriever[tuple[str, str], float]]] = web.AppKey("RERANKERS", dict)
PLACEMENT = web.AppKey("PLACEMENT", Placement)
RETRIEVAL_VRAM = web.AppKey("RETRIEVAL_VRAM", VramMonitor)
RETRIEVAL_BODIES = web.AppKey("RETRIEVAL_BODIES", Admission)
RETRIEVAL_ANSWERS = web.AppKey("RETRIEVAL_ANSWERS", Admission)
TEXT_QUOTA = web.AppKey("TEXT_QUOTA", Quota)
RETRIEVAL_THREADS = web.AppKey("RETRIEVAL_THREADS", Threads)
JOBS = web.AppKey("JOBS", Jobs)
"""Only where OCR_JOBS is not off."""
JOBS_STATE = web.AppKey("JOBS_STATE", JobsState)
"""Likewise."""
CALLS_LOGS = web.AppKey("CALLS_LOGS", Records)
"""Likewise: what became of the calls to jobs' owners."""

REQUEST_ID = web.RequestKey("REQUEST_ID", str)
LOAD_SECONDS = web.RequestKey("LOAD_SECONDS", float)
"""How long the request waited for a released model to come back."""
BACKEND = web.RequestKey("BACKEND", str)
"""Which library computed the answer."""
LISTS_PROBLEMS = web.RequestKey("LISTS_PROBLEMS", bool)
"""Whether the caller's client reads what is wrong with a request as a list."""
CALLER = web.RequestKey("CALLER", Caller)
"""Whose key came with the request; in network mode there is none."""


def caller_of(request: web.Request) -> Hashable:
    """Return what distinguishes callers; in network mode all are the same caller."""
    caller = request.get(CALLER)
    return caller and caller.identity
