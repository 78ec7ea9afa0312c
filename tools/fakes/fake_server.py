"""What the fakes of model servers have in common: a port, a script, the requests that run, and a sudden end."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

from aiohttp import web

from tools.fakes.ollama_answers import Answer
from tools.fakes.ollama_calls import Call, Outcome
from tools.fakes.ollama_reply import break_connection

BODY_LIMIT_BYTES = 512 << 20
CALL = web.RequestKey("call", Call)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeServer:
    """A server on a port of this machine, during the `async with` block."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port  # 0: a free one, known once it runs
        self.requests: list[str] = []  # "GET /api/ps" and so on, all of them
        self._script: Callable[[Call], Answer] | list[Answer] = []
        self._running: list[web.Request] = []
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        await self.come_up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.go_down()

    def routes(self) -> list[web.RouteDef]:
        """What it answers."""
        raise NotImplementedError

    async def handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer one request by its route, or refuse it."""
        raise NotImplementedError

    @property
    def root(self) -> str:
        """Scheme, host and port."""
        return f"http://{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """What the service's setting is."""
        return self.root

    @property
    def connections(self) -> int:
        """How many connections are open, used or kept."""
        return len(self._runner.server.connections) if self._runner and self._runner.server else 0

    def script(self, answers: Sequence[Answer] | Callable[[Call], Answer]) -> None:
        """Set the answers of the next chats: a list, one answer per chat, or a function of the call.

        A call that is refused, and one without messages, uses up nothing. After the list: the default answer.
        """
        self._script = answers if callable(answers) else list(answers)

    def next_answer(self, call: Call) -> Answer:
        """Take the next answer of the script."""
        if callable(self._script):
            return self._script(call)
        return self._script.pop(0) if self._script else Answer()

    async def come_up(self) -> None:
        """Listen, after the start on a free port, later on the same one."""
        app = web.Application(client_max_size=BODY_LIMIT_BYTES, middlewares=[self._track])
        app.add_routes(self.routes())
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def go_down(self) -> None:
        """Close the port and break all connections, like a server that was killed."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        for site in list(runner.sites):
            await site.stop()
        for request in list(self._running):
            if CALL in request:
                request[CALL].outcome = Outcome.DROPPED
            break_connection(request, reset=True)
        await runner.cleanup()

    @web.middleware
    async def _track(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        self._running.append(request)
        try:
            return await self.handle(request, handler)
        finally:
            self._running.remove(request)


async def run_until_stopped(fake: FakeServer) -> None:
    """Run a fake until SIGTERM or SIGINT; print its URL."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with fake:
        print(fake.url, flush=True)
        await stopped.wait()
