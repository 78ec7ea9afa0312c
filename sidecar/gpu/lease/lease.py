"""Carries out what :mod:`sidecar.gpu.lease.policy` decides: unloads and loads models, and answers pages that wait.

What is owed is on disk (:mod:`sidecar.gpu.lease.debts`) before anything is unloaded.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from sidecar.errors import GpuPressureError
from sidecar.gpu.lease import model_moves, policy
from sidecar.gpu.lease.debts import Debts
from sidecar.gpu.lease.model_moves import Load, ModelServer
from sidecar.gpu.lease.policy import next_lease
from sidecar.gpu.lease.queue import LeaseQueue
from sidecar.gpu.lease.state import Act, Facts, LeaseState, LeaseTerms, Owed, Phase
from sidecar.gpu.vram import ResidentModel, VramHeadroom
from sidecar.gpu.vram_monitor import VramMonitor
from sidecar.gpu.wish import Wish, too_large

log = logging.getLogger(__name__)

POLL_S = 0.25
CLOSE_S = 10.0
"""How long the end of the process waits for what is owed; what is not back by then is given back at the next start."""
AGAIN_S = 30
SLACK_S = 1.0
"""How much longer than the lease itself a page waits, so that the lease's own reason comes first."""
STOPS = "the service stops"
NOT_INSTALLED = "it is not installed any more"
PLACE_TAKEN = "another model has its room"


@dataclass(slots=True)
class LeaseCounts:
    """How often, since the start."""

    taken: int = 0
    refused: int = 0
    failed_loads: int = 0
    forgiven: int = 0


