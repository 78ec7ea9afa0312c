"""Model servers that do on request what a model server may do: stand-ins here, real ones in tests/realmodel."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import StrEnum, auto
from typing import Any

from sidecar.engines.servers.openai_request import ServerKind
from tests.conftest import PATIENCE_S
from tests.integration.sidecar.chat_clients import APIS, Api
from tools.fakes.ollama import Answer, FakeOllama, Trap
from tools.fakes.openai import FakeOpenAI, Kind, overflow

WEBP = b"RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f\x00\x00\x00\x10\x07\x10\x11\x11\x88\x88\xfe\x07\x00"


class Act(StrEnum):
    """What the model does with a page."""

    STOP = auto()
    """It says some words, and that it has stopped."""
    LENGTH = auto()
    """It runs out of tokens."""
    NOTHING = auto()
    """It stops without a word."""
    LOOP = auto()
    """It repeats itself for ever."""
    ENDLESS = auto()
    """It says a word, and does not come to an end."""
    SILENCE = auto()
    """It says nothing for a long time."""
    OVERFLOW = auto()
    """The page has more tokens than the context."""


class Stage(ABC):
    """A model server that runs. ``api``: what talks to it; ``kind``: which one it is, None for Ollama."""

    api: Api
    kind: ServerKind | None

    @property
    @abstractmethod
    def url(self) -> str: ...

    @property
    @abstractmethod
    def environment(self) -> dict[str, str]:
        """The settings of a service that uses it."""

    @abstractmethod
    def request(self, act: Act) -> dict[str, Any]:
        """What is sent so that the next chat is this act."""

    @abstractmethod
    def fields(self, act: Act) -> dict[str, str]:
        """What is sent with a document so that its next page is this act."""

    @abstractmethod
    async def calls(self) -> int:
        """How many chats are being answered."""

    @abstractmethod
    async def last_parameters(self) -> Mapping[str, Any]:
        """The parameters of the last chat, as the server understood them."""

    @abstractmethod
    async def go_down(self) -> None:
        """End it suddenly."""

    @abstractmethod
    async def come_up(self) -> None:
        """Start it again at the same URL."""

    def client(self, **given: object) -> AbstractAsyncContextManager[Any]:
        return self.api.client(self.url, **given)

    async def until_calls(self, count: int, seconds: float = PATIENCE_S) -> float:
        """Wait until so many chats are being answered; return how long that took, in seconds."""
        began_s = time.monotonic()
        while await self.calls() != count:
            assert time.monotonic() - began_s < seconds, "it did not happen in time"
            await asyncio.sleep(0.01)
        return time.monotonic() - began_s


ANSWERS: dict[Act, Answer] = {
    Act.STOP: Answer("some words of a page"),
    Act.LENGTH: Answer("some words of", done_reason="length"),
    Act.NOTHING: Answer(""),
    Act.LOOP: Answer("Title\n", trap=Trap.REPEAT, unit="ha "),
    Act.ENDLESS: Answer("one two three", trap=Trap.HANG, after_chunks=2),
    Act.SILENCE: Answer(trap=Trap.HANG, after_chunks=0),
    Act.OVERFLOW: overflow(9120, 8192),
}


class FakeStage(Stage):
    """A stand-in, whose answers are scripted."""

    def __init__(self, api: Api, fake: FakeOllama | FakeOpenAI) -> None:
        self.api, self.fake = api, fake
        self.kind = ServerKind(fake.kind) if isinstance(fake, FakeOpenAI) else None

    @property
    def url(self) -> str:
        return self.fake.url

    @property
    def environment(self) -> dict[str, str]:
        return self.fake.environment

    def request(self, act: Act) -> dict[str, Any]:
        self.fake.script([ANSWERS[act]])
        return self.api.request

    def fields(self, act: Act) -> dict[str, str]:
        self.fake.script(lambda _: ANSWERS[act])
        return {}

    async def calls(self) -> int:
        return sum(call.ended_s is None and bool(call.speaking_s) for call in self.fake.chats)

    async def last_parameters(self) -> Mapping[str, Any]:
        return self.fake.chats[-1].body

    async def go_down(self) -> None:
        await self.fake.go_down()

    async def come_up(self) -> None:
        await self.fake.come_up()


Staged = Callable[..., AbstractAsyncContextManager[Stage]]
"""Starts one: ``has_vision`` false for a model without a projector, ``key`` for what callers must send, ``is_loading``
for one that is not ready yet, ``is_endless`` for one whose model comes to no end whatever it is asked."""


def staged_fake(name: str) -> Staged:
    """The stand-in for one API, or for one kind of server."""

    @asynccontextmanager
    async def staged(*, is_loading: bool = False, is_endless: bool = False, **traits: Any) -> AsyncIterator[Stage]:
        fake = FakeOllama() if name == "ollama" else FakeOpenAI(Kind(name), **traits)
        async with fake:
            if is_loading:
                fake.is_loading = True
            if is_endless:
                fake.script(lambda _: ANSWERS[Act.ENDLESS])
            yield FakeStage(APIS[name], fake)

    return staged
