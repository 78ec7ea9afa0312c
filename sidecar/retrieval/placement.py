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

POLL_S = 0.5
"""Pressure is noticed within this time, and the memory is freed well within five seconds."""


@dataclass(frozen=True, slots=True)
class PlacementLimits:
    """``threshold_mb`` of the GPU stays free, in MiB; ``overhead_mb`` is what a copy takes beside its weights.

    ``room_s``: how long a caller waits for memory to be freed, in seconds. A copy is freed within that, unless the GPU
    hangs.
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

    Without a GPU, ``read`` is None and nothing is polled.
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
        self._dismissed: set[str] = set()
        self._turn = asyncio.Lock()
        self._following: dict[asyncio.Task[None], float] = {}

    def admit(self, model: RetrievalModel[Any, Any]) -> None:
        """Add a model that is loaded; it starts on the CPU."""
        self._dismissed.discard(model.name)
        self._tenants[model.name] = _Tenant(model, CopyState(model.gpu_mb + self._limits.overhead_mb))

    def where(self, name: str) -> tuple[ModelCopy[Any] | None, str]:
        """Return a model's copy on the GPU, or None for the one on the CPU, and the reason."""
        tenant = self._tenants.get(name)
        if self._read is not None and name in self._dismissed:
            return None, placement_policy.RELEASED
        if self._read is None or tenant is None or not tenant.model.can_use_gpu:
            return None, placement_policy.NO_CUDA
        if not tenant.state.on_gpu:  # its copy may still be there, waiting to be freed
            return None, tenant.state.reason
        return tenant.copy, tenant.state.reason if tenant.copy else placement_policy.WARMING_UP

    def is_on_gpu(self, name: str) -> bool:
        """Tell whether a model has a copy on the GPU."""
        return name in self._tenants and self._tenants[name].copy is not None

    async def keep_placing(self) -> None:
        """Poll the GPU until cancelled, make and drop copies; drop all at the end."""
        if self._read is None:
            return
        try:
            while True:
                try:
                    await self.look()
                except Exception:  # this loop supervises itself: the copies on the CPU answer whatever happens here
                    log.exception("the placement of the models failed")
                await asyncio.sleep(POLL_S)
        finally:
            for following in self._following:
                following.cancel()
            for tenant in self._tenants.values():
                tenant.copy = None

    async def look(self) -> None:
        """Take one reading, decide, and make or drop copies."""
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

    async def dismiss(self, name: str) -> None:
        """Forget a model that leaves, and free its copy; wait for that, at most ``room_s``, as long as a GPU may hang.

        Its batches that are still to come run on the CPU. It is barred: a reading may be under way that counts it.
        """
        tenant = self._tenants.pop(name)
        self._dismissed.add(name)
        tenant.state = placement_policy.bar(tenant.state, placement_policy.RELEASED, self._clock())
        await self._follow([tenant], self._limits.room_s)

    async def make_room(self) -> bool:
        """Drop all copies, because OCR needs their memory; return whether there were any, once the memory is free.

        It returns after ``room_s`` at the latest, as a page waits for it. A caller that comes meanwhile waits, too.
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
        if tenant := self._tenants.get(name):  # else it was dismissed meanwhile, and its copy is going
            tenant.state = placement_policy.bar(tenant.state, reason, self._clock())
            await self._follow([tenant], self._limits.room_s)

    async def _follow(self, tenants: list[_Tenant], wait_s: float | None = None) -> None:
        """Make the copies match the states, and wait for it. A cancelled caller does not cancel the work."""
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
        """Drop copies first, then make new ones."""
        async with self._turn:
            for tenant in tenants:
                if tenant.copy is not None and not tenant.state.on_gpu:
                    tenant.copy = None
                    await self._thread.run(_nothing)  # wait for the running batch, which holds the copy
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
        except Exception:  # whatever a driver or its library raises: there is no copy
            log.exception("no copy can be made on the GPU")
            reason = placement_policy.NO_CUDA
        if reason:  # outside of the except clauses: the exception keeps a reference to the partial copy
            tenant.state = placement_policy.bar(tenant.state, reason, self._clock())
            await self._free(tenant)
        self._tell(tenant)

    async def _free(self, tenant: _Tenant) -> None:
        try:
            await self._thread.run(tenant.model.free_gpu)
        except Exception:  # after some errors CUDA fails for good; the CPU still answers
            log.exception("the memory of a copy cannot be given back")

    def _tell(self, tenant: _Tenant) -> None:
        log.info(
            "a model changed its place",
            extra={"model": tenant.model.name, "onGpu": tenant.copy is not None, "reason": tenant.state.reason},
        )


def reason_of(error: Exception) -> str:
    """Return why the CPU is used after this failure of the GPU."""
    return placement_policy.OUT_OF_MEMORY if isinstance(error, GpuOutOfMemoryError) else placement_policy.NO_CUDA


def _nothing() -> None:
    """Do nothing: whoever awaits it knows that earlier calls of the thread are done."""
