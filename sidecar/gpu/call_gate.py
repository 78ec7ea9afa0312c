"""The gate before the OCR model: whether a call may be made now, and how long the model may stay after it.

Reads the GPU directly before each call, waits for room within limits, and watches what calls take. Decides by
:mod:`sidecar.gpu.residency_policy` and by what :mod:`sidecar.gpu.need` knows; makes no call.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sidecar.errors import EngineFailedError, GpuOutOfMemoryError, GpuPressureError, SidecarError
from sidecar.gpu import need, residency_policy
from sidecar.gpu.lease.lease import GpuLease
from sidecar.gpu.need import NeedKey, Requirement
from sidecar.gpu.need_book import NeedBook
from sidecar.gpu.residency_policy import OcrResidencyDecision, ResidencyLimits
from sidecar.gpu.running_calls import RunningCalls
from sidecar.gpu.vram import ResidentModel, VramHeadroom, full_name
from sidecar.gpu.vram_monitor import VramMonitor
from sidecar.gpu.wish import Wish, lacking_mb

PRESSURE_POLL_S = 0.25
SETTLED_S = 5.0
"""An evicted model's memory is reported free at most this many seconds later. Pressure seen earlier after our own call
may be the OCR model itself, just evicted, so the GPU is read again."""
PRESSURE_AGAIN_S = 30
"""Retry-After when a page is refused because the GPU is full: an LLM's answer takes about that long."""
FAILED_AGAIN_S = 10
"""Retry-After when a call ran out of memory."""
TAKEN_BACK = "the GPU went back to the LLM before the page was read"
NO_ROOM = "the GPU has no room for the OCR model beside what it holds now"


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """What the operator decided. Times in seconds, memory in MiB.

    ``required_mb`` is the estimate until the need is known; ``may_evict``: calls are made even if they evict others.
    """

    residency: ResidencyLimits
    required_mb: int
    may_evict: bool = False
    pressure_wait_s: float = 0.0
    active_profile: str | None = None
    longest_side: int = 0
    parallel: int = 1
    """Calls that may run at a time."""
    governs: bool = True
    """Whether the model server loads and unloads as it is called; else it holds its model, and no call is held back."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A call that is to be made. ``model_key`` is the model's digest, or its name; ``cap_s`` caps its residency.

    ``longest_side``: of the picture, in pixels; 0: as the policy says.
    """

    model: str
    model_key: str
    num_ctx: int
    active_profile: str | None
    cap_s: int
    ends_s: float
    longest_side: int = 0


@dataclass(frozen=True, slots=True)
class Admitted:
    """A call that may be made now, without an ``await`` before it begins."""

    asked: Asked
    key: NeedKey
    decision: OcrResidencyDecision
    headroom: VramHeadroom
    room_mb: int


