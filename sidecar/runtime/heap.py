"""The heaps of glibc: few of them, and what is free within them goes back to the system now and then.

glibc makes eight heaps per core and gives back what is free at the end of each, not what is free between blocks in use.
So memory rises for hours, up to the largest peak of every heap. Another C library does this by itself, or not at all.
"""

import asyncio
import contextlib
import ctypes

from sidecar.runtime.blocking_pool import BlockingPool

M_ARENA_MAX = -8  # malloc.h
ARENAS = 2
"""Ten heaps of 64 MiB were there after eight minutes of texts of all lengths on two cores."""
TRIM_EVERY_S = 30.0
"""One trim takes 12 to 36 ms beside embedding, in which threads wait that allocate from the same heap."""


def bound() -> None:
    """Have all threads share :data:`ARENAS` heaps; to be called before there are many threads."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)


def trim() -> None:
    """Give free memory back to the system."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


async def keep_trimmed(every_s: float = TRIM_EVERY_S) -> None:
    """Trim now and then, in a thread, for ever."""
    thread = BlockingPool("heap", 1)
    while True:
        await asyncio.sleep(every_s)
        await thread.run(trim)
