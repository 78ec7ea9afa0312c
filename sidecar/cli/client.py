"""Sends documents to a sidecar and receives their pages one by one: over the network, or from one it starts itself."""

import json
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from sidecar.settings import Settings
from sidecar.wire.common import NDJSON

Event = dict[str, Any]

CONNECT_S = 10.0
LINE_BYTES = 64 * 1024 * 1024
"""Longest line: the last one holds the text of the whole document."""


class DocumentFailedError(Exception):
    """The document was not read; the text is for people."""


@dataclass(frozen=True, slots=True)
class Client:
    """One sidecar to talk to."""

    session: aiohttp.ClientSession
    url: str

    async def read(self, path: Path, fields: Mapping[str, str]) -> AsyncIterator[Event]:
        """Send a document; yield the answer's events as they arrive: document, page…, done.

        Raises:
            DocumentFailedError: the service refused it or failed, or cannot be reached.
        """
        try:
            with path.open("rb") as file:
                form = aiohttp.FormData(dict(fields), default_to_multipart=True)
                form.add_field("file", file, filename="document", content_type="application/octet-stream")
                async with self.session.post(
                    f"{self.url}/ocr-upload", data=form, headers={"Accept": NDJSON}
                ) as response:
                    async for event in _events(response):
                        yield event
        except (aiohttp.ClientError, TimeoutError) as exc:
            raise DocumentFailedError(
                f"the service at {self.url} cannot be reached: {exc or type(exc).__name__}"
            ) from exc
        except (KeyError, TypeError, json.JSONDecodeError) as exc:
            raise DocumentFailedError(f"what answers at {self.url} is no sidecar") from exc
        except OSError as exc:
            raise DocumentFailedError(f"the file cannot be read: {exc.strerror}") from exc


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[Event]:
    if response.status != web.HTTPOk.status_code:
        raise DocumentFailedError(_reason(response.status, await response.text()))
    finished = False
    async for line in response.content:
        event: Event = json.loads(line)
        if event["event"] == "error":
            raise DocumentFailedError(f"{event['detail']} ({event['status']} {event['code']})")
        finished = event["event"] == "done"
        yield event
    if not finished:
        raise DocumentFailedError("the answer is incomplete")


def _reason(status: int, body: str) -> str:
    try:
        error = json.loads(body)
        return f"{error['detail']} ({status} {error['code']})"
    except (ValueError, KeyError, TypeError):
        return f"the service answered with status {status}"


@asynccontextmanager
async def connect(url: str, api_key: str) -> AsyncIterator[Client]:
    """Connect to a running sidecar."""
    async with _session(None, api_key) as session:
        yield Client(session, url.rstrip("/"))


@asynccontextmanager
async def start_embedded(settings: Settings) -> AsyncIterator[Client]:
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
            async with _session(aiohttp.UnixConnector(socket), "") as session:
                yield Client(session, "http://embedded")
        finally:
            await runner.cleanup()


def _session(connector: aiohttp.BaseConnector | None, api_key: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
        headers={"X-API-Key": api_key} if api_key else None,
        read_bufsize=LINE_BYTES,
    )
