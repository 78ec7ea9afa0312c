"""The model calls that run: how many, whose models they loaded, and what they take of the GPU while they run.

Reads the GPU for that, by :mod:`sidecar.gpu.burst`, and has what was seen noted in the book; decides nothing.
"""

import asyncio
import logging
from collections import Counter

from sidecar.gpu import burst as bursts
from sidecar.gpu import need
from sidecar.gpu.burst import Burst
from sidecar.gpu.need import NeedKey
from sidecar.gpu.need_book import NeedBook
from sidecar.gpu.vram import VramHeadroom, full_name
from sidecar.gpu.vram_monitor import VramMonitor

log = logging.getLogger(__name__)

POLL_S = 0.25


class RunningCalls:
    """Counts calls by model, and watches each burst of them. Models go by their full names."""

    def __init__(self, monitor: VramMonitor, book: NeedBook, *, learns: bool = True) -> None:
        self._monitor = monitor
        self._learns = learns
        self._book = book
        self._running: Counter[str] = Counter()
        self._most: Counter[str] = Counter()
        self._bursts: dict[str, Burst] = {}
        self._watching: dict[str, asyncio.Task[None]] = {}
        self._loaded: set[str] = set()
        self._cuts: set[asyncio.Timeout] = set()

    @property
    def total(self) -> int:
        """Calls that run now, of all models."""
        return self._running.total()

    @property
    def loaded(self) -> frozenset[str]:
        """Models that calls loaded and that have not left since, as far as :meth:`note` was told."""
        return frozenset(self._loaded)

    @property
    def is_watched(self) -> bool:
        """Whether a burst is still looked at; what it took is known afterwards."""
        return bool(self._watching)

    def of(self, model: str) -> int:
        """Calls of a model that run now."""
        return self._running[full_name(model)]

    def most_of(self, model: str) -> int:
        """Most calls of a model that ran at a time since its burst began; at least 1."""
        return max(1, self._most[full_name(model)])

    def note(self, headroom: VramHeadroom) -> None:
        """Take from a reading which models have left."""
        if headroom.query_success:
            self._loaded = {one for one in self._loaded if self._running[one] or headroom.is_resident(one)}

    def begin(self, model: str, key: NeedKey, headroom: VramHeadroom) -> asyncio.Timeout:
        """Count a call from the reading before it; the timeout ends it where :meth:`cut` is called."""
        name = full_name(model)
        if not headroom.is_resident(name):
            self._loaded.add(name)
        self._begin_burst(name, key, headroom)
        self._running[name] += 1
        self._most[name] = max(self._most[name], self._running[name])
        cut = asyncio.timeout(None)
        self._cuts.add(cut)
        return cut

    def end(self, model: str, cut: asyncio.Timeout) -> None:
        """Count a call no more."""
        self._cuts.discard(cut)
        self._running[full_name(model)] -= 1

    def cut(self) -> None:
        """End all calls that run."""
        for cut in self._cuts:
            if not cut.expired():  # it may take a call some time to end
                cut.reschedule(asyncio.get_running_loop().time())

    def room_mb(self, model: str, headroom: VramHeadroom) -> int | None:
        """Return what there is for a model while calls of it run, in MiB; None if none does."""
        burst = self._bursts.get(full_name(model))
        return bursts.room_mb(burst, headroom) if burst and self.of(model) else None

    async def close(self) -> None:
        """End watching."""
        for task in list(self._watching.values()):
            task.cancel()
        await asyncio.gather(*self._watching.values(), return_exceptions=True)

    def _begin_burst(self, model: str, key: NeedKey, headroom: VramHeadroom) -> None:
        """Begin a burst, if none goes on."""
        if not self._learns or self._running[model] or model in self._watching:
            return
        own_mb = need.own_mb(self._book.get(key), headroom.held_by(model))
        self._bursts[model] = bursts.begin(headroom, model, own_mb)
        self._most[model] = 0
        if self._bursts[model].is_clean:
            self._watching[model] = asyncio.create_task(self._watch(model, key))

    async def _watch(self, model: str, key: NeedKey) -> None:
        """Read the GPU while calls run, and once more after the last; learn from what was seen."""
        try:
            while True:
                if await self._look(model):
                    break
                await asyncio.sleep(POLL_S)
            burst = self._bursts[model]
            self._book.change(key, lambda one, now_s: bursts.learn(one, burst, now_s))
        except Exception:  # a bug here must cost a measurement, not a page
            log.exception("what the model takes cannot be watched")
        finally:
            self._watching.pop(model, None)

    async def _look(self, model: str) -> bool:
        """Take one reading; return whether no call runs any more."""
        before = self._running[model]
        headroom = await (self._monitor.read() if before else self._monitor.read_anew())
        calls = min(before, self._running[model])
        is_over = not before and not self._running[model]
        if calls or is_over:
            self._bursts[model] = bursts.next_burst(self._bursts[model], headroom, calls)
        return is_over
