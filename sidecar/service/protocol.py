"""What a connection speaks: HTTP/1.1 by aiohttp. What is not that is answered, logged and counted like any refusal.

aiohttp's own answer and its log line repeat what the caller sent, up to hundreds of kilobytes, and its version.
"""

import asyncio
from typing import Any

from aiohttp import web

from sidecar.api.lingering import Lingering
from sidecar.api.middleware import refuse_malformed
from sidecar.telemetry import Metrics


class Protocol(web.RequestHandler):
    """One connection of a server."""

    def __init__(self, server: web.Server, metrics: Metrics, lingering: Lingering, **options: Any) -> None:  # noqa: ANN401 - aiohttp's
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._metrics = metrics
        self._lingering = lingering

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that could not be parsed; a bug is left to aiohttp, which logs its traceback."""
        if status >= 500 or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        return refuse_malformed(self._metrics, self._lingering, exc)
