"""Real model servers: llama.cpp's, built by `make test-real-model`, and an Ollama, if OLLAMA_TEST_URL names one."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.harness.service import free_ports
from tools.model_server.build import SERVER
from tools.model_server.tiny_model import LANGUAGE, PROJECTOR

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("REAL_MODEL_SERVER", ROOT / ".model-server"))
START_S = 60
CONTEXT = 8192


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.realmodel)


@dataclass
class LlamaServer:
    """A running llama.cpp's server, and how to end it."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def running(model: Path, *options: str, port: int | None = None, await_health: bool = True) -> Iterator[LlamaServer]:
    port = port or free_ports(1)[0]
    command = [str(FOLDER / SERVER), "--model", str(model / LANGUAGE), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--ctx-size", str(2 * CONTEXT), "--parallel", "2", "--threads", "2", *options]
    with (model / f"log-{port}").open("ab") as log:
        server = LlamaServer(port, subprocess.Popen(command, stdout=log, stderr=log))
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
