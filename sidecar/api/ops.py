"""The service's state: health, probes, metrics, profiles and the description of its routes."""

import asyncio
import functools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from sidecar import __version__
from sidecar.api.app_keys import (
    AUDIT,
    CALL_GATE,
    DESCRIBED,
    DRAIN,
    ENGINE_TRAITS,
    JOBS_STATE,
    LONG_ANSWERS,
    METRICS,
    PROFILE_STORE,
    PULSE,
    READER,
    RECIPES,
    SETTINGS,
    STATE_FOLDER,
    WORKERS,
)
from sidecar.api.texts.choice import every_retriever
from sidecar.documents.pdf import Pdf
from sidecar.errors import UnknownProfileError
from sidecar.ocr import health
from sidecar.ocr.engine import ReadOrder
from sidecar.profiles.payload import CANONICAL_MODEL
from sidecar.profiles.precedence import instruct
from sidecar.profiles.store import Profiles
from sidecar.runtime.capability import Capability
from sidecar.wire import common, status
from sidecar.wire.common import JSON
from sidecar.wire.dialects.described import Described
from sidecar.wire.openapi import openapi_document
from sidecar.wire.receipts.provenance import provenance_body


def _readable(app: web.Application) -> Capability:
    """Return whether documents can be read now."""
    return health.ocr_capability(facts_of(app))


def facts_of(app: web.Application) -> health.Facts:
    """Gather the facts that decide about health."""
    configured, policy = app[READER].engines, app[READER].policy
    names = [one.name for one in app[ENGINE_TRAITS]]
    return health.Facts(
        stopping=app[DRAIN].draining,
        workers_alive=app[WORKERS].alive,
        engines={name: configured[name].capability if name in configured else health.missing(name) for name in names},
        default_engine=policy.default_engine,
        fallback_engine=policy.fallback_engine,
        still_s=app[PULSE].still_s,
        stall_s=app[SETTINGS].stall_s,
    )


async def get_health(request: web.Request) -> web.Response:
    """Answer the backend: any 2xx means that documents can be read."""
    settings = request.app[SETTINGS]
    request.app[PULSE].beat()  # this runs in the event loop
    readable = _readable(request.app)
    model_urls = list(settings.model_server_names)
    body = status.HealthBody(
        status="ok" if readable.ready else readable.state,
        engine=CANONICAL_MODEL,
        ocr_model=settings.ocr_model,
        ollama_url=next(iter(model_urls), None) if settings.model_api == "ollama" else None,
        model_api=settings.model_api,
        model_urls=model_urls,
        ocr_engine=request.app[READER].policy.default_engine,
        version=__version__,
        reasons=[readable.reason] if readable.reason else [],
        learned_needs=_learned_needs(request.app),
    )
    return web.Response(status=200 if readable.ready else 503, body=common.render(body), content_type=JSON)


def _learned_needs(app: web.Application) -> list[status.LearnedNeedBody]:
    if CALL_GATE not in app:
        return []
    return [
        status.LearnedNeedBody(
            model=one.key.model,
            num_ctx=one.key.num_ctx,
            longest_side=one.key.longest_side,
            idle_mb=one.idle.mb if one.idle else None,
            need_mb=app[CALL_GATE].book.seen(one),
        )
        for one in app[CALL_GATE].book.all()
    ]


async def get_provenance(request: web.Request) -> web.Response:
    """Tell how pages would be read now, for whoever wants to know which texts are out of date."""
    app, settings = request.app, request.app[SETTINGS]
    name = request.query.get("profile") or None
    profile = app[PROFILE_STORE].current.get(name or settings.default_profile)
    if name and profile is None:
        raise UnknownProfileError(f"profile is {name[:80]!r}, no profile of that name is published")
    instructions = instruct(profile, settings.ocr_model, recipes=app[RECIPES])
    order = ReadOrder(Path(), settings.page_timeout_s, settings.languages, instructions)
    body = provenance_body(profile, app[READER].engines.values(), order, Pdf.library)
    return web.Response(body=common.render(body), content_type=JSON)


async def get_openapi(request: web.Request) -> web.Response:
    """Describe the API port."""
    asks_for_keys = request.app[SETTINGS].auth_mode == "api-key"
    body = _description(request.app[DESCRIBED], asks_for_keys=asks_for_keys)
    return web.Response(body=body, content_type=JSON)