class GpuLease:
    """The lease of one GPU. :meth:`keep` runs as long as the service; pages :meth:`enter`."""

    def __init__(
        self,
        server: ModelServer,
        monitor: VramMonitor,
        debts: Debts,
        terms: LeaseTerms,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = server
        self._monitor = monitor
        self._debts = debts
        self._terms = terms
        self._clock = clock
        self.state = LeaseState()
        self.counts = LeaseCounts()
        self._is_closing = False
        self._is_anothers = False
        self._ours: set[str] = set()
        self._queue = LeaseQueue()
        self._lost: tuple[Owed, ...] = ()
        self._wanted = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._away_since_s: float | None = None
        self.forgiven: tuple[str, ...] = ()
        """Models that were owed since the last lease began, and are not loaded any more."""
        self.pages: Callable[[], int] = lambda: 0
        """How many pages wait for the GPU or are read."""
        self.models: Callable[[], Iterable[str]] = lambda: ()
        """Models that calls of ours loaded and that are still there."""
        self.calls: Callable[[], int] = lambda: 0
        """How many model calls run."""
        self.cut_calls: Callable[[], None] = lambda: None
        """Ends the model calls that run."""
        self.make_room: Callable[[], Awaitable[bool]] | None = None
        """Evicts the models that come after OCR in rank."""

    @property
    def obstacle(self) -> str | None:
        """Say why no lease can be taken, if so."""
        return STOPS if self._is_closing else self._debts.obstacle

    @property
    def is_taken(self) -> bool:
        """Tell whether only the lease lets calls through, ours or another process's."""
        return self.state.is_taken or self._is_anothers

    @property
    def is_held(self) -> bool:
        """Tell whether calls may begin."""
        return self.state.phase is Phase.HELD and self.left_s > 0

    @property
    def left_s(self) -> float:
        """Seconds until the lease ends."""
        return self.state.ends_s - self._clock()

    @property
    def away_s(self) -> float | None:
        """Seconds since the LLM was sent away; None if it was not."""
        return None if self._away_since_s is None else self._clock() - self._away_since_s

    async def open(self) -> None:
        """Become the lessor, if nobody else is, and take over what a process before owed."""
        await self._claim()

    async def keep(self) -> None:
        """Decide and act until cancelled; sleep while nobody wants the GPU."""
        while True:
            if self.state.phase is Phase.FREE and not (self._queue.asking or self._lost):
                await self._rest()
            try:
                await self._step()
            except Exception:  # this loop supervises itself: what is owed must be given back whatever happens here
                log.exception("the lease of the GPU failed")
            await asyncio.sleep(POLL_S)

    async def _rest(self) -> None:
        """Sleep until somebody wants the GPU, the process that leases it may have died, or a debt may be taken back."""
        self._wanted.clear()
        with suppress(TimeoutError):
            is_sure = self._debts.is_ours and self._debts.is_known
            async with asyncio.timeout(None if is_sure else self._terms.claim_s):
                await self._wanted.wait()

    async def close(self) -> None:
        """Have :meth:`keep` give back what is owed, for so long as the end of a process may take."""
        self._is_closing = True
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._settled.wait()
        except TimeoutError:
            log.warning("the LLM is not back yet, the next start brings it", extra={"models": _names(self.state.owed)})

    async def look(self) -> None:
        """Find out whether another process leases the GPU now: what is free then is not for us."""
        self._is_anothers = await self._debts.others_owe()

    async def enter(self, wish: Wish, ends_s: float) -> None:
        """Wait until calls may begin, or until the GPU should be looked at again.

        Raises:
            GpuPressureError: the lease cannot be had, or not in time; the text says what it waited for.
        """
        self._ours.add(wish.model)
        self._queue.note(wish)
        if self.is_held:
            return
        self._wanted.set()
        try:
            with self._queue.waiting(wish) as news:
                async with asyncio.timeout(max(0.0, min(self._terms.wait_s + SLACK_S, ends_s - self._clock()))):
                    refusal = await news
        except TimeoutError:
            refusal = f"it was {self.state.phase} when the page could wait no longer"
        if refusal is not None:
            self.counts.refused += 1
            raise GpuPressureError(f"the GPU cannot be borrowed: {refusal}", retry_after_s=AGAIN_S)

    def note_loss(self, lost: Iterable[ResidentModel]) -> None:
        """Take that a call of ours ran out of memory: the model server then unloads every model, the LLM too."""
        if self._debts.is_ours:
            self._lost = policy.join(self._lost, (policy.owe(one) for one in lost))
            self._wanted.set()

    # ── deciding and acting ───────────────────────────────────────────────────────────────────────────────────────

    async def _step(self) -> None:
        """Take one reading, decide, remember and act."""
        if not self._debts.is_ours:
            await self._claim()
        self._take_over_loss()
        headroom = await self._monitor.read_anew()
        self._answer_who_need_not_wait(headroom)
        facts = self._facts(headroom)
        state, act = next_lease(self.state, facts, self._terms)
        if act is Act.UNLOAD:  # from here on the end of the service has something to wait for
            self._settled.clear()
        failure = await self._debts.remember(state.owed, facts.ours)
        if act is Act.UNLOAD and (failure := failure or self.obstacle):
            await self._debts.remember((), facts.ours)
            self._settled.set()
            state, act = LeaseState(refusal=failure, barred_until_s=facts.now_s + self._terms.bar_s), Act.REFUSE
        self._tell(state)
        self.state = state
        await self._do(act)

    def _answer_who_need_not_wait(self, headroom: VramHeadroom) -> None:
        """Answer pages for which there is room by now, and those for which there can never be."""
        ours = self._all_ours
        for wish in self._queue.wishes:
            if refusal := too_large(wish, headroom):
                self._queue.answer(refusal, wish)
            elif not self.is_taken and headroom.query_success and policy.has_room(wish, headroom, ours):
                self._queue.answer(None, wish)

    @property
    def _all_ours(self) -> frozenset[str]:
        return frozenset(self._ours | set(self.models()))

    def _facts(self, headroom: VramHeadroom) -> Facts:
        return Facts(
            now_s=self._clock(),
            headroom=headroom,
            ours=self._all_ours,
            wishes=self._queue.wishes,
            asking=self._queue.asking,
            pages=self.pages(),
            calls=self.calls(),
            obstacle=self.obstacle,
        )

    def _take_over_loss(self) -> None:
        lost, self._lost = self._lost, ()
        if self.state.phase in (Phase.HELD, Phase.RELEASING):  # what stayed beside the lease has gone, too
            self.state = replace(self.state, owed=policy.join(self.state.owed, lost))
        elif lost and not self.state.is_taken:
            self._owe(lost)

    def _owe(self, owed: tuple[Owed, ...]) -> None:
        self.state = policy.restore(owed, self._clock())
        self._away_since_s = self._clock()
        self._settled.clear()
        self._wanted.set()

    async def _do(self, act: Act) -> None:
        match act:
            case Act.REFUSE:
                self._queue.answer(self.state.refusal or "there is no room")
            case Act.LOOK_AGAIN:
                self._queue.answer(None)
            case Act.UNLOAD:
                await model_moves.unload(self._server, [one.name for one in self.state.owed])
                if self.make_room:
                    await self.make_room()
            case Act.CUT:
                self.cut_calls()
            case Act.RELEASE:
                await model_moves.unload(self._server, self._all_ours)
            case Act.LOAD:
                for one in self.state.owed:
                    await self._load(one)

    async def _load(self, owed: Owed) -> None:
        match await model_moves.load(self._server, owed, self._monitor.latest, self.state.tries):
            case Load.MISSING:
                self.state = policy.forgive(self.state, owed)
                self._note_forgiven([owed], NOT_INSTALLED)
            case Load.FAILED:
                self.counts.failed_loads += 1

    async def _claim(self) -> None:
        """Become the lessor, if nobody else is; then what was owed before is owed by this process."""
        known = await self._debts.claim()
        self._is_anothers = self._is_anothers and not self._debts.is_ours
        if known.owed:
            log.warning("a process before this one left the LLM away", extra={"models": _names(known.owed)})
            self._ours |= set(known.ours)
            self._owe(known.owed)

    def _note_forgiven(self, owed: Sequence[Owed], reason: str) -> None:
        if owed:
            log.warning("a model that is owed is not loaded any more", extra={"models": _names(owed), "reason": reason})
            self.counts.forgiven += len(owed)
            self.forgiven += tuple(_names(owed))

    def _tell(self, state: LeaseState) -> None:
        """Log the phases that matter, and count."""
        self._note_forgiven([one for one in state.forgiven if one not in self.state.forgiven], PLACE_TAKEN)
        if state.phase is self.state.phase:
            return
        if state.phase is Phase.TAKING:
            self.forgiven = ()
            self.counts.taken += 1
            self._away_since_s = self._clock()
            self._settled.clear()
            log.info("the GPU is borrowed", extra={"models": _names(state.owed), "pages": self.pages()})
        if state.phase is Phase.FREE and self.state.is_taken:
            log.info("the GPU is given back", extra={"models": _names(self.state.owed), "seconds": self.away_s})
            self._away_since_s = None
            self._settled.set()


def _names(owed: Iterable[Owed]) -> list[str]:
    return [one.name for one in owed]
