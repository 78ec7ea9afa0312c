"""Reads the GPU's memory: NVML for the device, Ollama for which model holds what. Decides nothing.

One reading serves all callers for a quarter of a second. It is taken off the event loop, within three seconds. The
only module that imports pynvml.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import TypeVar

import pynvml

from sidecar.errors import SidecarError
from sidecar.gpu.vram import UNREADABLE, ResidentModel, VramHeadroom

__all__ = ["DeviceMemory", "Nvml", "ResidentModel", "VramHeadroom", "VramMonitor"]

log = logging.getLogger(__name__)

T = TypeVar("T")

SHARED_S = 0.25
DEADLINE_S = 3.0
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """What the device reports, in MiB, over all its users; ``gpu`` is its UUID, where it says."""

    total_mb: int
    used_mb: int
    free_mb: int
    gpu: str = ""


class Nvml:
    """One NVIDIA device, read in a thread of its own, since a driver that hangs may never answer."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._asked: Future[DeviceMemory | None] | None = None
        self._handle: object | None = None
        self._uuid = ""

    async def read(self) -> DeviceMemory | None:
        """Read the memory; None where there is no such device, or its last answer is still awaited."""
        if self._asked and not self._asked.done():
            return None
        asked = self._asked = Future()
        # A thread that the process does not wait for at its end, as it would for an executor's.
        Thread(target=self._answer, args=(asked,), name="nvml", daemon=True).start()
        return await asyncio.wrap_future(asked)

    def _answer(self, asked: "Future[DeviceMemory | None]") -> None:
        if not asked.set_running_or_notify_cancel():
            return
        try:
            asked.set_result(self._read())
        except BaseException as exc:  # noqa: BLE001 - whoever asked hears it
            asked.set_exception(exc)

    def _read(self) -> DeviceMemory | None:
        try:
            if self._handle is None:
                pynvml.nvmlInit()
                self._handle = pynvml.nvmlDeviceGetHandleByIndex(self._index)
                self._uuid = str(pynvml.nvmlDeviceGetUUID(self._handle))
            memory = pynvml.nvmlDeviceGetMemoryInfo(self._handle)
        except pynvml.NVMLError:
            self._handle = None  # no driver, no device, or one that shares its memory; the next reading starts anew
            return None
        return DeviceMemory(memory.total // MIB, memory.used // MIB, memory.free // MIB, self._uuid)


ReadDevice = Callable[[], Awaitable[DeviceMemory | None]]
ReadModels = Callable[[], Awaitable[Sequence[ResidentModel] | None]]


class VramMonitor:
    """Gives readings. ``total_mb`` is what the card has where NVML cannot tell."""

    def __init__(
        self,
        read_device: ReadDevice,
        read_models: ReadModels,
        total_mb: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read_device = read_device
        self._read_models = read_models
        self._total_mb = total_mb
        self._clock = clock
        self._running: asyncio.Task[VramHeadroom] | None = None
        self._read_at_s = float("-inf")
        self.latest = UNREADABLE
        """The last reading, however old."""

    async def read(self) -> VramHeadroom:
        """Return a reading of the last quarter of a second, or take one. Never fails: see ``query_success``."""
        if self._clock() - self._read_at_s <= SHARED_S:
            return self.latest
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._take())
        return await asyncio.shield(self._running)  # a cancelled caller must not cancel the others' reading

    async def read_anew(self) -> VramHeadroom:
        """Return a reading that began after this call, because memory has just been freed."""
        if self._running:
            await asyncio.shield(self._running)
        self._read_at_s = float("-inf")
        return await self.read()

    async def close(self) -> None:
        """End a reading that still runs."""
        if self._running:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _take(self) -> VramHeadroom:
        device, models = await asyncio.gather(_in_time(self._read_device()), _in_time(self._read_models()))
        self.latest = headroom(device, models, self._total_mb)
        self._read_at_s = self._clock()
        return self.latest


async def _in_time(reading: Awaitable[T]) -> T | None:
    try:
        async with asyncio.timeout(DEADLINE_S):
            return await reading
    except (TimeoutError, SidecarError):
        return None
    except Exception:  # a reading never fails; an unexpected error is logged and counts as no answer
        log.exception("the GPU cannot be read")
        return None


def headroom(device: DeviceMemory | None, models: Sequence[ResidentModel] | None, total_mb: int) -> VramHeadroom:
    """Combine the readings: the device's own if there is one, else the card's total less what the models hold."""
    known = tuple(models or ())
    if device:
        return VramHeadroom(
            device.total_mb, device.used_mb, device.free_mb, query_success=True, models=known, gpu=device.gpu
        )
    if models is None:
        return UNREADABLE
    used_mb = sum(model.vram_mb for model in known)
    return VramHeadroom(total_mb, used_mb, max(0, total_mb - used_mb), query_success=True, models=known)
