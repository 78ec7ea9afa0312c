"""Groups the texts that wait for one model into batches, and returns each result to its caller.

Callers submit one text or many, which all wait in one :class:`~sidecar.retrieval.text_queue.TextQueue`. While cores are
free, one worker takes the next batch, which :mod:`sidecar.retrieval.batch_policy` chooses, and computes it; its callers
get their results at once. If a caller's patience ends or its connection does, its texts leave the queue; a text that
the model fails on fails alone. Admission limits before how many texts may wait.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sidecar.errors import EngineFailedError, EngineUnavailableError, SidecarError
from sidecar.retrieval import batch_policy
from sidecar.retrieval.batch_policy import BatchLimits, LastBatch, Patience
from sidecar.retrieval.call import FOREVER, Answered, Call
from sidecar.retrieval.model import CPU, AbandonedError, IsWanted, Tokens
from sidecar.retrieval.pace import Estimate, Pace
from sidecar.retrieval.text_queue import QueuedText, TextQueue

log = logging.getLogger(__name__)

R = TypeVar("R")

REVIVE_S = 1.0
"""A worker that died restarts after so many seconds: what killed it may do so again at once."""


RunBatch = Callable[[Sequence[Tokens], int, IsWanted], Awaitable[Sequence[Answered[R]]]]
"""Computes a batch on so many cores, as long as it is wanted.

Raises:
    AbandonedError: it was no longer wanted.
    PutBackError: the device failed; plan these texts again.
