"""Serves both ports in one process, and stops in order."""

import asyncio
import logging
import signal
from collections.abc import Sequence

from sidecar.api.app_keys import DRAIN
from sidecar.api.dialects.dialect import Dialect
from sidecar.api.dialects.registry import DIALECTS
from sidecar.documents.upload_folder import OpenFile
from sidecar.documents.upload_paths import open_upload
from sidecar.service.app import build_app, build_ops_app
from sidecar.service.engines import ENGINES, EngineFactory
from sidecar.service.listener import HANDSHAKE_S, PortLimits, affordable, raise_descriptors
from sidecar.service.ocr_wiring import WORKERS_END_S
from sidecar.service.port import CLOSE_S, READ_S, Port, PortThread
from sidecar.service.retrieval_wiring import LAST_BATCH_S, GpuSeam
from sidecar.settings import Settings, SettingsError

log = logging.getLogger(__name__)

OPS_CONNECTIONS = 64
"""Most connections of the ops port: a kubelet has one or two, Prometheus too; an idle one is closed for a new one."""
SPARED_S = 1.0
"""How long a connection may be idle before it can be closed for another, in seconds: the time to send a request's head,
so that a rush of connections does not end those that have just come."""
OPS_SPARED_S = 0.02
"""The same for the ops port, whose callers are near: 64 connections in so long are more than anybody opens, and a probe
that waits behind a thousand is answered in a third of a second."""
LAST_ANSWER_S = 3.0
"""How long, in seconds, an open connection may still send its last request when the service stops; then it is closed if
idle."""
LAST_REFUSAL_S = 1.0
"""How long, in seconds, a connection opened at the last moment may still send a request, to be told of the stop."""
PORTS = 2
CLOSING_S = HANDSHAKE_S + LAST_REFUSAL_S + READ_S + PORTS * 2 * CLOSE_S + LAST_BATCH_S + WORKERS_END_S
"""Longest duration of the stop after the grace for documents in work, in seconds: the sum of all its phases."""


class Service:
    """Both applications on their ports. Start it once, stop it once."""

    def __init__(
        self,
        settings: Settings,
        gpu: GpuSeam | None = None,
        factories: Sequence[EngineFactory] = ENGINES,
        open_file: OpenFile = open_upload,
        dialects: Sequence[Dialect] = DIALECTS,
    ) -> None:
        self._settings = settings
        self.api = build_app(settings, gpu, factories, open_file, dialects)
        self._api_port = Port(self.api, PortLimits(affordable(settings.max_connections), settings.head_s, SPARED_S))
        ops = Port(build_ops_app(self.api), PortLimits(OPS_CONNECTIONS, settings.head_s, OPS_SPARED_S, ends_work=True))
        self._ops_port = PortThread(ops, "ops")

    @property
    def api_url(self) -> str:
        """Where the API port listens."""
        return self._api_port.url

    @property
    def ops_url(self) -> str:
        """Where the ops port listens."""
        return self._ops_port.url

    async def start(self) -> None:
        """Open both ports.

        Raises:
            SettingsError: a port is taken.
            SpoolError: the spool folder cannot be used.
        """
        for port, number in ((self._api_port, self._settings.port), (self._ops_port, self._settings.ops_port)):
            try:
                await port.open(self._settings.host, number)
            except OSError as exc:
                raise SettingsError(f"port {number} of {self._settings.host} cannot be opened: {exc.strerror}") from exc

    async def stop(self, grace_s: float) -> None:
        """Refuse work on new connections, close open ones after their next answer, then cancel, and close.

        Requests in work have ``grace_s`` seconds.
        """
        drain, loop = self.api[DRAIN], asyncio.get_running_loop()
        ends_s = loop.time() + grace_s
        drain.start(self._api_port.connections)
        # Each open connection gets one last answer, so that no caller finds its connection closed.
        await self._api_port.until_gone(lambda: drain.kept & self._api_port.connections, min(grace_s, LAST_ANSWER_S))
        await drain.finish(max(0.0, ends_s - loop.time()))
        await self._api_port.close(drain.kept, min(grace_s, LAST_REFUSAL_S))
        await self._ops_port.close()


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        SettingsError, SpoolError: the service cannot start.
    """
    raise_descriptors()
    service = Service(settings)
    stop = _stop_signal()
    grace_s = 0.0  # before it serves, there is nothing to wait for
    try:
        await service.start()
        log.info("serving", extra={"api": service.api_url, "ops": service.ops_url})
        await stop.wait()
        grace_s = settings.shutdown_s
        log.info("stopping", extra={"documentsInWork": service.api[DRAIN].running, "graceSeconds": grace_s})
    finally:
        await service.stop(grace_s)
    log.info("stopped")


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
