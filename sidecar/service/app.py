"""The composition root: the route lists, the middleware order, and objects that live as long as the service."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

from aiohttp import web

from sidecar.api import documents, ops
from sidecar.api.app_keys import (
    AUDIT,
    CALL_GATE,
    CONNECTIONS,
    DESCRIBED,
    DRAIN,
    EMBEDDERS,
    ENGINE_TRAITS,
    JOBS_STATE,
    KEY_FILE,
    LINGERING,
    LONG_ANSWERS,
    METRICS,
    POOLS,
    PROFILE_STORE,
    PULSE,
    QUOTA,
    READER,
    RERANKERS,
    SETTINGS,
    SPOOL,
    STATE_FOLDER,
    UPLOADS,
    WORKERS,
)
from sidecar.api.connections import Connections
from sidecar.api.dialects.dialect import Dialect, Route, answering, chosen
from sidecar.api.dialects.registry import DIALECTS
from sidecar.api.jobs.routes import ROUTES as JOB_ROUTES
from sidecar.api.key_file import KeyFile
from sidecar.api.lingering import Lingering
from sidecar.api.middleware import (
    authenticate,
    deliver_in_time,
    errors_as_json,
    identify,
    invite,
    refuse_new_connections,
    refuse_packed,
    sign,
)
from sidecar.api.texts import embedding, models, presence, reranking
from sidecar.documents.spool import Spool
from sidecar.documents.upload_folder import OpenFile, UploadFolder
from sidecar.documents.upload_paths import open_upload
from sidecar.gpu.state_folder import StateFolder
from sidecar.profiles.store import ProfileStore
from sidecar.runtime.admission import Quota
from sidecar.runtime.background import beside
from sidecar.runtime.blocking_pool import BlockingPool
from sidecar.runtime.daemon_thread import DaemonThread
from sidecar.runtime.drain import Drain
from sidecar.runtime.line_file import LineFile
from sidecar.runtime.line_writer import LineWriter
from sidecar.runtime.pulse import Pulse
from sidecar.runtime.workers.pool import WorkerPool
from sidecar.service import engines
from sidecar.service.engines import EngineFactory
from sidecar.service.gauges import watch_all
from sidecar.service.jobs_wiring import add_jobs
from sidecar.service.ocr_wiring import (
    WORKERS_END_S,
    add_reader,
    heap_life,
    profiles_life,
    spool_life,
    worker_limits,
    workers_life,
)
from sidecar.service.retrieval_wiring import GpuSeam, add_retrieval, retrieval_life
from sidecar.settings import JOBS_OFF, MIB, Settings
from sidecar.telemetry import Metrics

_post = partial(web.post, expect_handler=invite)
API_ROUTES = (
    _post("/ocr-upload", documents.ocr_upload),
    _post("/ocr", documents.ocr_path),
    _post("/embed", embedding.embed),
    _post("/embed_sparse", embedding.embed_sparse),
    _post("/embed_all", embedding.embed_all),
    _post("/embeddings", embedding.v1_embeddings),
    _post("/v1/embeddings", embedding.v1_embeddings),
    _post("/rerank", reranking.rerank),
    _post("/v1/rerank", reranking.v1_rerank),
    _post("/v2/rerank", reranking.v1_rerank),
    _post("/score", reranking.score),
    _post("/v1/score", reranking.score),
    _post("/tokenize", models.tokenize),
    web.get("/info", models.get_info),
    web.get("/models", models.get_models),
    web.get("/v1/models", models.get_models),
    _post("/bge/load", presence.load),
    _post("/bge/unload", presence.unload),
    web.get("/bge/status", presence.get_status),
    web.get("/provenance", ops.get_provenance),
    web.get("/health", ops.get_health, expect_handler=invite),
    web.get("/openapi.json", ops.get_openapi),
)
OPS_ROUTES = (
    web.get("/livez", ops.get_livez),
    web.get("/readyz", ops.get_readyz),
    web.get("/metrics", ops.get_metrics),
    web.get("/profiles", ops.get_profiles),
)

AUDIT_END_S = WORKERS_END_S
"""How long the end waits for the audit file's last lines, in seconds: a disk that answers takes milliseconds. It runs
beside the end of the workers, so that the service ends no later."""
POOL_SIZES = {"uploads": 16, "profiles": 1, "keys": 1, "names": 4, "state": 2}
"""Threads for calls that may hang, by purpose: copies from the shared volume run in parallel, polls do not."""


def build_app(
    settings: Settings,
    gpu: GpuSeam | None = None,
    factories: Sequence[EngineFactory] = engines.ENGINES,
    open_file: OpenFile = open_upload,
    dialects: Sequence[Dialect] = DIALECTS,
) -> web.Application:
    """Compose the API application; nothing runs before it starts. ``open_file`` opens a file by its path.

    Raises:
        SettingsError: a key is required but missing, or a setting names an unavailable engine or dialect.
    """
    app = web.Application(
        middlewares=[identify, deliver_in_time, errors_as_json, refuse_packed, authenticate, refuse_new_connections]
    )
    app.on_response_prepare.append(sign)
    app.add_routes(API_ROUTES)
    app[SETTINGS] = settings
    app[METRICS] = Metrics()
    app[CONNECTIONS], app[LINGERING], app[PULSE] = Connections(), Lingering(), Pulse()
    app[DRAIN] = Drain(settings.max_documents)
    app[QUOTA] = Quota(settings.key_max_documents)
    app[SPOOL] = Spool(settings.spool_dir, settings.max_spool_bytes)
    app[WORKERS] = WorkerPool(worker_limits(settings))
    pools = app[POOLS] = {name: BlockingPool(name, size) for name, size in POOL_SIZES.items()}
    app[UPLOADS] = UploadFolder(settings.upload_base, settings.receive_timeout_s, pools["uploads"], open_file)
    app[PROFILE_STORE] = ProfileStore(settings.profile_dir, pool=pools["profiles"])
    if settings.audit_file:
        add_audit(app, settings.audit_file, settings)
    app.cleanup_ctx.extend([heap_life, pulse_life, spool_life, keys_life, workers_life, profiles_life])
    if settings.state_dir:
        app[STATE_FOLDER] = StateFolder(settings.state_dir, pools["state"])
        app.cleanup_ctx.append(state_life)
    add_retrieval(app, settings, gpu or GpuSeam())
    add_reader(app, settings, factories)  # adds the engines' long-lived objects
    app.cleanup_ctx.append(retrieval_life)
    add_dialects(app, chosen(settings.dialects, dialects))
    if settings.jobs != JOBS_OFF:
        add_jobs(app, settings)
        app[DESCRIBED] = (*app[DESCRIBED], *(route.described for route in JOB_ROUTES))
        app.add_routes([_route(route) for route in JOB_ROUTES])
    if settings.auth_mode == "api-key":
        app[KEY_FILE] = KeyFile.from_settings(settings)
    watch_all(app)
    return app


def add_dialects(app: web.Application, dialects: Sequence[Dialect]) -> None:
    """Serve the routes of dialects, and make what they need."""
    routes = [route for one in dialects for route in one.routes]
    app[DESCRIBED] = tuple(route.described for route in routes)
    for one in dialects:
        if one.prepare:
            one.prepare(app)
    app.add_routes([_route(route) for route in routes])


def _route(route: Route) -> web.RouteDef:
    described, handler = route.described, answering(route)
    if described.method == "GET":
        return web.get(described.path, handler, expect_handler=invite)  # and HEAD
    return web.route(described.method, described.path, handler, expect_handler=invite)


async def pulse_life(app: web.Application) -> AsyncIterator[None]:
    """Record that the event loop runs."""
    async with beside(app[PULSE].keep_beating()):
        yield


async def keys_life(app: web.Application) -> AsyncIterator[None]:
    """Poll the key file, if there is one."""
    if KEY_FILE not in app:
        yield
        return
    async with beside(app[KEY_FILE].poll(app[POOLS]["keys"])):
        yield


def add_audit(app: web.Application, path: Path, settings: Settings) -> None:
    """Write the audit file. Its end is waited for last: it has the time that all others take."""
    lines = LineFile(path, settings.audit_file_mb * MIB, settings.audit_files)
    app[AUDIT] = LineWriter(lines.append)
    app.on_shutdown.append(end_audit)
    app.cleanup_ctx.append(audit_life)


async def audit_life(app: web.Application) -> AsyncIterator[None]:
    """Try the audit file before anything is written into it, and see what is left written at the end."""
    app[AUDIT].start()
    yield
    await DaemonThread("audit-end").run(app[AUDIT].finish)


async def end_audit(app: web.Application) -> None:
    """Begin the end of the audit file: every document has been answered."""
    app[AUDIT].end(AUDIT_END_S)


async def state_life(app: web.Application) -> AsyncIterator[None]:
    """Try the state folder before anything needs it, and give its locks back at the end."""
    await app[STATE_FOLDER].open()
    yield
    app[STATE_FOLDER].close()


def build_ops_app(api: web.Application) -> web.Application:
    """Compose the ops application, which reads the API application's state from another thread."""
    app = web.Application(middlewares=[identify, deliver_in_time, errors_as_json, refuse_packed])
    app.on_response_prepare.append(sign)
    app[SETTINGS] = api[SETTINGS]
    app[METRICS] = api[METRICS]
    app[CONNECTIONS], app[LINGERING] = Connections(), Lingering()  # its own: it has another event loop
    app[PULSE] = api[PULSE]
    app[LONG_ANSWERS] = asyncio.Lock()
    app[DRAIN] = api[DRAIN]
    app[WORKERS] = api[WORKERS]
    app[ENGINE_TRAITS], app[READER] = api[ENGINE_TRAITS], api[READER]
    app[PROFILE_STORE] = api[PROFILE_STORE]
    if CALL_GATE in api:
        app[CALL_GATE] = api[CALL_GATE]
    if AUDIT in api:
        app[AUDIT] = api[AUDIT]
    if STATE_FOLDER in api:
        app[STATE_FOLDER] = api[STATE_FOLDER]
    if JOBS_STATE in api:
        app[JOBS_STATE] = api[JOBS_STATE]
    app[EMBEDDERS], app[RERANKERS] = api[EMBEDDERS], api[RERANKERS]
    app.add_routes(OPS_ROUTES)
    return app
