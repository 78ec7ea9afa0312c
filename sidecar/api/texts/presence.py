"""Loads and releases the models, and tells which are in memory: the routes of the service that this one replaces."""

import asyncio
from typing import Any

from aiohttp import web

from sidecar.api.app_keys import DRAIN, EMBEDDER, RERANKER, SETTINGS
from sidecar.api.texts.choice import every_retriever
from sidecar.errors import EngineUnavailableError, NotConfiguredError
from sidecar.retrieval.batch_policy import TIMEOUTS
from sidecar.retrieval.keeper import BY_REQUEST, NOT_CONFIGURED, ModelKeeper
from sidecar.wire import common, status
from sidecar.wire.common import JSON

Keepers = tuple[ModelKeeper[Any], ...]


async def load(request: web.Request) -> web.Response:
    """Load what is configured, and wait for it."""
    async with request.app[DRAIN].request():
        keepers = _keepers(request.app)
        wanted = [one for one in keepers if one.absent != NOT_CONFIGURED] or keepers
        patience_s = request.app[SETTINGS].retrieval_timeout_s * TIMEOUTS
        errors = await asyncio.gather(*(_failure(one, patience_s) for one in wanted))
    if failed := [error for error in errors if error]:
        waits_s = [error.retry_after_s for error in failed if error.retry_after_s is not None]
        is_absent = all(isinstance(error, NotConfiguredError) for error in failed)
        kind = NotConfiguredError if is_absent else EngineUnavailableError
        raise kind("; ".join(error.detail for error in failed), retry_after_s=max(waits_s, default=None))
    return _state("loaded", keepers)


async def _failure(keeper: ModelKeeper[Any], within_s: float) -> EngineUnavailableError | None:
    try:
        await keeper.load_now(within_s)
    except EngineUnavailableError as error:
        return error
    return None


async def unload(request: web.Request) -> web.Response:
    """Release all, and wait for it: for the calls that use them, and the memory. There is nothing to refuse."""
    keepers = _keepers(request.app)
    patience_s = request.app[SETTINGS].retrieval_timeout_s
    every = [one.keeper for one in every_retriever(request.app)]
    gone = await asyncio.gather(*(one.release(BY_REQUEST, patience_s) for one in every))
    return _state("unloaded" if all(gone) else "unloading", keepers)


async def get_status(request: web.Request) -> web.Response:
    """Tell what is in memory, and when it leaves."""
    embedder, reranker = _keepers(request.app)
    keep_alive_s = request.app[SETTINGS].bge_keep_alive_s
    idle_s = min((one.idle_s for one in (embedder, reranker) if one.idle_s is not None), default=None)
    body = status.BgeStatusBody(
        bge_loaded=embedder.model is not None,
        reranker_loaded=reranker.model is not None,
        keep_alive_seconds=keep_alive_s,
        idle_seconds=idle_s,
        auto_unload_in=None if idle_s is None or not keep_alive_s else max(0.0, keep_alive_s - idle_s),
    )
    return web.Response(body=common.render(body), content_type=JSON)


def _keepers(app: web.Application) -> Keepers:
    return app[EMBEDDER].keeper, app[RERANKER].keeper


def _state(word: str, keepers: Keepers) -> web.Response:
    embedder, reranker = (one.model is not None for one in keepers)
    body = status.BgeStateBody(status=word, bge_loaded=embedder, reranker_loaded=reranker)
    return web.Response(body=common.render(body), content_type=JSON)
