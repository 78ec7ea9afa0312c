"""The service under soak, as a process of its own, with what it needs: keys, spool, models, a stand-in for Ollama."""

import asyncio
import contextlib
import math
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from bench.harness.service import HOST, ROOT, base_environment, free_ports
from tools.fakes import small_disk, tiny_models
from tools.fakes.model_texts import Shape

START_S = 240.0
STOP_S = 45.0
BYTES_A_MB = 1 << 20
KEPT_KEYS = 3
"""As many keys are accepted: a caller that took one just before it rotated is not refused."""


class Stage:
    """Starts and stops the processes; ``epoch`` counts the kills, so that what was in the air can be told.

    ``settings``: of the service, beside those that every soak needs; ``shape``: of both models.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str], shape: Shape) -> None:
        self.folder = folder
        self._settings, self._shape = settings, shape
        self.port, self.ops_port, self.model_port = free_ports(3)
        self.spool = folder / "spool"
        self.keys = [secrets.token_urlsafe(24)]
        self.epoch = 0
        self.is_up = False
        self.is_dying = False
        self.up_s: list[tuple[float, float]] = []
        """From when to when the service was there, by the monotonic clock; the last time has no end yet."""
        self.service: subprocess.Popen[bytes] | None = None
        self.model: subprocess.Popen[bytes] | None = None
        self._log = (folder / "log").open("ab")

    def prepare(self) -> None:
        """Make what lies on the disk."""
        self.spool.mkdir()
        (self.folder / "uploads").mkdir()
        tiny_models.make_embedder(self.folder / "embedder", self._shape)
        tiny_models.make_reranker(self.folder / "reranker", self._shape)
        self.write_keys()

    @property
    def key(self) -> str:
        """The key that callers use now: the newest that has been in force for a while."""
        return self.keys[min(1, len(self.keys) - 1)]

    def write_keys(self) -> None:
        """Write the key file whole, as a mounted Secret changes."""
        partial = self.folder / ".keys"
        partial.write_text("".join(f"soak: {key}\n" for key in self.keys))
        partial.rename(self.folder / "keys")

    def rotate(self) -> None:
        """Put a new key first, and let go of the oldest."""
        self.keys = [secrets.token_urlsafe(24), *self.keys][:KEPT_KEYS]
        self.write_keys()

    async def start(self) -> None:
        """Start the service and wait until documents can be read and both models are there."""
        environment = base_environment() | {
            "OCR_PORT": str(self.port),
            "OCR_OPS_PORT": str(self.ops_port),
            "OCR_SIDECAR_API_KEY_FILE": str(self.folder / "keys"),
            "OCR_SPOOL_DIR": str(self.spool),
            "OCR_SIDECAR_UPLOAD_BASE": str(self.folder / "uploads"),
            "OLLAMA_API_URL": f"http://{HOST}:{self.model_port}",
            "OCR_VRAM_SOURCE": "ollama",
            "OCR_KEY_MAX_DOCUMENTS": "64",
            "OCR_HEAD_SECONDS": "10",
            "OCR_RECEIVE_SECONDS": "10",
            "OCR_SHUTDOWN_SECONDS": "10",
            "BGE_M3_MODEL": str(self.folder / "embedder"),
            "RERANKER_MODEL": str(self.folder / "reranker"),
            "RETRIEVAL_DEVICE": "cpu",
            "HF_HUB_OFFLINE": "1",
            **self._settings,
        }
        command = [sys.executable, "-m", "sidecar", "serve"]
        self.service = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=self._log, stderr=self._log)
        async with asyncio.timeout(START_S):
            while not await asyncio.to_thread(self._is_ready):
                if self.service.poll() is not None:
                    raise RuntimeError(f"the service does not start: see {self.folder / 'log'}")
                await asyncio.sleep(0.1)
        self.is_up = True
        self.up_s.append((time.monotonic(), math.inf))

    def _away(self) -> None:
        self.is_up = False
        self.up_s[-1] = (self.up_s[-1][0], time.monotonic())

    def was_up(self, from_s: float, to_s: float) -> bool:
        """Tell whether the service was there all that time."""
        return any(begin <= from_s and to_s <= end for begin, end in self.up_s)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.ops_port}/readyz", timeout=5) as answer:
                return answer.read().count(b'"state": "loading"') == 0
        except (OSError, urllib.error.URLError):
            return False

    async def without_models(self, weigh: Callable[[int], float]) -> float:
        """Weigh the service between two uses of its models, when nothing of them is in memory, and load them again."""
        await asyncio.to_thread(self._post, "/bge/unload")
        empty = self.weigh(weigh)
        await asyncio.to_thread(self._post, "/bge/load")
        return empty

    def weigh(self, weigh: Callable[[int], float]) -> float:
        """Weigh the service's process."""
        assert self.service
        return weigh(self.service.pid)

    @property
    def weights_mb(self) -> float:
        """What the weights of both models take in half precision; in their files they have 32 bits."""
        return sum(path.stat().st_size for path in self.folder.glob("*/model.safetensors")) / 2 / BYTES_A_MB

    def _post(self, path: str) -> None:
        asked = urllib.request.Request(
            f"http://{HOST}:{self.port}{path}", method="POST", headers={"X-API-Key": self.key}
        )
        with urllib.request.urlopen(asked, timeout=START_S) as answer:
            answer.read()

    async def terminate(self) -> int | None:
        """SIGTERM, and wait for the end; returns the exit status, None if it had to be killed."""
        assert self.service
        self._away()
        self.service.send_signal(signal.SIGTERM)
        try:
            return await asyncio.to_thread(self.service.wait, STOP_S)
        except subprocess.TimeoutExpired:
            self.service.kill()
            self.service.wait()
            return None

    async def kill(self) -> None:
        """kill -9: what is in the air now is lost with it."""
        assert self.service
        self._away()
        self.epoch += 1
        self.is_dying = True  # for a second or more: the kernel accepts until it has cleared away the memory
        self.service.kill()
        await asyncio.to_thread(self.service.wait)
        self.epoch += 1
        self.is_dying = False

    def start_model(self) -> None:
        """Start the stand-in for Ollama."""
        command = [sys.executable, "-m", "tools.fakes.ollama", "--port", str(self.model_port), "--latency", "0.05"]
        self.model = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill_model(self) -> None:
        """End it in the middle of what it does."""
        assert self.model
        self.model.kill()
        self.model.wait()

    def workers(self) -> list[psutil.Process]:
        """Find the worker processes: what the fork server has forked."""
        with contextlib.suppress(psutil.Error):
            if self.service:
                return [one for child in psutil.Process(self.service.pid).children() for one in child.children()]
        return []

    def fill_disk(self) -> Path | None:
        """Fill the spool's disk, if it is one of its own."""
        if not os.path.ismount(self.spool):
            return None
        filler = self.spool / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 20))
        return filler

    def left_in_spool(self) -> list[str]:
        return [path.name for path in self.spool.rglob("*") if path.is_file()]

    def close(self) -> None:
        for process in (self.service, self.model):
            if process and process.poll() is None:
                process.kill()
                process.wait()
        self._log.close()


@contextlib.contextmanager
def disk(folder: Path):
    """Give the spool a small disk of its own, where that is possible; says why not, where it is not."""
    reason = small_disk.why_not()
    if reason:
        yield f"no full disk: {reason}"
        return
    with small_disk.small_disk(folder, "size=48m"):
        yield "the spool on a tmpfs of 48 MB"
