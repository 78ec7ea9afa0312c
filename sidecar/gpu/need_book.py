"""Keeps what was learned of the OCR model's need, in memory and in a file. Learns nothing itself."""

import asyncio
import time
from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from sidecar.gpu import need
from sidecar.gpu.need import Need, NeedKey, Requirement
from sidecar.gpu.state_folder import StateFile, StateFolder

FILE = "need.json"
KEPT = 64
"""Needs that are kept, the latest: of every model, context and size of pictures that was ever tried there are few."""


class NeedFile(BaseModel):
    """The file's content."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    needs: tuple[Need, ...] = ()


class NeedBook:
    """What is known, by key. Times are seconds since 1970: they outlive the process."""

    def __init__(self, folder: StateFolder | None = None, clock: Callable[[], float] = time.time) -> None:
        self._file = StateFile(folder, FILE, NeedFile)
        self._clock = clock
        self._needs: dict[NeedKey, Need] = {}
        self._saving: asyncio.Task[None] | None = None
        self._is_saved = True

    async def open(self) -> None:
        """Take what was learned by the processes before."""
        known = await self._file.load()
        self._needs = {one.key: one for one in known.needs} if known else {}

    async def close(self) -> None:
        """Wait until all is saved, or cannot be."""
        if self._saving:
            await asyncio.wait([self._saving])

    def get(self, key: NeedKey) -> Need:
        """Return what is known of a key, which may be nothing."""
        return self._needs.get(key) or Need(key=key)

    def all(self) -> tuple[Need, ...]:
        """Return all that is known, the latest last."""
        return tuple(self._needs.values())

    def seen(self, one: Need) -> dict[int, int]:
        """Return what is required in MiB by the number of calls at a time, for the numbers that were seen."""
        numbers = sorted({*one.peaks, *one.lacking})
        found = {n: need.requirement(one, n, 0, self._clock()) for n in numbers}
        return {n: required.mb for n, required in found.items() if required.is_seen}

    def requirement(self, key: NeedKey, calls: int, estimate_mb: int) -> Requirement:
        """Say what so many calls at a time take; see :func:`sidecar.gpu.need.requirement`."""
        return need.requirement(self._needs.get(key), calls, estimate_mb, self._clock())

    def idle_mb(self, key: NeedKey) -> int:
        """Return what the loaded model takes while it reads nothing, in MiB; 0 if that is not known."""
        idle = self.get(key).idle
        return idle.mb if idle else 0

    def change(self, key: NeedKey, learn: Callable[[Need, float], Need]) -> None:
        """Learn something, and save it in the background."""
        known = self.get(key)
        learned = learn(known, self._clock())
        if learned == known:
            return
        self._needs.pop(key, None)
        self._needs[key] = learned
        while len(self._needs) > KEPT:
            self._needs.pop(next(iter(self._needs)))
        self._is_saved = False
        if self._saving is None or self._saving.done():
            self._saving = asyncio.create_task(self._save())

    async def _save(self) -> None:
        while not self._is_saved:
            self._is_saved = True  # what is learned while it is written makes one more round
            await self._file.save(NeedFile(needs=tuple(self._needs.values())))
