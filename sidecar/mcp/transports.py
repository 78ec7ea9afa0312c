"""Runs the tools on standard input and output, or over HTTP, until they are ended."""

import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server.mcpserver import Context

from sidecar.client import AsyncClient
from sidecar.mcp.doorkeeper import Doorkeeper, key_of
from sidecar.mcp.folder import Folder
from sidecar.mcp.tools import Calling, make_server

GRACE_S = 5
"""How long calls may take to end after SIGTERM: a model asks again."""
PATH = "/mcp"


class WrongUsageError(Exception):
    """What the operator asked for cannot be done; the text is for them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to run: ``http`` is host and port, or None for standard input and output."""

    url: str
    api_key: str
    folder: Path | None
    http: tuple[str, int] | None


def parse_address(text: str) -> tuple[str, int]:
    """Parse ``host:port`` or ``[::1]:port``.

    Raises:
        WrongUsageError: it is neither.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise WrongUsageError(f"--http is {text}, accepted is HOST:PORT, such as 127.0.0.1:8766")
    return host.removeprefix("[").removesuffix("]"), int(port)


async def run(wanted: Wanted) -> None:
    """Serve until standard input ends, or a signal comes.

    Raises:
        WrongUsageError: the folder is none, or the address cannot be listened at.
    """
    folder = None if wanted.folder is None else _folder(wanted.folder)
    _check_key(wanted)
    if wanted.http is None:
        await make_server(_with_key(wanted.url, wanted.api_key), folder).run_stdio_async()
    else:
        await _serve_http(wanted.url, folder, wanted.http)


def _check_key(wanted: Wanted) -> None:
    try:
        AsyncClient(wanted.url, wanted.api_key)
    except ValueError as exc:
        raise WrongUsageError(str(exc)) from exc


def _folder(path: Path) -> Folder:
    if not path.is_dir():
        raise WrongUsageError(f"there is no folder {path}")
    return Folder(path)


def _with_key(url: str, api_key: str) -> Calling:
    def calling(_: Context[Any, Any]) -> AsyncClient:
        return AsyncClient(url, api_key)

    return calling


def _with_caller_s_key(url: str) -> Calling:
    def calling(context: Context[Any, Any]) -> AsyncClient:
        return AsyncClient(url, key_of(context.headers or {}))

    return calling


async def _serve_http(url: str, folder: Folder | None, address: tuple[str, int]) -> None:
    server = make_server(_with_caller_s_key(url), folder)
    # Stateless: each request has its key, and no session can be taken over with another.
    app = Doorkeeper(server.streamable_http_app(streamable_http_path=PATH, stateless_http=True, host=address[0]), url)
    config = uvicorn.Config(
        app, log_level="warning", lifespan="on", ws="none", server_header=False, timeout_graceful_shutdown=GRACE_S
    )
    with _listen(address) as listener:
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"ocr-sidecar: MCP is served at http://{shown}:{port}{PATH}", file=sys.stderr, flush=True)
        await uvicorn.Server(config).serve(sockets=[listener])


def _listen(address: tuple[str, int]) -> socket.socket:
    try:
        family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server(address, family=family)
    except OSError as exc:
        raise WrongUsageError(f"{address[0]}:{address[1]} cannot be listened at: {exc.strerror}") from exc
