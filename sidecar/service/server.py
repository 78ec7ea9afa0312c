"""Serves both ports in one process, and stops in order."""

import asyncio
import logging
import signal
from collections.abc import Sequence

from aiohttp import web

from sidecar.api.app_keys import DRAIN
from sidecar.documents.upload_folder import OpenFile
from sidecar.documents.upload_paths import open_upload
from sidecar.service.app import build_app, build_ops_app
from sidecar.service.engines import ENGINES, EnginePlug
from sidecar.service.ocr_wiring import WORKERS_END_S
from sidecar.service.retrieval_wiring import LAST_BATCH_S, GpuSeam
from sidecar.settings import Settings, SettingsError

log = logging.getLogger(__name__)

BACKLOG = 1024
"""Connections the kernel holds for us: a burst of callers waits instead of being refused."""
KEEPALIVE_S = 75.0
"""An idle connection, or one that never finishes its first request's head, is closed after this."""
LAST_ANSWER_S = 3.0
"""A connection that is open at the end has so long to ask for its last answer; one that is idle is closed then."""
LOOK_EVERY_S = 0.05
CLOSE_S = 2.0
"""Time for answers already rendered to leave, once no document is in work; then again for those that were cancelled."""
PORTS = 2
CLOSING_S = PORTS * 2 * CLOSE_S + LAST_BATCH_S + WORKERS_END_S
"""How long the end may take after the time that documents in work have, in seconds: all its phases at their longest."""


class Service:
    """Both applications on their ports. Start it once, stop it once."""

    def __init__(
        self,
        settings: Settings,
        gpu: GpuSeam | None = None,
        plugs: Sequence[EnginePlug] = ENGINES,
        open_file: OpenFile = open_upload,
    ) -> None:
        self._settings = settings
        self.api = build_app(settings, gpu, plugs, open_file)
        self._api_runner = _runner(self.api)
        self._ops_runner = _runner(build_ops_app(self.api))

    @property
    def api_url(self) -> str:
        """Where the API port listens."""
        return _url(self._api_runner)

    @property
    def ops_url(self) -> str:
        """Where the ops port listens."""
        return _url(self._ops_runner)

    async def start(self) -> None:
        """Open both ports.

        Raises:
            SettingsError: a port is taken.
            SpoolError: there is nowhere to put documents.
        """
        for runner, port in ((self._api_runner, self._settings.port), (self._ops_runner, self._settings.ops_port)):
            await runner.setup()
            try:
                await web.TCPSite(runner, self._settings.host, port, backlog=BACKLOG).start()
            except OSError as exc:
                raise SettingsError(f"port {port} of {self._settings.host} cannot be opened: {exc.strerror}") from exc

    async def stop(self, grace_s: float) -> None:
        """Take no new connections' work, end those that are open with their next answer, then cancel, and close.

        What is in work has ``grace_s`` seconds.
        """
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + grace_s
        await self._end_connections(min(grace_s, LAST_ANSWER_S))
        await self.api[DRAIN].finish(max(0.0, ends_s - loop.time()))
        await self._api_runner.cleanup()
        await self._ops_runner.cleanup()

    async def _end_connections(self, wait_s: float) -> None:
        """Give each connection that is open one more answer, its last, so that no caller finds its own closed."""
        drain, server = self.api[DRAIN], self._api_runner.server
        drain.leave(server.connections if server else ())
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + wait_s
        # aiohttp tells nobody that a connection has ended.
        while server and not drain.kept.isdisjoint(server.connections) and loop.time() < ends_s:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY_S)


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        SettingsError, SpoolError: the service cannot start.
    """
    service = Service(settings)
    stop = _stop_signal()
    grace_s = 0.0  # until it serves, there is nothing to wait for
    try:
        await service.start()
        log.info("serving", extra={"api": service.api_url, "ops": service.ops_url})
        await stop.wait()
        grace_s = settings.shutdown_s
        log.info("stopping", extra={"documentsInWork": service.api[DRAIN].running, "graceSeconds": grace_s})
    finally:
        await service.stop(grace_s)
    log.info("stopped")


def _runner(app: web.Application) -> web.AppRunner:
    return web.AppRunner(
        app,
        access_log=None,  # the middleware writes one line a request, with the request's id
        handler_cancellation=True,  # a caller that leaves ends its document's work
        keepalive_timeout=KEEPALIVE_S,
        shutdown_timeout=CLOSE_S,
    )


def _url(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
