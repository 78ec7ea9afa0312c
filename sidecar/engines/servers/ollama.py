"""Ollama's native API: a streamed chat, loaded models, installed models.

Its OpenAI-compatible endpoint is not used: it silently drops keep_alive, repeat_penalty and num_ctx.
"""

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

from sidecar.engines.servers import ollama_answer, ollama_request, server_error
from sidecar.engines.servers.chat import ChatStream, ChatTimeouts, Dialect, PageCall
from sidecar.engines.servers.connection import LOOK_S, Connection
from sidecar.errors import EngineRefusedError
from sidecar.gpu.vram import ResidentModel, full_name
from sidecar.runtime.blocking_pool import BlockingPool

DIALECT = Dialect(
    "Ollama",
    "/api/chat",
    ollama_answer.parse_line,
    ollama_answer.error_of,
    server_error.refusal,
    server_error.no_answer,
)


class Ollama:
    """A client of one server. :meth:`open` it on the loop that uses it."""

    def __init__(
        self,
        url: str,
        connect_s: float,
        clock: Callable[[], float] = time.monotonic,
        names: BlockingPool | None = None,
    ) -> None:
        self._server = Connection(url, connect_s, DIALECT, clock, names)

    def open(self) -> AbstractAsyncContextManager[None]:
        """Hold the session during the block."""
        return self._server.open()

    def parameters(self, wanted: Mapping[str, object]) -> Mapping[str, object]:
        """Return Ollama's options."""
        return ollama_request.options(wanted)

    def left_out(self, wanted: Mapping[str, object]) -> tuple[str, ...]:
        """Return none: Ollama takes each of our parameters."""
        return ()

    def request(self, call: PageCall) -> Mapping[str, object]:
        """Compose what is sent for one page."""
        return ollama_request.compose(call)

    async def chat(self, request: Mapping[str, object], timeouts: ChatTimeouts) -> ChatStream:
        """Stream one chat; see :meth:`sidecar.engines.servers.connection.Connection.chat`, also for its errors."""
        return await self._server.chat(request, timeouts)

    async def resident(self) -> tuple[ResidentModel, ...]:
        """List the models that the server has in memory.

        Raises:
            EngineUnavailableError, EngineFailedError: it gives no valid answer.
        """
        answer, date = await self._server.get("/api/ps")
        return tuple(ollama_answer.resident(model, date) for model in ollama_answer.list_of(answer, "models"))

    async def installed(self) -> Mapping[str, str | None]:
        """List the models that are installed on the server, with their tags; give each one's digest, if it has one.

        Raises:
            EngineUnavailableError, EngineFailedError: it gives no valid answer.
        """
        answer, _ = await self._server.get("/api/tags")
        models = ollama_answer.list_of(answer, "models")
        return {
            str(model.get("name") or model.get("model")): ollama_answer.text_of(model, "digest") or None
            for model in models
        }

    def missing(self, wanted: str, installed: Mapping[str, str | None]) -> str | None:
        """Return the model's full name where it is not installed, by names as Ollama compares them."""
        return full_name(wanted) if full_name(wanted) not in map(full_name, installed) else None

    async def load(self, model: str, keep_alive_s: float, num_ctx: int, deadline_s: float) -> None:
        """Load a model, without a word for it, to stay so long after its last request; a negative number: for ever.

        Raises:
            EngineUnavailableError, EngineFailedError, DeadlineError: it is not loaded.
            ModelMissingError: the server does not have it.
        """
        asked: dict[str, object] = {"model": model, "keep_alive": _whole(keep_alive_s)}
        options = {"options": {"num_ctx": num_ctx}} if num_ctx else {}
        try:
            await self._server.command("/api/generate", asked | options, deadline_s)
        except EngineRefusedError:  # it makes no text, as an embedder does not
            await self._server.command("/api/embed", asked | options | {"input": []}, deadline_s)

    async def unload(self, model: str) -> None:
        """Have a model leave the memory, at once if it is idle, else when its last request has ended.

        Raises:
            EngineUnavailableError, EngineFailedError, ModelMissingError, DeadlineError: it does not obey.
        """
        await self._server.command("/api/generate", {"model": model, "keep_alive": 0}, LOOK_S)


def _whole(seconds: float) -> int:
    """Round up: Ollama takes no text without a unit, and a fraction of a second is nobody's wish."""
    return -1 if seconds < 0 else math.ceil(seconds)
