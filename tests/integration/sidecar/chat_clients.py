"""The clients of model servers, each with the stand-in that it is tried on: what holds for one holds for all."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from sidecar.engines.servers.chat import ChatStream, ChatTimeouts
from sidecar.engines.servers.ollama import Ollama
from sidecar.engines.servers.openai import OpenAIServer
from sidecar.errors import SidecarError
from tools.fakes.ollama import OCR_MODEL, Answer, FakeOllama
from tools.fakes.openai import MODEL, FakeOpenAI, Kind

QUICK = ChatTimeouts(connect_s=2, first_token_s=5, whole_s=5)
PNG = "data:image/png;base64,iVBORw0KGgo="


@dataclass(frozen=True, slots=True)
class Api:
    """A client and its stand-in; ``base`` is what its URL has behind host and port, ``chat`` the path of a chat."""

    make_client: Callable[..., Any]
    make_fake: Callable[[], Any]
    request: dict[str, Any]
    base: str
    chat: str

    @asynccontextmanager
    async def client(self, url: str, connect_s: float = 2, **given: object) -> AsyncIterator[Any]:
        one = self.make_client(url, connect_s, **given)
        async with one.open():
            yield one

    async def chat_with(self, answer: Answer, timeouts: ChatTimeouts = QUICK) -> ChatStream:
        async with self.make_fake() as fake, self.client(fake.url) as client:
            fake.script([answer])
            return await client.chat(self.request, timeouts)

    async def refusal_of(self, answer: Answer, timeouts: ChatTimeouts = QUICK) -> SidecarError:
        with pytest.raises(SidecarError) as refused:
            await self.chat_with(answer, timeouts)
        assert "127.0.0.1" not in refused.value.detail
        return refused.value


OLLAMA = Api(
    Ollama,
    FakeOllama,
    {"model": OCR_MODEL, "messages": [{"role": "user", "content": "read"}], "stream": True, "keep_alive": 0},
    "",
    "/api/chat",
)


def openai(kind: Kind) -> Api:
    """The OpenAI API as one kind of server has it."""
    content = [{"type": "image_url", "image_url": {"url": PNG}}]
    request = {"model": MODEL, "messages": [{"role": "user", "content": content}], "stream": True}
    return Api(OpenAIServer, lambda: FakeOpenAI(kind), request, "/v1", "/v1/chat/completions")


APIS = {"ollama": OLLAMA, **{kind.value: openai(kind) for kind in Kind}}
