"""The ops port: liveness, readiness, metrics. Answers from memory."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from controller.ops.health import Facts, is_alive, readiness
from controller.ops.telemetry import Metrics
from controller.settings import SettingsError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpsPort:
    """Where to serve, 0 for a free port, and the setting that says so."""

    host: str
    port: int
    setting: str


def build_app(facts: Callable[[], Facts], metrics: Metrics) -> web.Application:
    """Compose the application."""

    async def livez(_: web.Request) -> web.Response:
        alive = is_alive(facts())
        return web.json_response({"status": "alive" if alive else "stuck"}, status=200 if alive else 503)

    async def readyz(_: web.Request) -> web.Response:
        known = facts()
        reasons = readiness(known)
        body = {
            "status": "not-ready" if reasons else "ready",
            "reasons": [reason.render() for reason in reasons],
            "watchAgeSeconds": {kind: round(age_s, 1) for kind, age_s in known.watch_ages_s.items()},
        }
        return web.json_response(body, status=503 if reasons else 200)

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    app = web.Application()
    app.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", show_metrics)])
    return app


@asynccontextmanager
async def open_ops(at: OpsPort, facts: Callable[[], Facts], metrics: Metrics) -> AsyncIterator[int]:
    """Serve the ops port; yields the port.

    Raises:
        SettingsError: the port is taken.
    """
    runner = web.AppRunner(build_app(facts, metrics), access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, at.host, at.port).start()
        except OSError as exc:
            raise SettingsError(f"{at.setting} is {at.port}: {exc.strerror}") from exc
        port: int = runner.addresses[0][1]
        log.info("serving", extra={"ops": f"{at.host}:{port}"})
        yield port
    finally:
        await runner.cleanup()
