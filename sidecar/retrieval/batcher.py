"""Brings together what waits for one model, and hands it over batch by batch.

Callers submit one text or many, which all wait in one line: small requests before large ones, though none lets pass
more than it brings. While cores are free, one worker takes the next batch as :mod:`sidecar.retrieval.batch_policy`
chooses, and has it answered; its callers are told at once. A caller that leaves, by its deadline or its connection's
end, takes its texts out of the line; a text that the model fails on fails alone. How many texts may wait at all is
:class:`sidecar.runtime.admission.Admission`'s business, before they come here.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Generic, TypeVar

from sidecar.errors import EngineFailedError, EngineUnavailableError, SidecarError
from sidecar.retrieval import batch_policy
from sidecar.retrieval.batch_policy import BatchLimits, LastBatch
from sidecar.retrieval.model import AbandonedError, IsWanted, Tokens

log = logging.getLogger(__name__)

R = TypeVar("R")

REVIVE_S = 1.0
"""A worker that died starts anew after so many seconds: what killed it may do so again at once."""


@dataclass(frozen=True, slots=True)
class Answered(Generic[R]):
    """What became of a text: its result, or None where the model gave no numbers; where it was computed, and why."""

    result: R | None
    device: str
    reason: str


RunBatch = Callable[[Sequence[Tokens], int, IsWanted], Awaitable[Sequence[Answered[R]]]]
"""Answers a batch on so many cores, while it is wanted.

Raises:
    AbandonedError: it was no longer wanted.
    PutBackError: where it ran it cannot be computed any more; its texts want to be planned anew.
