"""The OpenAI-compatible API, as vLLM, llama.cpp's server and others have it: a streamed chat, and the list of models.

It has no keep_alive and no num_ctx: which models are in memory, and with what context, is its server's business.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from sidecar.engines.servers import openai_answer, openai_error, openai_request
from sidecar.engines.servers.chat import ChatStream, ChatTimeouts, Dialect, PageCall
from sidecar.engines.servers.connection import Connection
from sidecar.engines.servers.ollama_answer import list_of
from sidecar.engines.servers.openai_request import ServerKind
from sidecar.errors import EngineUnavailableError, ServerState
from sidecar.runtime.blocking_pool import BlockingPool, PoolFullError

KEY_READ_S = 3.0
"""Deadline for reading the file of the key: a volume may hang."""
DIALECT = Dialect(
    "the OpenAI API",
    "/chat/completions",
    openai_answer.parse_line,
    openai_answer.error_of,
    openai_error.refusal,
    openai_error.no_answer,
)


class OpenAIServer:
    """A client of one server. :meth:`open` it on the loop that uses it.

    Its kind is taken from its list of models, unless it is given. The key is read again whenever the models are listed,
    so that it rotates without a restart.
    """

    def __init__(
        self,
        url: str,
        connect_s: float,
        kind: ServerKind | None = None,
        key_file: Path | None = None,
        names: BlockingPool | None = None,
    ) -> None:
        self._server = Connection(url, connect_s, DIALECT, names=names)
        self._given = kind
        self._key_file = key_file
        self._files = BlockingPool("model key", 1)
        self.kind = kind or ServerKind.GENERIC
        """Which server it is; generic until it has listed its models."""

    def open(self) -> AbstractAsyncContextManager[None]:
        """Hold the session during the block."""
        return self._server.open()

    def parameters(self, wanted: Mapping[str, object]) -> Mapping[str, object]:
        """Return the parameters as this kind of server names them."""
        return openai_request.parameters(wanted, self.kind)

    def left_out(self, wanted: Mapping[str, object]) -> tuple[str, ...]:
        """Name those that it cannot be sent."""
        return openai_request.left_out(wanted, self.kind)

    def request(self, call: PageCall) -> Mapping[str, object]:
        """Compose what is sent for one page."""
        return openai_request.compose(call, self.kind)

    async def chat(self, request: Mapping[str, object], timeouts: ChatTimeouts) -> ChatStream:
        """Stream one chat; see :meth:`sidecar.engines.servers.connection.Connection.chat`, also for its errors."""
        if self._key_file and not self._server.headers:
            await self._read_key(self._key_file)
        return await self._server.chat(request, timeouts)

    async def installed(self) -> Mapping[str, str | None]:
        """List the models that are served; none has a digest.

        Raises:
            EngineUnavailableError, EngineFailedError: it gives no valid answer, or says that it is not well.
        """
        if self._key_file:
            await self._read_key(self._key_file)
        answer, _ = await self._server.get("/models")
        models = list_of(answer, "data", openai_answer.STRANGE)
        self.kind = self._given or openai_answer.kind_of(models)
        if self.kind is not ServerKind.GENERIC:
            await self._check_health()
        return {str(model.get("id")): None for model in models}

    def missing(self, wanted: str, installed: Mapping[str, str | None]) -> str | None:
        """Return the name where no model is served under exactly it; llama.cpp's server with one answers to any."""
        answers_to_any = self.kind is ServerKind.LLAMA_CPP and len(installed) == 1
        return None if answers_to_any or wanted in installed else wanted

    async def _check_health(self) -> None:
        """Ask the server how it is: vLLM lists its models even when what computes them has died.

        Raises:
            EngineUnavailableError, EngineFailedError: it says that it is not well.
        """
        status, said = await self._server.status("../health")
        if status == 503:  # anything else says nothing: a gateway may not pass the question on
            raise openai_error.no_answer(status, said)

    async def _read_key(self, file: Path) -> None:
        """Read the key; the last one stays where the file cannot be read.

        Raises:
            EngineUnavailableError: there is none yet.
        """
        try:
            async with asyncio.timeout(KEY_READ_S):
                text = await self._files.run(file.read_text, "ascii")
            self._server.headers = openai_request.authorization(text)
        except (OSError, ValueError, TimeoutError, PoolFullError) as exc:
            if not self._server.headers:
                raise _no_key() from exc


def _no_key() -> EngineUnavailableError:
    error = EngineUnavailableError("OCR_MODEL_KEY_FILE holds no key that can be read")
    error.state = ServerState.KEY_UNREADABLE
    return error