class CallGate:
    """Admits calls to the OCR model, and counts those that run."""

    def __init__(
        self,
        monitor: VramMonitor,
        policy: GatePolicy,
        book: NeedBook | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.monitor = monitor
        self._policy = policy
        self._clock = clock
        self.book = book or NeedBook()
        self.calls = RunningCalls(monitor, self.book, learns=policy.governs)
        self._call_ended_s = float("-inf")
        self.lease: GpuLease | None = None
        """Borrows the GPU for pages that do not fit, if the operator wants that."""
        self.latest_required: Requirement | None = None
        """What the last call that asked was held to, for itself and those that ran."""
        self.make_room: Callable[[], Awaitable[bool]] | None = None
        """Evicts lower-priority models; returns whether any left."""

    async def admit(self, asked: Asked) -> Admitted:
        """Read the GPU; wait for room within the limit and the page's deadline; decide how long the model may stay.

        Raises:
            GpuPressureError: there is no room.
        """
        headroom = await self._wait_for_room(asked)
        key = self.key(asked, headroom)
        return Admitted(asked, key, self._decide(asked, headroom), headroom, self._room_mb(asked, key, headroom))

    @asynccontextmanager
    async def call(self, admitted: Admitted) -> AsyncIterator[None]:
        """Count a call while it runs, and watch what it takes.

        Raises:
            GpuPressureError: it ran beyond the end of the lease, and was ended.
        """
        model = admitted.asked.model
        cut = self.calls.begin(model, admitted.key, admitted.headroom)
        try:
            async with cut:
                yield
        except TimeoutError as exc:
            if not cut.expired():
                raise
            raise GpuPressureError(TAKEN_BACK, retry_after_s=PRESSURE_AGAIN_S) from exc
        finally:
            self.calls.end(model, cut)
            self._call_ended_s = self._clock()

    def explain(self, error: SidecarError, admitted: Admitted) -> SidecarError:
        """Return why a call failed: a runner that ended where memory was short ended for want of it. Learns from it."""
        if not self._policy.governs:
            return error
        required = self.requirement(admitted.key, 1).mb
        is_lost = isinstance(error, EngineFailedError) and error.is_lost
        if is_lost and residency_policy.is_short(admitted.headroom, admitted.asked.model, required):
            error = GpuOutOfMemoryError(f"{error}, while the GPU was short of memory", retry_after_s=FAILED_AGAIN_S)
        if isinstance(error, GpuOutOfMemoryError) and admitted.headroom.query_success:
            calls = self.calls.most_of(admitted.asked.model)
            self.book.change(admitted.key, lambda one, now_s: need.learn_lack(one, calls, admitted.room_mb, now_s))
            if self.lease:
                self.lease.note_loss(self._strangers(admitted.headroom, admitted.asked))
        return error

    def requirement(self, key: NeedKey, calls: int) -> Requirement:
        """Say what so many calls at a time take, in MiB, learned or as the operator estimates."""
        return self.book.requirement(key, calls, self._policy.required_mb)

    def key(self, asked: Asked, headroom: VramHeadroom) -> NeedKey:
        """Name what the need of this call depends on."""
        return NeedKey(
            gpu=headroom.gpu_key,
            model=asked.model_key,
            num_ctx=asked.num_ctx,
            longest_side=asked.longest_side or self._policy.longest_side,
        )

    async def _wait_for_room(self, asked: Asked) -> VramHeadroom:
        waits_until_s = min(self._clock() + self._policy.pressure_wait_s, asked.ends_s)
        if self.lease:
            await self.lease.look()
        headroom = await self.monitor.read()
        if self.make_room and self._lacks_room(headroom, asked) and await self.make_room():
            headroom = await self.monitor.read_anew()
        while self._is_closed or self._must_stand_back(headroom, asked):
            if self.lease and self._needs_lease(headroom, asked):
                await self.lease.enter(self._wish(asked, headroom), asked.ends_s)
                headroom = await self.monitor.read_anew()
                continue
            is_ours = self.calls.of(asked.model) and self._clock() < asked.ends_s
            if not is_ours and self._clock() >= waits_until_s and not self._is_settling(headroom, asked.ends_s):
                raise GpuPressureError(NO_ROOM, retry_after_s=PRESSURE_AGAIN_S)
            await asyncio.sleep(PRESSURE_POLL_S)
            headroom = await self.monitor.read()
        return headroom

    @property
    def _is_closed(self) -> bool:
        """Whether the LLM is away for a lease that is not held: on its way out, or back."""
        return self.lease is not None and self.lease.is_taken and not self.lease.is_held

    def _needs_lease(self, headroom: VramHeadroom, asked: Asked) -> bool:
        """Return whether to wait for a lease: not while memory is still being freed, nor for a call of our own."""
        if self._is_closed:
            return True
        is_held = self.lease is not None and self.lease.is_held
        return not (is_held or self.calls.of(asked.model) or self._is_settling(headroom, asked.ends_s))

    def _wish(self, asked: Asked, headroom: VramHeadroom) -> Wish:
        """Tell the lease how much room is needed."""
        key = self.key(asked, headroom)
        return Wish(
            full_name(asked.model),
            least_mb=self.requirement(key, 1).mb,
            need_mb=self.requirement(key, self._policy.parallel).mb,
            idle_mb=self.book.idle_mb(key),
        )

    def _strangers(self, headroom: VramHeadroom, asked: Asked) -> tuple[ResidentModel, ...]:
        """Return the models that the call must not evict; with a lease, other models of ours are none of them."""
        return headroom.others(asked.model, *(self.calls.loaded if self.lease else ()))

    def _decide(self, asked: Asked, headroom: VramHeadroom) -> OcrResidencyDecision:
        if not self._policy.governs:
            return residency_policy.ungoverned(headroom)
        if self.lease and self.lease.is_held:
            return residency_policy.lease_residency(headroom, self.lease.left_s)
        return residency_policy.calculate_ocr_residency(
            headroom,
            asked.model,
            asked.active_profile or self._policy.active_profile,
            self._policy.residency,
            asked.cap_s,
        )

    def _must_stand_back(self, headroom: VramHeadroom, asked: Asked) -> bool:
        """Return whether the call would evict another model, or take more than there is beside it."""
        if self._policy.may_evict or not self._policy.governs:
            return False
        self.calls.note(headroom)
        running = self.calls.of(asked.model)
        key = self.key(asked, headroom)
        required = self.latest_required = self.requirement(key, running + 1)
        if not running and not self._strangers(headroom, asked):
            return False
        if not required.is_seen:
            return residency_policy.would_evict(headroom, asked.model, required.mb, running)
        if running:
            room_mb = self._room_mb(asked, key, headroom)
            return residency_policy.would_overflow(headroom, asked.model, required.mb, room_mb, running)
        ours = self.calls.loaded if self.lease else frozenset()
        return headroom.query_success and lacking_mb(self._wish(asked, headroom), headroom, ours, required.mb) > 0

    def _room_mb(self, asked: Asked, key: NeedKey, headroom: VramHeadroom) -> int:
        """Return what there is for the model and its calls, in MiB, with what they hold already."""
        during_mb = self.calls.room_mb(asked.model, headroom)
        if during_mb is not None:
            return during_mb
        return headroom.available_mb + need.own_mb(self.book.get(key), headroom.held_by(asked.model))

    def _lacks_room(self, headroom: VramHeadroom, asked: Asked) -> bool:
        """Return whether the model must be loaded and does not fit: then lower-priority models are evicted."""
        required_mb = self.requirement(self.key(asked, headroom), 1).mb
        needs = self._policy.governs and residency_policy.needs_room(headroom, asked.model, required_mb)
        return needs and not self.calls.of(asked.model)

    def _is_settling(self, headroom: VramHeadroom, ends_s: float) -> bool:
        is_recent = self._clock() < min(self._call_ended_s + SETTLED_S, ends_s)
        return is_recent and residency_policy.may_still_be_freed(headroom, self._policy.required_mb)
