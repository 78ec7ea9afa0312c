"""A real fleet on this machine: NATS' own server, sidecars, and for each a stand-in for its model server."""

import asyncio
import json
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.harness.service import Service, running_service
from sidecar.jobs.jetstream.embedded import find_server
from tools.fakes.ollama import Answer, FakeOllama

START_S, POLL_S = 15.0, 0.02
CHEAP_PICTURES = {"OCR_IMAGE_LONGEST_SIDE": "256", "OCR_WORKERS": "1"}
"""The pictures' size and drawing are not what is measured."""
THAI = "หน้านี้มีแต่เส้น"
"""What the stand-ins read: RapidOCR, which would be asked where each word stands, knows no Thai."""


@dataclass(frozen=True, slots=True)
class Nats:
    """A running server of NATS: where it answers, and where its monitoring does."""

    pid: int
    url: str
    monitoring: str

    def stored_bytes(self) -> dict[str, int]:
        """Return what each stream holds."""
        with urllib.request.urlopen(f"{self.monitoring}/jsz?streams=1", timeout=START_S) as answer:
            told = json.load(answer)
        streams = [one for account in told.get("account_details", []) for one in account.get("stream_detail", [])]
        return {one["name"]: one["state"]["bytes"] for one in streams}


@dataclass(frozen=True, slots=True)
class Site:
    """A running fleet."""

    sidecars: Sequence[Service]
    models: Sequence[FakeOllama]
    nats: Nats

    def cpu_s(self) -> dict[str, float]:
        """Return the processor time taken so far by each part; the driver's has that of the stand-ins."""
        taken = {
            "driver and stand-ins": _cpu_s(psutil.Process()),
            "nats-server": _cpu_s(psutil.Process(self.nats.pid)),
        }
        for number, sidecar in enumerate(self.sidecars):
            of_all = [psutil.Process(sidecar.pid), *psutil.Process(sidecar.pid).children(recursive=True)]
            taken[f"sidecar {number}"] = sum(_cpu_s(one) for one in of_all)
        return taken

    def memory_mib(self) -> Mapping[str, float]:
        """Return the memory of the server and of the first sidecar's serving process."""
        named = {"nats-server": self.nats.pid, "sidecar 0": self.sidecars[0].pid}
        return {name: psutil.Process(pid).memory_info().rss / 2**20 for name, pid in named.items()}


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@asynccontextmanager
async def running_site(
    sidecars: int, *, page_s: float, slots: int, places: bool = False, **settings: str
) -> AsyncIterator[Site]:
    """Run a fleet during the block; ``settings`` are further ones of every sidecar.

    ``places``: Tesseract reads each page as well, for the places of its words, as it does where it is installed.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ocr-scale-", ignore_cleanup_errors=True)))
        nats = await stack.enter_async_context(_running_nats(folder))
        models = [
            await stack.enter_async_context(FakeOllama(latency_s=page_s, parallel=slots)) for _ in range(sidecars)
        ]
        for model in models:
            model.script(lambda _: Answer(THAI))
        if not places:
            (folder / "no-languages").mkdir()
            settings |= {"TESSDATA_PREFIX": str(folder / "no-languages"), "OCR_FALLBACK_ENGINE": "none"}
        common = {"OCR_JOBS": nats.url, "OCR_PARALLEL_PAGES": str(slots)} | CHEAP_PICTURES | settings
        services = [running_service(**common, **model.environment) for model in models]
        async with _all_of(services) as started:
            yield Site(started, models, nats)


@asynccontextmanager
async def _all_of(services: Sequence[AbstractContextManager[Service]]) -> AsyncIterator[list[Service]]:
    """Run all of them at once during the block; where one does not start, none is left running."""
    started = await asyncio.gather(*(asyncio.to_thread(one.__enter__) for one in services), return_exceptions=True)
    running = [one for one, told in zip(services, started, strict=True) if not isinstance(told, BaseException)]
    try:
        for told in started:
            if isinstance(told, BaseException):
                raise told
        yield [told for told in started if isinstance(told, Service)]
    finally:
        await asyncio.gather(*(asyncio.to_thread(one.__exit__, None, None, None) for one in running))


@asynccontextmanager
async def _running_nats(folder: Path) -> AsyncIterator[Nats]:
    config = {
        "listen": "127.0.0.1:-1",
        "http": "127.0.0.1:-1",
        "ports_file_dir": str(folder),
        "jetstream": {"store_dir": str(folder / "store")},
    }
    (folder / "nats.conf").write_text(json.dumps(config))
    process = await asyncio.to_thread(_start, [find_server(), "--config", str(folder / "nats.conf")])
    try:
        told = await asyncio.to_thread(_ports, folder)
        yield Nats(process.pid, told["nats"][0], told["monitoring"][0])
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, START_S)


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _ports(folder: Path) -> dict[str, list[str]]:
    """Wait until the server has told its ports."""
    ends_s = time.monotonic() + START_S
    while time.monotonic() < ends_s:
        for file in folder.glob("*.ports"):
            if content := file.read_text():
                told: dict[str, list[str]] = json.loads(content)
                return told
        time.sleep(POLL_S)
    raise TimeoutError("nats-server does not start")
