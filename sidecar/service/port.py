"""One application on one port, from its start to its end; and the same in a thread with an event loop of its own."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from aiohttp import web

from sidecar.api.app_keys import CONNECTIONS, LINGERING, METRICS
from sidecar.service.listener import HANDSHAKE_S, Listener, PortLimits
from sidecar.service.protocol import Protocol

CLOSE_S = 2.0
"""Seconds to send answers that are already rendered, once no document is in work."""
READ_S = 0.5
"""Seconds that callers who still send have at the end to read their answer: it has arrived, but they are busy."""
POLL_S = 0.05


class Port:
    """An application that listens. Open it once, close it once, in the same event loop."""

    def __init__(self, app: web.Application, limits: PortLimits) -> None:
        self._app = app
        self._limits = limits
        self._options: dict[str, Any] = {
            "access_log": None,  # the middleware writes one line a request, with the request's id
            "keepalive_timeout": limits.head_s,
            "auto_decompress": False,  # compressed bodies are refused, and must not be decompressed before that
            "lingering_time": 0,  # the rest of a body is discarded unparsed: sidecar.api.lingering
        }
        self._runner = web.AppRunner(
            app,
            handler_cancellation=True,  # a caller that disconnects ends its document's work
            shutdown_timeout=CLOSE_S,
            **self._options,
        )
        self._listener: Listener | None = None

    @property
    def url(self) -> str:
        """The URL it listens on."""
        assert self._listener is not None, "it is not open"
        host, port = self._listener.address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def connections(self) -> frozenset[object]:
        """The connections that are open."""
        return frozenset(self._runner.server.connections if self._runner.server else ())

    async def open(self, host: str, port: int) -> None:
        """Begin to serve.

        Raises:
            OSError: the address cannot be bound.
        """
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        speak = partial(Protocol, server, self._app[METRICS], self._app[LINGERING], **self._options)
        self._listener = Listener(server, speak, self._app[CONNECTIONS], self._app[LINGERING], self._limits)
        await self._listener.open(host, port)

    async def close(self, left: frozenset[object] = frozenset(), last_s: float = 0.0) -> None:
        """Accept what waits, wait ``last_s`` seconds for answers, except on the connections ``left``; then end.

        Then callers that still send have ``READ_S`` to read their answers: the end resets their connections.
        """
        if self._listener:
            await self._listener.close(min(last_s, HANDSHAKE_S))
            await self.until_gone(lambda: self.connections - left, last_s)
        await self._runner.cleanup()
        await self.until_gone(lambda: range(self._app[LINGERING].count), min(last_s, READ_S))

    async def until_gone(self, remaining: Callable[[], Iterable[object]], wait_s: float) -> None:
        """Wait until no connection remains, at most this many seconds; aiohttp does not signal that one has ended."""
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + wait_s
        while remaining() and loop.time() < ends_s:  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)


class PortThread:
    """A port with its own event loop, so that it answers however busy the other one is."""

    def __init__(self, port: Port, name: str) -> None:
        self._port = port
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._loop = asyncio.new_event_loop()

    @property
    def url(self) -> str:
        """The URL it listens on."""
        return self._port.url

    async def open(self, host: str, port: int) -> None:
        """Begin to serve.

        Raises:
            OSError: the address cannot be bound.
        """
        self._thread.start()
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._port.open(host, port), self._loop))

    async def close(self) -> None:
        """End, and the thread with it."""
        if not self._thread.is_alive():
            self._loop.close()
            return
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._port.close(), self._loop))
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()
