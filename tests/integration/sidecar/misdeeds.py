"""Functions for worker processes that do what bad documents do to libraries."""

import os
import resource
import signal
import socket
import sys
import time
from pathlib import Path


def pid() -> int:
    return os.getpid()


def blocked_signals() -> set[int]:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, []))


def priority() -> int:
    return os.nice(0)


def hang() -> None:
    while True:
        time.sleep(60)


def mark(flag: Path) -> None:
    """Tell the test something; a worker can write no file, but may change a file's time."""
    os.utime(flag, (1, 1))


def is_marked(flag: Path) -> bool:
    return flag.stat().st_mtime == 1


def hang_at(flag: Path) -> None:
    mark(flag)
    hang()


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def crash_once(flag: Path) -> str:
    if not is_marked(flag):
        mark(flag)
        crash()
    return "second try"


def hang_once(flag: Path) -> str:
    if not is_marked(flag):
        hang_at(flag)
    return "second try"


def swallow(mebibytes: int) -> int:
    return len(bytearray(mebibytes * 1024 * 1024))


def connect(family: int) -> None:
    socket.socket(family).close()


def run_a_program() -> None:
    os.execv("/bin/true", ["true"])


def write_a_file(folder: Path) -> None:
    (folder / "written").write_text("by a worker")


def remove_a_file(path: Path) -> None:
    path.unlink()


def signal_the_service() -> None:
    os.kill(os.getppid(), 0)


def take_the_service_s_descriptors() -> None:
    resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (10, 10))


def modules() -> list[str]:
    return sorted(sys.modules)
