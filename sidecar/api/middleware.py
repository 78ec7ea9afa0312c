"""Middleware of every request: its id, one log line and the metrics; errors as JSON; authentication."""

import asyncio
import logging
import time
import uuid
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import LineTooLong
from aiohttp.typedefs import Handler
from pydantic import BaseModel

from sidecar.api import deliver
from sidecar.api.app_keys import (
    CALLER,
    CONNECTIONS,
    DRAIN,
    KEY_FILE,
    LINGERING,
    LISTS_PROBLEMS,
    METRICS,
    REQUEST_ID,
    SETTINGS,
)
from sidecar.api.lingering import Lingering
from sidecar.errors import (
    BadRequestError,
    SidecarError,
    TooLargeError,
    UnauthorizedError,
    UnsupportedMediaError,
)
from sidecar.telemetry import Metrics
from sidecar.wire import common

log = logging.getLogger(__name__)
access_log = logging.getLogger("sidecar.access")

API_KEY_HEADER = "X-API-Key"
REQUEST_ID_HEADER = "X-Request-Id"
MAX_REQUEST_ID_CHARS = 128
MALFORMED = "this is not HTTP/1.1: a header, the request's first line or the body's framing is malformed"
EXPECTATION = "only 100-continue may be expected"
TOO_LONG = "the path or a header is too long, 8190 bytes are accepted"
OPEN_PATHS = frozenset({"/health", "/openapi.json"})
"""Paths of the API port that reveal nothing confidential."""


@web.middleware
async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request an id, log one line for it, and count it."""
    request_id = request_id_of(request.headers.get(REQUEST_ID_HEADER))
    request[REQUEST_ID] = request_id
    started = time.monotonic()
    status = 499  # the caller disconnected: nginx's status for that
    try:
        with request.config_dict[CONNECTIONS].working(request.transport):
            response = await handler(request)
        status = response.status
    except ConnectionError as exc:
        # The caller left while the answer was written. As if that had cancelled the request: aiohttp logs other
        # exceptions with their traceback, and any caller could fill the log with them.
        raise asyncio.CancelledError from exc
    else:
        return response
    finally:
        _record(request, request_id, status, time.monotonic() - started)


@web.middleware
async def deliver_in_time(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Write every answer in bounded time, and do not read what its caller still sends.

    A connection counts as idle once its short answer is there: a caller that does not read it must not keep it.
    """
    response = await handler(request)
    if request.transport:
        request.config_dict[CONNECTIONS].rests(request.transport)
    await deliver.finish(request, response, request.config_dict[SETTINGS].receive_timeout_s)
    if request.transport and not request.content.is_eof():
        await request.config_dict[LINGERING].linger(request.transport)
    return response


async def sign(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Put the request's id on every answer, and a server name without versions.

    While the service stops, each answer closes its connection: a caller that reused it would find it closed, and a new
    one reaches another pod.
    """
    request_id = request.get(REQUEST_ID) or request_id_of(None)
    if isinstance(request, web.Request) and isinstance(response, web.HTTPExpectationFailed):
        _refuse_expectation(request.config_dict[METRICS], response, request_id)
    response.headers[REQUEST_ID_HEADER] = request_id
    response.headers["Server"] = common.OWNER
    if isinstance(request, web.Request) and request.config_dict[DRAIN].draining:
        response.force_close()
        response.headers["Connection"] = "close"


def _record(request: web.Request, request_id: str, status: int, duration_s: float) -> None:
    resource = request.match_info.route.resource
    route = resource.canonical if resource else "unknown"
    metrics = request.config_dict[METRICS]
    caller = request.get(CALLER)
    if caller:
        metrics.key_requests.labels(metrics.key_label(caller.name), str(status)).inc()
    line = {"requestId": request_id, "method": request.method, "route": route, "status": status}
    _count(metrics, line | {"key": caller and caller.name}, duration_s)


def _count(metrics: Metrics, line: dict[str, Any], duration_s: float) -> None:
    """Count a request, and log one line for it."""
    metrics.requests.labels(line["route"], _known_method(line["method"]), str(line["status"])).inc()
    metrics.request_seconds.labels(line["route"]).observe(duration_s)
    access_log.info("request", extra=line | {"durationMs": round(duration_s * 1000)})


def _refuse_expectation(metrics: Metrics, response: web.HTTPExpectationFailed, request_id: str) -> None:
    """Count, log and reword what aiohttp refuses before the middleware runs: its answer repeats what was expected."""
    _count_refusal(metrics, request_id, response.status, type(response).__name__)
    body = common.ErrorBody(detail=EXPECTATION, code=BadRequestError.code, request_id=request_id)
    response.body, response.content_type = common.render(body), common.JSON


def _count_refusal(metrics: Metrics, request_id: str, status: int, refused: str) -> None:
    """Count and log what no handler has seen."""
    metrics.errors.labels(BadRequestError.code).inc()
    line = {"requestId": request_id, "method": "other", "route": "unknown", "status": status, "key": None}
    _count(metrics, line | {"refused": refused}, 0.0)


class LastAnswer(web.Response):
    """An answer that ends its connection, and arrives though its caller still sends."""

    def __init__(self, lingering: Lingering, **options: Any) -> None:  # noqa: ANN401 - aiohttp's
        super().__init__(**options)
        self._lingering = lingering
        self._transport: asyncio.BaseTransport | None = None
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Begin; the connection is known now."""
        self._transport = request.transport
        return await super().prepare(request)

    async def write_eof(self, data: bytes = b"") -> None:
        """End, and discard what the caller still sends."""
        await super().write_eof(data)
        if self._transport:
            await self._lingering.linger(self._transport)


def refuse_malformed(metrics: Metrics, lingering: Lingering, exc: BaseException | None) -> web.Response:
    """Answer what is no request: no handler has seen it, so it is counted and logged here."""
    error = BadRequestError(TOO_LONG if isinstance(exc, LineTooLong) else MALFORMED)
    request_id = request_id_of(None)
    _count_refusal(metrics, request_id, error.status, type(exc).__name__)
    body = common.render(common.ErrorBody(detail=error.detail, code=error.code, request_id=request_id))
    headers = {REQUEST_ID_HEADER: request_id, "Server": common.OWNER}
    return LastAnswer(lingering, status=error.status, body=body, content_type=common.JSON, headers=headers)


def _known_method(method: str) -> str:
    """Map unknown methods to one label, so that callers cannot create metrics."""
    return method if method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} else "other"


