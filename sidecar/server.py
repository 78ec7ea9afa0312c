"""Serves both ports in one process, and stops in order."""

import asyncio
import logging
import signal

from aiohttp import web

from sidecar.app import build_app, build_ops_app
from sidecar.keys import DRAIN
from sidecar.settings import Settings

log = logging.getLogger(__name__)

BACKLOG = 1024
"""Connections the kernel holds for us: a burst of callers waits instead of being refused."""
KEEPALIVE_S = 75.0
"""An idle connection, or one that never finishes its first request's head, is closed after this."""
CLOSE_S = 2.0
"""Time for answers already rendered to leave, once no document is in work."""


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; then refuse new documents, let the running ones finish, and end.

    Raises:
        OSError: a port is taken.
        SettingsError, SpoolError: the service cannot start.
    """
    api = build_app(settings)
    runners = [_runner(api), _runner(build_ops_app(api))]
    stop = _stop_signal()
    try:
        for runner, port in zip(runners, (settings.port, settings.ops_port), strict=True):
            await runner.setup()
            await web.TCPSite(runner, settings.host, port, backlog=BACKLOG).start()
        log.info("serving", extra={"api": _address(runners[0]), "ops": _address(runners[1])})
        await stop.wait()
        log.info("stopping", extra={"documentsInWork": api[DRAIN].running, "graceSeconds": settings.shutdown_s})
        await api[DRAIN].finish(settings.shutdown_s)
    finally:
        for runner in runners:
            await runner.cleanup()
        log.info("stopped")


def _runner(app: web.Application) -> web.AppRunner:
    return web.AppRunner(
        app,
        access_log=None,  # the middleware writes one line a request, with the request's id
        handler_cancellation=True,  # a caller that leaves ends its document's work
        keepalive_timeout=KEEPALIVE_S,
        shutdown_timeout=CLOSE_S,
    )


def _address(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"{host}:{port}"


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
