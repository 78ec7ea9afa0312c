"""Functions for worker processes that do what bad documents do to libraries."""

import os
import signal
import sys
import time
from pathlib import Path


def pid() -> int:
    return os.getpid()


def priority() -> int:
    return os.nice(0)


def hang() -> None:
    while True:
        time.sleep(60)


def hang_at(flag: Path) -> None:
    flag.touch()
    hang()


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def crash_once(flag: Path) -> str:
    if not flag.exists():
        flag.touch()
        crash()
    return "second try"


def swallow(mebibytes: int) -> int:
    return len(bytearray(mebibytes * 1024 * 1024))


def modules() -> list[str]:
    return sorted(sys.modules)