@functools.cache
def _description(dialects: tuple[Described, ...], *, asks_for_keys: bool) -> bytes:
    """Write the description once: it takes a tenth of a second, and needs no key."""
    return json.dumps(openapi_document(dialects, asks_for_keys=asks_for_keys)).encode()


async def get_livez(request: web.Request) -> web.Response:
    """Tell the kubelet whether to leave the process running."""
    reason = health.death(facts_of(request.app))
    if reason:
        return web.json_response({"status": "dead", "reason": reason}, status=503)
    return web.json_response({"status": "ok"})


async def get_readyz(request: web.Request) -> web.Response:
    """Tell for each capability whether it is available; 200 if documents can be read."""
    facts, profiles = facts_of(request.app), request.app[PROFILE_STORE].current
    readable = health.ocr_capability(facts)
    retrievers = every_retriever(request.app)
    capabilities = {"ocr": readable, **{one.name: one.capability for one in retrievers}}
    body = {
        **{name: _render_capability(one) for name, one in capabilities.items()},
        "engines": {name: _render_capability(one) for name, one in facts.engines.items()},
        "sandbox": request.app[WORKERS].confined_by,
        "state": _state(request.app),
        "audit": _audit(request.app),
        "lease": _lease(request.app),
        "jobs": _jobs(request.app),
        "profiles": {"loaded": len(profiles.loaded), "refused": profiles.refused},
    }
    return web.json_response(body, status=200 if readable.ready else 503)


def _state(app: web.Application) -> dict[str, str | None]:
    """Tell whether what should outlive the process is kept."""
    if STATE_FOLDER not in app:
        return {"state": "off", "reason": None}
    failure = app[STATE_FOLDER].failure
    return {"state": "failed" if failure else "ready", "reason": failure}


def _audit(app: web.Application) -> dict[str, object]:
    """Tell whether the audit file is written, and how many lines are missing in it."""
    if AUDIT not in app:
        return {"state": "off", "reason": None, "lostLines": 0}
    writer = app[AUDIT]
    return {
        "state": "failed" if writer.failure else "ready",
        "reason": writer.failure,
        "lostLines": writer.lost,
    }


def _jobs(app: web.Application) -> dict[str, str | None]:
    """Tell whether the queue of jobs can be used; without it documents are read all the same."""
    if JOBS_STATE not in app:
        return {"state": "off", "reason": None}
    failure = app[JOBS_STATE].failure
    return {"state": "failed" if failure else "ready", "reason": failure}


def _lease(app: web.Application) -> dict[str, object]:
    """Tell where the lease of the GPU is, and what is owed."""
    lease = app[CALL_GATE].lease if CALL_GATE in app else None
    if lease is None:
        return {"phase": "off", "reason": None, "owed": [], "forgiven": [], "awaySeconds": None}
    return {
        "phase": lease.state.phase.value,
        "reason": lease.obstacle or lease.state.refusal,
        "owed": [one.name for one in lease.state.owed],
        "forgiven": list(lease.forgiven),
        "awaySeconds": None if lease.away_s is None else round(lease.away_s, 1),
    }


def _render_capability(capability: Capability) -> dict[str, str | None]:
    return {"state": capability.state, "reason": capability.reason}


@asynccontextmanager
async def in_turn(app: web.Application) -> AsyncIterator[None]:
    """Let one long answer be written in each turn of the event loop, however many ask, so that probes come between."""
    async with app[LONG_ANSWERS]:
        yield
        await asyncio.sleep(0)


async def get_profiles(request: web.Request) -> web.Response:
    """List the applied profiles, and the files that could not be applied."""
    async with in_turn(request.app):
        body = common.render(_profiles_body(request.app[PROFILE_STORE].current))
    return web.Response(body=body, content_type=JSON)


def _profiles_body(profiles: Profiles) -> status.ProfilesBody:
    return status.ProfilesBody(
        profiles=[
            status.LoadedProfileBody(
                name=one.profile.name,
                revision=one.profile.revision,
                content_revision=one.content_revision,
                generation=one.profile.generation,
                loaded_at=one.loaded_at,
            )
            for one in profiles.loaded.values()
        ],
        refused=[status.RefusedProfileBody(file=file, reason=reason) for file, reason in profiles.refused.items()],
    )


async def get_metrics(request: web.Request) -> web.Response:
    """Show the metrics in Prometheus' text format."""
    async with in_turn(request.app):
        body = request.app[METRICS].render()
    return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
