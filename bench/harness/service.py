"""The real service, started as users start it, on free ports and with its own spool."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sidecar.settings import environment_names

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
START_S = 90.0
STOP_S = 40.0
"""More than the 25 s that the service gives its running documents."""
POLL_S = 0.005
LOG_TAIL_BYTES = 2000
KEPT_SETTINGS = frozenset({"TESSDATA_PREFIX"})
"""Settings of the caller's environment that the service is started with; all others are the defaults."""


class ServiceError(Exception):
    """The service does not start or stop; the text has the end of its log."""


@dataclass(frozen=True, slots=True)
class Service:
    """A running service. ``startup_s`` is the time from its process's start to its first healthy answer."""

    pid: int
    port: int
    startup_s: float

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{HOST}:{self.port}"


@contextmanager
def running_service(**settings: str) -> Iterator[Service]:
    """Run the service during the block; settings are given by their names in the environment."""
    with tempfile.TemporaryDirectory(prefix="ocr-sidecar-bench-") as folder:
        port, ops_port = free_ports(2)
        environment = base_environment() | {
            "OCR_AUTH_MODE": "network",
            "OCR_PORT": str(port),
            "OCR_OPS_PORT": str(ops_port),
            "OCR_SPOOL_DIR": str(Path(folder) / "spool"),
            "BGE_M3_MODEL": "",  # loaded only when they are measured
            "RERANKER_MODEL": "",
        }
        log = Path(folder) / "log"
        started = time.perf_counter()
        process = _start(environment | settings, log)
        try:
            _wait_until_healthy(process, port, log)
            yield Service(process.pid, port, time.perf_counter() - started)
        finally:
            _stop(process, log)


def base_environment() -> dict[str, str]:
    """Copy the caller's environment without the service's settings, and with bytecode, as an installed service has."""
    dropped = (environment_names().keys() - KEPT_SETTINGS) | {"PYTHONDONTWRITEBYTECODE"}
    return {name: value for name, value in os.environ.items() if name not in dropped}


def free_ports(count: int) -> list[int]:
    """Let the kernel choose ports; all are bound before the first is released, so that they differ."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]


def _start(environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "sidecar", "serve"]
    with log.open("wb") as output:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)


def _wait_until_healthy(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while not _is_healthy(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise ServiceError(f"the service does not start:\n{_tail(log)}")
        time.sleep(POLL_S)


def _is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=1)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes], log: Path) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise ServiceError(f"the service does not stop:\n{_tail(log)}") from None


def _tail(log: Path) -> str:
    return log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
