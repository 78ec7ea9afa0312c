"""A sidecar that the command line starts for itself, and ends."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from sidecar.client import AsyncClient
from sidecar.settings import Settings


@asynccontextmanager
async def start_embedded(settings: Settings) -> AsyncIterator[AsyncClient]:
    """Start our own sidecar during the block, on a socket that only this user can reach."""
    from sidecar.api.app_keys import READER  # noqa: PLC0415 - a client of another machine's service needs none of it
    from sidecar.service.app import build_app  # noqa: PLC0415 - likewise

    app = build_app(settings.model_copy(update={"auth_mode": "network", "bge_m3_model": "", "reranker_model": ""}))
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    with tempfile.TemporaryDirectory(prefix="ocr-sidecar-socket-") as folder:
        socket = str(Path(folder) / "api")
        try:
            await runner.setup()
            await web.UnixSite(runner, socket).start()
            await app[READER].loaded()
            async with AsyncClient(
                "http://embedded", timeout_s=None, connector=aiohttp.UnixConnector(socket)
            ) as client:
                yield client
        finally:
            await runner.cleanup()
