"""Runs what a compose file or a unit would run, without containers: the same commands, with the same environment."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import aiohttp

from bench.harness.service import free_ports
from tests.conftest import PATIENCE_S
from tests.integration.sidecar.documents import as_png, picture_of_text
from tests.unit.test_docs import ROOT

PAGE = as_png(picture_of_text(lines=2, size=(700, 400)))


class Host:
    """A folder in the place of a host's root, free ports, and processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.api, self.ops, self.mirror_ops = free_ports(3)
        self._processes: list[asyncio.subprocess.Process] = []

    async def __aenter__(self) -> Self:
        self.client = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    @property
    def settings(self) -> dict[str, str]:
        """What an operator sets, so that the sidecar runs beside other tests: ports, and no models of embedding."""
        ports = {"OCR_HOST": "127.0.0.1", "OCR_PORT": str(self.api), "OCR_OPS_PORT": str(self.ops)}
        return ports | {"BGE_M3_MODEL": "", "RERANKER_MODEL": "", "OCR_LANGUAGES": "eng", "OCR_VRAM_SOURCE": "ollama"}

    def here(self, text: str, folders: Sequence[str]) -> str:
        """Move paths of the container or of the host below this host's folder."""
        for folder in folders:
            text = text.replace(folder, f"{self.root}{folder}")
        return text

    async def start(self, command: Sequence[str], environ: Mapping[str, str]) -> asyncio.subprocess.Process:
        """Start a command as a process, with this environment and nothing of our own but what Python needs."""
        own = {name: os.environ[name] for name in ("PATH", "TESSDATA_PREFIX") if name in os.environ}
        program, *arguments = command
        assert program.rpartition("/")[2] == "python"
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, env=own | {"HOME": str(self.root)} | dict(environ), cwd=ROOT
        )
        self._processes.append(process)
        return process

    async def run(self, command: Sequence[str], environ: Mapping[str, str]) -> int:
        """Run a command to its end; give its exit status."""
        process = await self.start(command, environ)
        async with asyncio.timeout(PATIENCE_S):
            return await process.wait()

    async def stop(self, process: asyncio.subprocess.Process, within_s: float) -> int:
        """End a process as Compose and systemd do; give its exit status."""
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(within_s):
            return await process.wait()

    async def profile(self) -> dict[str, Any] | None:
        """The profile that the sidecar has loaded; None while it has none, or does not answer yet."""
        with contextlib.suppress(aiohttp.ClientError):
            async with self.client.get(f"http://127.0.0.1:{self.ops}/profiles") as response:
                found = (await response.json())["profiles"]
            return found[0] if found else None
        return None

    async def read(self) -> dict[str, Any]:
        """Have a page read as the backend would, by a profile's name."""
        form = aiohttp.FormData({"engine": "np-dms-ocr", "profile": "ocr-extract"})
        form.add_field("file", PAGE, filename="upload.pdf", content_type="application/pdf")
        async with self.client.post(f"http://127.0.0.1:{self.api}/ocr-upload", data=form) as response:
            assert response.status == 200, await response.text()
            return await response.json()
