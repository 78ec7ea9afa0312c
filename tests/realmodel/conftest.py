"""Real model servers: llama.cpp's, built by `make test-real-model`, and an Ollama, if OLLAMA_TEST_URL names one."""

import asyncio
import base64
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.harness.service import free_ports
from sidecar.engines.servers.openai import OpenAIServer
from sidecar.engines.servers.openai_request import ServerKind
from tests.integration.sidecar.chat_clients import Api
from tests.integration.sidecar.documents import as_png, picture_of_text
from tests.integration.sidecar.model import PAGE
from tests.integration.sidecar.stages import Act, Stage, Staged
from tools.model_server.build import SERVER
from tools.model_server.tiny_model import LANGUAGE, LETTERS, PROJECTOR

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("REAL_MODEL_SERVER", ROOT / ".model-server"))
START_S = 60
CONTEXT = 8192


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.parent == here:
            item.add_marker(pytest.mark.realmodel)


@dataclass
class LlamaServer:
    """A running llama.cpp's server, and how to end it."""

    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self, model: Path, *options: str) -> None:
        host = ("--host", "127.0.0.1", "--port", str(self.port))
        command = [str(FOLDER / SERVER), "--model", str(model / LANGUAGE), *host]
        command += ["--ctx-size", str(2 * CONTEXT), "--parallel", "2", "--threads", "2", *options]
        with (model / f"log-{self.port}").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def running(model: Path, *options: str, port: int | None = None, await_health: bool = True) -> Iterator[LlamaServer]:
    server = LlamaServer(port or free_ports(1)[0])
    server.start(model, *options)
    try:
        if await_health:
            _await_health(server)
        yield server
    finally:
        server.kill()


def _await_health(server: LlamaServer) -> None:
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/health", timeout=2):
                return
        except (OSError, urllib.error.HTTPError):
            time.sleep(0.05)
    raise AssertionError("llama.cpp's server does not start")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny model. A process of its own writes it: its library is not in our environment."""
    if not (FOLDER / SERVER).exists():
        pytest.skip("llama.cpp's server is not built: make test-real-model")
    folder = tmp_path_factory.mktemp("model")
    environ = os.environ | {"PYTHONPATH": str(FOLDER / "site")}
    command = [sys.executable, "-m", "tools.model_server.tiny_model", str(folder)]
    subprocess.run(command, check=True, cwd=ROOT, env=environ)
    return folder


@pytest.fixture(scope="session")
def seeing(model: Path) -> Iterator[LlamaServer]:
    """A server that sees pictures."""
    with running(model, "--mmproj", str(model / PROJECTOR)) as server:
        yield server


# ── as a stage ────────────────────────────────────────────────────────────────────────────────────────────────────

LARGE = as_png(picture_of_text(lines=30, size=(1272, 1800)))
"""An A4 page at 1800 pixels, which takes seconds to look at without a GPU."""
WORDS = {"temperature": 1.0, "seed": 2}
"""The model ends after some words."""
ACTS: dict[Act, dict[str, Any]] = {
    Act.STOP: WORDS,
    Act.LENGTH: WORDS | {"max_tokens": 3},
    Act.NOTHING: WORDS | {"stop": list(LETTERS)},
    Act.LOOP: {"temperature": 0},
    Act.ENDLESS: WORDS | {"ignore_eos": True},
    Act.SILENCE: WORDS,
    Act.OVERFLOW: WORDS,
}
FIELDS: dict[Act, dict[str, str]] = {
    Act.STOP: {},
    Act.LENGTH: {"temperature": "1", "maxTokens": "2"},
    Act.LOOP: {"temperature": "0"},
    Act.OVERFLOW: {"userPrompt": "word " * 1900},
}


def request(picture: bytes = PAGE, kind: str = "png", text: str = "Read it.", **parameters: object) -> dict[str, Any]:
    url = f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": text}]
    return {"model": "any", "messages": [{"role": "user", "content": parts}], "stream": True} | parameters


class LlamaStage(Stage):
    """llama.cpp's server with the tiny model; ``options`` are those that it was started with."""

    api = Api(OpenAIServer, None, request(), "/v1", "/v1/chat/completions")
    kind = ServerKind.LLAMA_CPP

    def __init__(self, server: LlamaServer, model: Path, options: tuple[str, ...]) -> None:
        self._server, self._model, self._options = server, model, options

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def environment(self) -> dict[str, str]:
        small = {"OCR_IMAGE_LONGEST_SIDE": "448"}  # without a GPU a larger one takes seconds to look at
        return {"OCR_MODEL_API": "openai", "OCR_MODEL_URL": self.url} | small

    def request(self, act: Act) -> dict[str, Any]:
        text = "word " * 4000 if act is Act.OVERFLOW else "Read it."
        return request(LARGE if act is Act.SILENCE else PAGE, text=text, **ACTS[act])

    def fields(self, act: Act) -> dict[str, str]:
        return FIELDS[act]

    async def calls(self) -> int:
        return sum(slot["is_processing"] for slot in await self._slots())

    async def last_parameters(self) -> Mapping[str, Any]:
        last = max(await self._slots(), key=lambda slot: slot.get("id_task", -1))
        return last["params"]

    async def _slots(self) -> list[dict[str, Any]]:
        def ask() -> list[dict[str, Any]]:
            with urllib.request.urlopen(self.url.removesuffix("/v1") + "/slots", timeout=START_S) as answer:
                return json.load(answer)

        return await asyncio.to_thread(ask)

    async def go_down(self) -> None:
        await asyncio.to_thread(self._server.kill)

    async def come_up(self) -> None:
        self._server.start(self._model, *self._options)
        await asyncio.to_thread(_await_health, self._server)


@pytest.fixture
def staged(model: Path) -> Staged:
    @asynccontextmanager
    async def start(
        *, has_vision: bool = True, key: str = "", is_loading: bool = False, is_endless: bool = False
    ) -> AsyncIterator[Stage]:
        options = ("--mmproj", str(model / PROJECTOR)) if has_vision else ()
        options += ("--api-key", key) if key else ()
        options += ("--ignore-eos",) if is_endless else ()
        with running(model, *options, await_health=not is_loading) as server:
            yield LlamaStage(server, model, options)

    return start


@pytest.fixture
def staged_any(staged: Staged) -> Staged:
    return staged


@pytest.fixture
def shared_stage(seeing: LlamaServer, model: Path) -> Stage:
    """The server that all tests share which do not end it."""
    return LlamaStage(seeing, model, ())