def request_id_of(presented: str | None) -> str:
    """Return the caller's id if it is 1 to 128 visible ASCII characters, else a new one."""
    if presented and len(presented) <= MAX_REQUEST_ID_CHARS and all("!" <= char <= "~" for char in presented):
        return presented
    return uuid.uuid4().hex


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Render every error in the same shape; an unexpected one becomes an opaque 500."""
    try:
        return await handler(request)
    except SidecarError as error:
        return error_response(request, error)
    except web.HTTPException as exc:
        return _framework_error(request, exc)
    except ConnectionError:
        raise  # the caller disconnected while the answer was written: nobody to report to
    except Exception as exc:  # noqa: BLE001 - the last gate
        return error_response(request, error_of(exc, request))


def error_of(exc: Exception, request: web.Request) -> SidecarError:
    """Turn an unexpected exception into an error that reveals nothing to the caller; the log has all of it."""
    log.error("unexpected error", extra={"requestId": request[REQUEST_ID]}, exc_info=exc)
    return SidecarError()


def error_response(request: web.Request, error: SidecarError) -> web.Response:
    """Render one error."""
    request.config_dict[METRICS].errors.labels(error.code).inc()
    return _json_error(request, error.status, error.code, error.detail, error.retry_after_s)


def _json_error(
    request: web.Request, status: int, code: str, detail: str, retry_after_s: int | None = None
) -> web.Response:
    body: BaseModel = common.ErrorBody(detail=detail, code=code, request_id=request[REQUEST_ID])
    if request.path.startswith(common.CONVENTION_PATHS):
        convention = common.error_body(status, code, detail, request[REQUEST_ID])
        body = common.listed(convention) if status == 422 and request.get(LISTS_PROBLEMS) else convention
    headers = {"Retry-After": str(retry_after_s)} if retry_after_s is not None else None
    return web.Response(status=status, body=common.render(body), content_type="application/json", headers=headers)


def _framework_error(request: web.Request, exc: web.HTTPException) -> web.Response:
    """Render aiohttp's own exceptions: no such route, no such method, a body over its limit."""
    match exc:
        case web.HTTPNotFound():
            return _json_error(request, 404, "not_found", "there is nothing at this path")
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(exc.allowed_methods))
            response = _json_error(request, 405, "method_not_allowed", f"{allowed} is accepted here")
            response.headers["Allow"] = allowed
            return response
        case web.HTTPRequestEntityTooLarge():
            return error_response(request, TooLargeError("the body is too large"))
        case _:
            return error_response(request, BadRequestError("the request is not understood"))


@web.middleware
async def refuse_packed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse compressed bodies: their size is unknown before they are decompressed."""
    if request.can_read_body and _is_packed(request):
        raise UnsupportedMediaError("the body is compressed, which is not accepted here")
    return await handler(request)


def _is_packed(request: web.Request) -> bool:
    encodings = ", ".join(request.headers.getall("Content-Encoding", ())).lower()
    transfer = ", ".join(request.headers.getall("Transfer-Encoding", ())).lower()
    return encodings not in {"", "identity"} or transfer not in {"", "chunked"}


async def invite(request: web.Request) -> None:
    """Ask a caller that waits for it to send its body, unless it would be refused anyway.

    aiohttp calls it before the middleware, where a request expects something.

    Raises:
        HTTPExpectationFailed: it expects something else.
    """
    if request.headers["Expect"].lower() != "100-continue":
        raise web.HTTPExpectationFailed
    if not _is_packed(request) and _may_call(request):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer has not begun


@web.middleware
async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Require a key in api-key mode; an unknown path is refused like any other."""
    if not _may_call(request):
        raise UnauthorizedError("a valid API key is needed in the header X-API-Key")
    return await handler(request)


def _may_call(request: web.Request) -> bool:
    """Tell whether the request may come in, and note whose key it has."""
    if request.config_dict[SETTINGS].auth_mode != "api-key" or request.path in OPEN_PATHS:
        return True
    caller = request.config_dict[KEY_FILE].ring.caller_of(_presented_key(request))
    if caller:
        request[CALLER] = caller
    return caller is not None


@web.middleware
async def refuse_new_connections(request: web.Request, handler: Handler) -> web.StreamResponse:
    """While the service drains, take new work only on connections that were open before."""
    if request.method in {"POST", "PUT"}:
        request.config_dict[DRAIN].refuse_new_connection(request.protocol)
    return await handler(request)


def _presented_key(request: web.Request) -> str | None:
    """Return the key that a caller presents; clients of OpenAI's or Cohere's routes can only send a bearer token."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    return request.headers.get(API_KEY_HEADER, credentials.strip() if scheme.lower() == "bearer" else None)
