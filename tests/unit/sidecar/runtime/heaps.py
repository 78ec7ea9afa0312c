"""What fills heaps. It imports little, since each test runs it in a new process."""

import asyncio
import ctypes
import os
import re
import threading
from pathlib import Path

from sidecar.runtime import heap

BLOCK, COUNT = 100_000, 1500  # below what malloc takes from the system by itself


def anonymous_mib() -> float:
    return int(re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024


def many_heaps() -> int:
    """Have eight threads hold memory at once; return how many heaps serve them."""
    full = threading.Barrier(9)

    def hold():
        blocks = [bytearray(BLOCK) for _ in range(9)]
        full.wait()
        full.wait()
        assert blocks

    threads = [threading.Thread(target=hold) for _ in range(8)]
    for thread in threads:
        thread.start()
    full.wait()
    libc = ctypes.CDLL(None)
    libc.fdopen.restype = ctypes.c_void_p
    read, write = os.pipe()
    file = ctypes.c_void_p(libc.fdopen(write, b"w"))
    libc.malloc_info(0, file)
    libc.fclose(file)
    full.wait()
    with os.fdopen(read) as told:
        return told.read().count("<heap nr=")


def with_holes() -> list[bytearray]:
    """Leave a block at the end of each stretch of freed memory, so that free() gives none back."""
    blocks = [bytearray(BLOCK) for _ in range(COUNT)]
    return blocks[::100]


async def a_trim() -> int:
    """Free memory between blocks in use, and wait until the loop has given it back."""
    kept = with_holes()
    before_mib = anonymous_mib()
    trimming = asyncio.create_task(heap.keep_trimmed(every_s=0.01))
    async with asyncio.timeout(20):
        while anonymous_mib() > before_mib - 100:
            await asyncio.sleep(0.01)
    trimming.cancel()
    return len(kept)
