"""One request with texts: read, parsed, computed, written; the memory it takes; the fields that were ignored."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from sidecar.api import deliver, receive
from sidecar.api.app_keys import (
    BACKEND,
    DRAIN,
    LOAD_SECONDS,
    METRICS,
    RETRIEVAL_ANSWERS,
    RETRIEVAL_BODIES,
    SETTINGS,
    TEXT_QUOTA,
    caller_of,
)
from sidecar.api.receive import read_body
from sidecar.ocr.warning_codes import WarningCode
from sidecar.wire import retrieval
from sidecar.wire.body import Form, parse_any
from sidecar.wire.common import IGNORED_HEADER, JSON, names_in_header

Body = dict[str, Any]
Compute = Callable[[web.Request, Any], Awaitable[object]]
"""Computes the answer to one form of request."""
Forms = Mapping[type[Form], Compute]
"""The forms that a route accepts; the first applies if no field tells which one it is."""
LOAD_HEADER, BACKEND_HEADER = "X-Model-Load-Seconds", "X-Retrieval-Backend"


async def answer(request: web.Request, forms: Forms) -> web.StreamResponse:
    """Read, parse, compute, write. The memory of the request and of its answer is counted until the end."""
    settings = request.app[SETTINGS]
    limit, caller = settings.retrieval_max_body_bytes, caller_of(request)
    receive.refuse_length(request, limit, limit)
    request.app[TEXT_QUOTA].refuse_if_exhausted(caller)
    bodies, answers = request.app[RETRIEVAL_BODIES], request.app[RETRIEVAL_ANSWERS]
    async with request.app[DRAIN].request():
        with bodies.growing(caller) as held, answers.growing(caller) as sent:
            async with receive.receiving(settings.receive_timeout_s):
                body = await read_body(request, limit, held.take)
            parsed = parse_any(tuple(forms), body, settings.retrieval_max_items)
            computed = retrieval.render(await forms[type(parsed.asked)](request, parsed.asked))
            sent.take_anyway(len(computed))
            headers = _ignored(request, parsed.ignored) | _computed(request)
            return await deliver.deliver(request, computed, JSON, settings.receive_timeout_s, headers)


def _computed(request: web.Request) -> dict[str, str]:
    """Tell what computed the answer, and how long it took the model to come back if it had been released."""
    load_s, backend = request.get(LOAD_SECONDS, 0.0), request.get(BACKEND, "")
    told = {LOAD_HEADER: f"{load_s:.3f}" if load_s else "", BACKEND_HEADER: backend}
    return {name: value for name, value in told.items() if value}


def _ignored(request: web.Request, names: tuple[str, ...]) -> dict[str, str]:
    """Name the fields that were ignored in a header, and count the request."""
    if not names:
        return {}
    request.app[METRICS].warnings.labels(WarningCode.UNKNOWN_FIELD).inc()
    return {IGNORED_HEADER: names_in_header(names)}
