"""What glibc's heaps hold after threads came and went; each in a process of its own, whose heaps are new."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.runtime import heap

pytestmark = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="glibc alone has these heaps")


def run(script: str) -> str:
    command = [sys.executable, "-c", f"import asyncio\nfrom tests.unit.sidecar.runtime.heaps import *\n{script}"]
    root = Path(__file__).parents[4]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def test_many_threads_share_few_heaps():
    assert int(run("print(many_heaps())")) > heap.ARENAS
    assert int(run("heap.bound(); print(many_heaps())")) == heap.ARENAS


def test_what_is_free_between_blocks_in_use_goes_back():
    assert run("print(asyncio.run(a_trim()))") == "15"