"""


class PutBackError(Exception):
    """The device failed, and the model has left it; plan these texts again."""


class _Call(Generic[R]):
    """One caller, who waits until none of its texts is missing, or until the first that fails."""

    def __init__(self, size: int) -> None:
        self.answers: list[Answered[R] | None] = [None] * size
        self.missing = size
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answer(self, place: int, answered: Answered[R]) -> None:
        self.answers[place] = answered
        self.missing -= 1
        if not self.missing and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: SidecarError) -> None:
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting(Generic[R]):
    call: _Call[R]
    place: int
    tokens: Tokens
    due: int


@dataclass(frozen=True, slots=True, eq=False)
class _Batch(Generic[R]):
    texts: Sequence[_Waiting[R]]
    device: str
    cores: int

    def is_wanted(self) -> bool:
        """Tell whether any of its callers still waits."""
        return any(not one.call.done.done() for one in self.texts)


class Batcher(Generic[R]):
    """One line, one worker. ``limits`` is asked before each batch: the GPU takes larger ones than the CPU."""

    def __init__(
        self,
        run: RunBatch[R],
        limits: Callable[[], BatchLimits],
        learn_pace: Callable[[float, int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._limits = limits
        self._learn_pace = learn_pace
        self._clock = clock
        self._line: list[_Waiting[R]] = []
        self._taken_tokens = 0
        self._changed = asyncio.Event()
        self._last = LastBatch(0, 0.0, 0.0)
        self._last_ended_s = 0.0
        self.running: list[_Batch[R]] = []
        """What is being computed."""
        self.alive = True
        """Whether the worker is; while it is not, nothing is taken in."""

    @property
    def waiting(self) -> int:
        """Count the texts in the line."""
        return len(self._line)

    async def submit(self, texts: Sequence[Tokens]) -> list[Answered[R]]:
        """Wait for the answers, in the texts' order.

        Raises:
            EngineFailedError: the model failed on one of them, or the worker died.
            EngineUnavailableError: the worker has just died.
        """
        if not self.alive:
            raise EngineUnavailableError("the worker of this model is being started again", retry_after_s=2)
        call: _Call[R] = _Call(len(texts))
        # A request lets pass as many tokens of others as it has itself, counted from now, and no more: a question is
        # not kept waiting by an array of two thousand texts, nor that by ever new questions.
        due = self._taken_tokens + sum(len(one.ids) for one in texts)
        self._line.extend(_Waiting(call, place, tokens, due) for place, tokens in enumerate(texts))
        self._changed.set()
        try:
            await call.done
        finally:
            if call.missing:  # it left or failed: none of its texts is worth computing any more
                self._line = [one for one in self._line if one.call is not call]
        return [answer for answer in call.answers if answer is not None]

    async def keep_working(self) -> None:
        """Work until cancelled. A worker that dies fails those who wait, is seen by readiness, and starts anew."""
        while True:
            try:
                await self._work()
            except Exception:
                log.exception("a batch worker died")
                self.alive = False
                self._fail_all(EngineFailedError("the worker of this model died; send the request again"))
                await asyncio.sleep(REVIVE_S)
                self.alive = True

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as batches:
            while True:
                await self._wait_for_batch()
                if batch := self._take():
                    self.running.append(batch)
                    batches.create_task(self._answer(batch))

    # ── the next batch ────────────────────────────────────────────────────────────────────────────────────────────

    async def _wait_for_batch(self) -> None:
        """Wait for a text, for a core, and then as long as the policy says for company."""
        while (wait_s := self._wait_s()) != 0:
            self._changed.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                return

    def _wait_s(self) -> float | None:
        """Tell how long to wait, in seconds; None: until something changes."""
        limits = self._limits()
        tokens = sum(len(one.tokens.ids) for one in self._line)
        if not self._line or not self._free_cores(tokens, limits):
            return None
        last = LastBatch(self._last.texts, self._last.took_s, self._clock() - self._last_ended_s)
        return batch_policy.wait_for_company_s(len(self._line), tokens, last, limits)

    def _free_cores(self, waiting_tokens: int, limits: BatchLimits) -> int:
        taken = sum(batch.cores for batch in self.running if batch.device == limits.device)
        return batch_policy.free_cores(taken, waiting_tokens, limits)

    def _take(self) -> _Batch[R] | None:
        self._line = [one for one in self._line if not one.call.done.done()]  # callers are told, and leave, later
        self._line.sort(key=attrgetter("due"))  # of those that are due at once, the first to come stays first
        limits = self._limits()
        lengths = [len(one.tokens.ids) for one in self._line]
        free = self._free_cores(sum(lengths), limits)
        if not self._line or not free:
            return None  # the only caller left while company was waited for, or the model changed its place
        chosen, cores = batch_policy.plan_batch(lengths, limits, free)
        batch = _Batch([self._line[position] for position in chosen], limits.device, cores)
        self._taken_tokens += sum(lengths[position] for position in chosen)
        going = set(chosen)
        self._line = [one for position, one in enumerate(self._line) if position not in going]
        return batch

    # ── its answers ───────────────────────────────────────────────────────────────────────────────────────────────

    async def _answer(self, batch: _Batch[R]) -> None:
        started_s = self._clock()
        await self._compute(batch, started_s)
        self.running.remove(batch)
        self._changed.set()

    async def _compute(self, batch: _Batch[R], started_s: float) -> None:
        """Have texts answered; if they fail together, each alone, so that the one it fails on takes no other down."""
        try:
            answers = await self._run([one.tokens for one in batch.texts], batch.cores, batch.is_wanted)
        except AbandonedError:
            return
        except PutBackError:
            self._put_back(batch)
            return
        except Exception as exc:  # whatever a model raises is its verdict on one of these texts
            if len(batch.texts) == 1:
                log.warning("a model failed on a text", exc_info=exc)
                (text,) = batch.texts
                text.call.fail(EngineFailedError(f"the model failed on text {text.place} of the request, from 0"))
                return
        else:
            self._tell(batch, answers, self._clock() - started_s)
            return
        # Outside of the except clause: the exception holds on to the copy of the model that it was raised by.
        for text in batch.texts:
            alone = _Batch([text], batch.device, batch.cores)
            if alone.is_wanted():
                await self._compute(alone, self._clock())

    def _put_back(self, batch: _Batch[R]) -> None:
        self._line = [*(one for one in batch.texts if not one.call.done.done()), *self._line]
        self._taken_tokens -= sum(len(one.tokens.ids) for one in batch.texts)

    def _tell(self, batch: _Batch[R], answers: Sequence[Answered[R]], took_s: float) -> None:
        for one, answered in zip(batch.texts, answers, strict=True):
            one.call.answer(one.place, answered)
        self._last_ended_s = self._clock()
        self._last = LastBatch(len(batch.texts), took_s, 0.0)
        self._learn_pace(took_s / len(batch.texts), len(self.running))

    def _fail_all(self, error: SidecarError) -> None:
        for one in [*(one for batch in self.running for one in batch.texts), *self._line]:
            one.call.fail(error)
        self.running = []
        self._line = []
