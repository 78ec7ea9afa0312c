"""Carries out what :mod:`sidecar.retrieval.placement_policy` decides: copies on the GPU, and where to run.

Nothing is moved under a running batch: a copy that is dropped is freed by the same thread that runs its batches.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sidecar.gpu.vram import VramHeadroom
from sidecar.retrieval import placement_policy
from sidecar.retrieval.model import GpuFailedError, GpuOutOfMemoryError, ModelCopy, RetrievalModel
from sidecar.retrieval.placement_policy import CopyState
from sidecar.runtime.daemon_thread import DaemonThread

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
"""Pressure is seen within this, and the memory is back well within five seconds."""


@dataclass(frozen=True, slots=True)
class PlacementLimits:
    """``threshold_mb`` of the GPU stays free, in MiB; ``overhead_mb`` is what a copy takes beside its weights.

    ``room_s``: how long, in seconds, who wants room waits for it. A copy has given its memory back within that, unless
    the GPU hangs.
    """

    threshold_mb: int
    overhead_mb: int
    room_s: float = 5.0


@dataclass(slots=True)
class _Tenant:
    model: RetrievalModel[Any, Any]
    state: CopyState
    copy: ModelCopy[Any] | None = None


class Placement:
    """Where each model runs. ``ranks`` names the models, those that come first on the GPU first.

    Without a GPU to use, ``read`` is None and nothing ever looks.
    """

    def __init__(
        self,
        ranks: tuple[str, ...],
        read: Callable[[], Awaitable[VramHeadroom]] | None,
        thread: DaemonThread,
        limits: PlacementLimits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ranks = ranks
        self._read = read
        self._thread = thread
        self._limits = limits
        self._clock = clock
        self._tenants: dict[str, _Tenant] = {}
        self._turn = asyncio.Lock()
        self._following: dict[asyncio.Task[None], float] = {}

    def admit(self, model: RetrievalModel[Any, Any]) -> None:
        """Take in a model that is loaded; it starts on the CPU."""
        self._tenants[model.name] = _Tenant(model, CopyState(model.gpu_mb + self._limits.overhead_mb))

    def where(self, name: str) -> tuple[ModelCopy[Any] | None, str]:
        """Give a model's copy on the GPU, or None for the one on the CPU, and the reason."""
        tenant = self._tenants.get(name)
        if self._read is None or tenant is None or not tenant.model.can_use_gpu:
            return None, placement_policy.NO_CUDA
        if not tenant.state.on_gpu:  # its copy may still be there, waiting to be freed
            return None, tenant.state.reason
        return tenant.copy, tenant.state.reason if tenant.copy else placement_policy.WARMING_UP

    def is_on_gpu(self, name: str) -> bool:
        """Tell whether a model has a copy on the GPU."""
        return name in self._tenants and self._tenants[name].copy is not None

    async def keep_placing(self) -> None:
        """Look at the GPU until cancelled, and let copies come and go; all go at the end."""
        if self._read is None:
            return
        try:
            while True:
                try:
                    await self.look()
                except Exception:  # this loop is its own supervisor: the CPU's copies answer whatever happens here
                    log.exception("the placement of the models failed")
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            for following in self._following:
                following.cancel()
            for tenant in self._tenants.values():
                tenant.copy = None

    async def look(self) -> None:
        """Take one reading and follow it."""
        tenants = [self._tenants[name] for name in self._ranks if name in self._tenants]
        tenants = [tenant for tenant in tenants if tenant.model.can_use_gpu]
        if self._read is None or not tenants:
            return
        headroom = await self._read()
        states = [tenant.state for tenant in tenants]
        placed = placement_policy.place(states, headroom, self._limits.threshold_mb, self._clock())
        for tenant, state in zip(tenants, placed, strict=True):
            tenant.state = state
        await self._follow(tenants)

    async def make_room(self) -> bool:
        """Drop all copies, because OCR needs their memory; tell whether there were any. Returns when it is free.

        But no later than after ``room_s``: a page waits for it. Who comes while others have it made waits as well.
        """
        gone = [tenant for tenant in self._tenants.values() if tenant.state.on_gpu]
        for tenant in gone:
            tenant.state = placement_policy.bar(tenant.state, placement_policy.BELOW_THRESHOLD, self._clock())
        if gone:
            self._begin(gone)
        # One that has taken longer hangs: a page that comes now does not wait for it once more.
        began_since_s = time.monotonic() - self._limits.room_s
        making_room = [task for task, began_s in self._following.items() if began_s > began_since_s]
        if making_room:
            await asyncio.wait(making_room, timeout=self._limits.room_s)
        return bool(making_room)

    async def failed(self, name: str, reason: str) -> None:
        """Drop a copy that failed a batch, for a while."""
        log.warning("a copy on the GPU failed", extra={"model": name, "reason": reason})
        tenant = self._tenants[name]
        tenant.state = placement_policy.bar(tenant.state, reason, self._clock())
        await self._follow([tenant], self._limits.room_s)

    async def _follow(self, tenants: list[_Tenant], wait_s: float | None = None) -> None:
        """Make true what the states say, and wait for it. Who waits may leave: what was begun is done all the same."""
        following = self._begin(tenants)
        await asyncio.wait({following}, timeout=wait_s)
        if following.done():
            following.result()

    def _begin(self, tenants: list[_Tenant]) -> "asyncio.Task[None]":
        following = asyncio.create_task(self._carry_out(tenants))
        self._following[following] = time.monotonic()
        following.add_done_callback(self._following.pop)
        return following

    async def _carry_out(self, tenants: list[_Tenant]) -> None:
        """First those that leave, then those that come."""
        async with self._turn:
            for tenant in tenants:
                if tenant.copy is not None and not tenant.state.on_gpu:
                    tenant.copy = None
                    await self._thread.run(_nothing)  # the batch that still runs ends, and lets go of the copy
                    await self._free(tenant)
                    self._tell(tenant)
            for tenant in tenants:
                if tenant.copy is None and tenant.state.on_gpu:
                    await self._make(tenant)

    async def _make(self, tenant: _Tenant) -> None:
        reason = None
        try:
            tenant.copy = await self._thread.run(tenant.model.copy_to_gpu)
        except (GpuOutOfMemoryError, GpuFailedError) as exc:
            reason = reason_of(exc)
        except Exception:  # whatever a driver or its library makes of it: there is no copy
            log.exception("no copy can be made on the GPU")
            reason = placement_policy.NO_CUDA
        if reason:  # outside of the except clauses: the exception holds on to what was made of the copy
            tenant.state = placement_policy.bar(tenant.state, reason, self._clock())
            await self._free(tenant)
        self._tell(tenant)

    async def _free(self, tenant: _Tenant) -> None:
        try:
            await self._thread.run(tenant.model.free_gpu)
        except Exception:  # after some errors CUDA answers nothing more; that is no reason to answer nothing on the CPU
            log.exception("the memory of a copy cannot be given back")

    def _tell(self, tenant: _Tenant) -> None:
        log.info(
            "a model changed its place",
            extra={"model": tenant.model.name, "onGpu": tenant.copy is not None, "reason": tenant.state.reason},
        )


def reason_of(error: Exception) -> str:
    """Name the reason for the CPU after the GPU failed so."""
    return placement_policy.OUT_OF_MEMORY if isinstance(error, GpuOutOfMemoryError) else placement_policy.NO_CUDA


def _nothing() -> None:
    """Stand in a thread's line."""
