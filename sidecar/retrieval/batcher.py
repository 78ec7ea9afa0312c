"""The queue of texts for one model: groups them into batches and returns each result to its caller.

Callers submit one text or many, which all wait in one queue: small requests before large ones, but no request is
overtaken by more tokens than it has itself. While cores are free, one worker takes the next batch, which
:mod:`sidecar.retrieval.batch_policy` chooses, and computes it; its callers get their results at once. If a caller's
deadline passes or its connection ends, its texts leave the queue; a text that the model fails on fails alone. How many
texts may wait is limited before they come here, by :class:`sidecar.runtime.admission.Admission`.
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
"""A worker that died restarts after so many seconds: what killed it may do so again at once."""


@dataclass(frozen=True, slots=True)
class Answered(Generic[R]):
    """The outcome of one text: its result, or None if the model gave no numbers; the device, and the reason for it."""

    result: R | None
    device: str
    reason: str


RunBatch = Callable[[Sequence[Tokens], int, IsWanted], Awaitable[Sequence[Answered[R]]]]
"""Computes a batch on so many cores, as long as it is wanted.

Raises:
    AbandonedError: it was no longer wanted.
    PutBackError: the device failed; plan these texts again.
"""


class PutBackError(Exception):
    """The device failed, and the model has left it; plan these texts again."""


class _Call(Generic[R]):
    """One caller, which waits until all its texts are computed, or until the first fails."""

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
    """One queue, one worker. ``limits`` is called before each batch: batches for the GPU are larger."""

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
        self._queue: list[_Waiting[R]] = []
        self._taken_tokens = 0
        self._changed = asyncio.Event()
        self._last = LastBatch(0, 0.0, 0.0)
        self._last_ended_s = 0.0
        self.running: list[_Batch[R]] = []
        """The batches that are being computed."""
        self.alive = True
        """Whether the worker runs; while it does not, nothing is accepted."""

    @property
    def waiting(self) -> int:
        """The number of texts in the queue."""
        return len(self._queue)

    async def submit(self, texts: Sequence[Tokens]) -> list[Answered[R]]:
        """Wait for the answers, in the texts' order.

        Raises:
            EngineFailedError: the model failed on one of them, or the worker died.
            EngineUnavailableError: the worker has just died.
        """
        if not self.alive:
            raise EngineUnavailableError("the worker of this model is being started again", retry_after_s=2)
        call: _Call[R] = _Call(len(texts))
        # A request is overtaken by at most as many tokens as it has itself, counted from now: a short question does not
        # wait for an array of two thousand texts, nor that array for an endless row of questions.
        due = self._taken_tokens + sum(len(one.ids) for one in texts)
        self._queue.extend(_Waiting(call, place, tokens, due) for place, tokens in enumerate(texts))
        self._changed.set()
        try:
            await call.done
        finally:
            if call.missing:  # cancelled or failed: its other texts need not be computed
                self._queue = [one for one in self._queue if one.call is not call]
        return [answer for answer in call.answers if answer is not None]

    async def keep_working(self) -> None:
        """Work until cancelled. If the worker dies, waiting callers get an error, readiness shows it; it restarts."""
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
        """Wait for a text, for a core, and then as long as the policy says for more texts."""
        while (wait_s := self._wait_s()) != 0:
            self._changed.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                return

    def _wait_s(self) -> float | None:
        """Return how long to wait, in seconds; None: until something changes."""
        limits = self._limits()
        tokens = sum(len(one.tokens.ids) for one in self._queue)
        if not self._queue or not self._free_cores(tokens, limits):
            return None
        last = LastBatch(self._last.texts, self._last.took_s, self._clock() - self._last_ended_s)
        return batch_policy.wait_for_more_s(len(self._queue), tokens, last, limits)

    def _free_cores(self, waiting_tokens: int, limits: BatchLimits) -> int:
        taken = sum(batch.cores for batch in self.running if batch.device == limits.device)
        return batch_policy.free_cores(taken, waiting_tokens, limits)

    def _take(self) -> _Batch[R] | None:
        self._queue = [one for one in self._queue if not one.call.done.done()]  # their callers remove theirs later
        self._queue.sort(key=attrgetter("due"))  # stable: first come, first served among equals
        limits = self._limits()
        lengths = [len(one.tokens.ids) for one in self._queue]
        free = self._free_cores(sum(lengths), limits)
        if not self._queue or not free:
            return None  # the only caller left while waiting for more texts, or the device changed
        chosen, cores = batch_policy.plan_batch(lengths, limits, free)
        batch = _Batch([self._queue[position] for position in chosen], limits.device, cores)
        self._taken_tokens += sum(lengths[position] for position in chosen)
        going = set(chosen)
        self._queue = [one for position, one in enumerate(self._queue) if position not in going]
        return batch

    # ── its answers ───────────────────────────────────────────────────────────────────────────────────────────────

    async def _answer(self, batch: _Batch[R]) -> None:
        started_s = self._clock()
        await self._compute(batch, started_s)
        self.running.remove(batch)
        self._changed.set()

    async def _compute(self, batch: _Batch[R], started_s: float) -> None:
        """Compute texts; if the batch fails, compute each alone, so that only the text at fault fails."""
        try:
            answers = await self._run([one.tokens for one in batch.texts], batch.cores, batch.is_wanted)
        except AbandonedError:
            return
        except PutBackError:
            self._put_back(batch)
            return
        except Exception as exc:  # whatever a model raises, one of these texts caused it
            if len(batch.texts) == 1:
                log.warning("a model failed on a text", exc_info=exc)
                (text,) = batch.texts
                text.call.fail(EngineFailedError(f"the model failed on text {text.place} of the request, from 0"))
                return
        else:
            self._tell(batch, answers, self._clock() - started_s)
            return
        # Outside of the except clause: the exception keeps a reference to the copy of the model that raised it.
        for text in batch.texts:
            alone = _Batch([text], batch.device, batch.cores)
            if alone.is_wanted():
                await self._compute(alone, self._clock())

    def _put_back(self, batch: _Batch[R]) -> None:
        self._queue = [*(one for one in batch.texts if not one.call.done.done()), *self._queue]
        self._taken_tokens -= sum(len(one.tokens.ids) for one in batch.texts)

    def _tell(self, batch: _Batch[R], answers: Sequence[Answered[R]], took_s: float) -> None:
        for one, answered in zip(batch.texts, answers, strict=True):
            one.call.answer(one.place, answered)
        self._last_ended_s = self._clock()
        self._last = LastBatch(len(batch.texts), took_s, 0.0)
        self._learn_pace(took_s / len(batch.texts), len(self.running))

    def _fail_all(self, error: SidecarError) -> None:
        for one in [*(one for batch in self.running for one in batch.texts), *self._queue]:
            one.call.fail(error)
        self.running = []
        self._queue = []