"""


class PutBackError(Exception):
    """The device failed, and the model has left it; plan these texts again."""


@dataclass(frozen=True, slots=True, eq=False)
class _Batch(Generic[R]):
    texts: Sequence[QueuedText[Call[R]]]
    device: str
    cores: int
    started_s: float

    def is_wanted(self) -> bool:
        """Tell whether any of its callers still waits."""
        return any(not one.call.done.done() for one in self.texts)

    @property
    def padded_tokens(self) -> int:
        """Count its tokens, with those that fill it up."""
        return len(self.texts) * max(one.length for one in self.texts)


class Batcher(Generic[R]):
    """One queue, one worker. ``limits`` is called before each batch: batches for the GPU are larger.

    ``given_back`` is called after each batch: others may wait for its cores.
    """

    def __init__(
        self,
        run: RunBatch[R],
        limits: Callable[[], BatchLimits],
        learn_pace: Callable[[float, int], None],
        clock: Callable[[], float] = time.monotonic,
        given_back: Callable[[], None] = lambda: None,
    ) -> None:
        self._run = run
        self._limits = limits
        self._learn_pace = learn_pace
        self._clock = clock
        self._given_back = given_back
        self._queue: TextQueue[Call[R]] = TextQueue()
        self._pace = Pace()
        self._progressed_s = -math.inf
        self._changed = asyncio.Event()
        self._last = LastBatch(0, 0.0, 0.0)
        self._last_ended_s = 0.0
        self.running: list[_Batch[R]] = []
        """The batches that are being computed."""
        self.what = "text"
        """What errors call an input."""
        self.alive = True
        """Whether the worker runs; while it does not, nothing is accepted."""

    @property
    def waiting(self) -> int:
        """The number of texts in the queue."""
        return len(self._queue)

    @property
    def held_cores(self) -> list[int]:
        """The cores that each running batch has."""
        return [batch.cores for batch in self.running if batch.device == CPU]

    def wake(self) -> None:
        """Look again whether a batch can start: another model gave cores back."""
        self._changed.set()

    def estimate(self, texts: Sequence[Tokens], caller: Hashable = None) -> Estimate:
        """Estimate, at the known pace, when a request would begin and how long it would take; zeros while unknown."""
        limits, tokens = self._limits(), sum(len(one.ids) for one in texts)
        ahead = self._queue.tokens_before(tokens, caller)
        ahead_s = self._pace.core_s(limits.device, ahead) / limits.cores
        return Estimate(self._busy_s(limits) + ahead_s, self._pace.core_s(limits.device, tokens) / limits.cores)

    def _busy_s(self, limits: BatchLimits) -> float:
        """Estimate the seconds until the device has room for the next batch."""
        running = [batch for batch in self.running if batch.device == limits.device]
        if sum(batch.cores for batch in running) < limits.cores:
            return 0.0
        return min(self._left_s(batch) for batch in running)

    def _left_s(self, batch: _Batch[R]) -> float:
        takes_s = self._pace.core_s(batch.device, batch.padded_tokens) / batch.cores
        return max(0.0, takes_s - (self._clock() - batch.started_s))

    async def submit(
        self, texts: Sequence[Tokens], patience: Patience = FOREVER, caller: Hashable = None
    ) -> list[Answered[R]]:
        """Wait for the answers, in the texts' order; callers take turns.

        Raises:
            EngineFailedError: the model failed on one of them, or the worker died.
            EngineUnavailableError: the worker has just died.
            DeadlineError: the patience is over.
        """
        if not self.alive:
            raise EngineUnavailableError("the worker of this model is being started again", retry_after_s=2)
        call: Call[R] = Call(len(texts))
        self._queue.add(call, texts, caller)
        self._changed.set()
        call.watch(patience, self._clock, lambda: self._progressed_s)
        try:
            await call.done
        finally:
            call.end()
            if call.missing:  # cancelled or failed: its other texts need not be computed
                self._queue.keep(lambda one: one is not call)
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
        tokens = self._queue.tokens
        if not self._queue or not self._free_cores(tokens, limits):
            return None
        last = LastBatch(self._last.texts, self._last.took_s, self._clock() - self._last_ended_s)
        return batch_policy.wait_for_more_s(len(self._queue), tokens, last, limits)

    def _free_cores(self, waiting_tokens: int, limits: BatchLimits) -> int:
        taken = sum(batch.cores for batch in self.running if batch.device == limits.device)
        return batch_policy.free_cores(taken, waiting_tokens, limits)

    def _take(self) -> _Batch[R] | None:
        self._queue.keep(lambda call: not call.done.done())  # their callers remove theirs later
        limits, lengths = self._limits(), self._queue.lengths()
        free = self._free_cores(sum(lengths), limits)
        if not lengths or not free:
            return None  # the only caller left while waiting for more texts, or the device changed
        chosen, cores = batch_policy.plan_batch(lengths, limits, free)
        return _Batch(self._queue.take(chosen), limits.device, cores, self._clock())

    # ── its answers ───────────────────────────────────────────────────────────────────────────────────────────────

    async def _answer(self, batch: _Batch[R]) -> None:
        await self._compute(batch)
        self.running.remove(batch)
        self._changed.set()
        self._given_back()

    async def _compute(self, batch: _Batch[R]) -> None:
        """Compute texts; if the batch fails, compute each alone, so that only the text at fault fails."""

        def is_wanted() -> bool:
            """Called from the thread that computes, at each layer: so it gets on."""
            self._progressed_s = self._clock()
            return batch.is_wanted()

        self._progressed_s = batch.started_s
        try:
            answers = await self._run([one.tokens for one in batch.texts], batch.cores, is_wanted)
        except AbandonedError:
            return
        except PutBackError:
            self._put_back(batch)
            return
        except Exception as exc:  # whatever a model raises, one of these texts caused it
            if len(batch.texts) == 1:
                log.warning("a model failed on a text", exc_info=exc)
                (text,) = batch.texts
                text.call.fail(
                    EngineFailedError(f"the model failed on {self.what} {text.place} of the request, from 0")
                )
                return
        else:
            self._tell(batch, answers)
            return
        # Outside of the except clause: the exception keeps a reference to the copy of the model that raised it.
        for text in batch.texts:
            alone = _Batch([text], batch.device, batch.cores, self._clock())
            if alone.is_wanted():
                await self._compute(alone)

    def _put_back(self, batch: _Batch[R]) -> None:
        self._queue.put_back([one for one in batch.texts if not one.call.done.done()])
        self._progressed_s = self._clock()

    def _tell(self, batch: _Batch[R], answers: Sequence[Answered[R]]) -> None:
        for one, answered in zip(batch.texts, answers, strict=True):
            one.call.answer(one.place, answered)
        self._progressed_s = self._last_ended_s = self._clock()
        took_s = self._last_ended_s - batch.started_s
        self._pace.learn(batch.device, took_s * batch.cores, batch.padded_tokens)
        self._last = LastBatch(len(batch.texts), took_s, 0.0)
        self._learn_pace(took_s / len(batch.texts), len(self.running))

    def _fail_all(self, error: SidecarError) -> None:
        for one in [*(one for batch in self.running for one in batch.texts), *self._queue]:
            one.call.fail(error)
        self.running = []
        self._queue.clear()
