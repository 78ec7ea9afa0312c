"""One caller, who waits for the answers to all texts of a request, as long as its patience lasts."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sidecar.errors import DeadlineError, SidecarError
from sidecar.retrieval.batch_policy import Patience

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Answered(Generic[R]):
    """The outcome of one text: its result, or None if the model gave no numbers; the device, and the reason for it."""

    result: R | None
    device: str
    reason: str


FOREVER = Patience()


class Call(Generic[R]):
    """One caller, which waits until all its texts are computed, or until the first fails."""

    def __init__(self, size: int) -> None:
        self.answers: list[Answered[R] | None] = [None] * size
        self.missing = size
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._timer: asyncio.TimerHandle | None = None

    def answer(self, place: int, answered: Answered[R]) -> None:
        """Take the answer to one text."""
        self.answers[place] = answered
        self.missing -= 1
        if not self.missing and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: SidecarError) -> None:
        """Fail, unless it has ended."""
        if not self.done.done():
            self.done.set_exception(error)

    def watch(self, patience: Patience, clock: Callable[[], float], progressed_s: Callable[[], float]) -> None:
        """Fail it when its patience is over. ``progressed_s`` tells when anything was computed last.

        Whoever waits for a long array, or behind one, is not forgotten.
        """
        began_s = clock()

        def look() -> None:
            now_s = clock()
            stalled_s = max(began_s, progressed_s()) + patience.stall_s - now_s
            left_s = min(stalled_s, began_s + patience.total_s - now_s)
            if left_s <= 0:
                limit_s = patience.stall_s if stalled_s <= 0 else patience.total_s
                self.fail(DeadlineError(f"it took longer than {limit_s:g} s"))
            elif left_s < math.inf:
                self._timer = asyncio.get_running_loop().call_later(left_s, look)

        look()

    def end(self) -> None:
        """Stop watching: nobody waits any more."""
        if self._timer:
            self._timer.cancel()
