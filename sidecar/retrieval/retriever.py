"""The use case of embedding and reranking: inputs → tokens → queue → batch → device → results.

One :class:`Retriever` for each model, which :class:`~sidecar.retrieval.keeper.ModelKeeper` loads. The device of a batch
is decided when the batch starts; a batch that fails on the GPU is computed by the CPU.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar

from sidecar.errors import (
    DeadlineError,
    EngineFailedError,
    InvalidValueError,
)
from sidecar.retrieval.batch_policy import BatchLimits, RetrievalPolicy
from sidecar.retrieval.batcher import Batcher, PutBackError
from sidecar.retrieval.call import Answered
from sidecar.retrieval.cpu_threads import CpuThreads
from sidecar.retrieval.keeper import ModelKeeper
from sidecar.retrieval.model import (
    CPU,
    GPU,
    GpuFailedError,
    GpuOutOfMemoryError,
    IsWanted,
    ModelCopy,
    Piece,
    RetrievalModel,
    Tokens,
)
from sidecar.retrieval.pace import check_estimate
from sidecar.retrieval.placement import Placement, reason_of
from sidecar.retrieval.portions import portions
from sidecar.retrieval.token_limits import refuse_truncated, with_each, without_numbers
from sidecar.runtime.admission import Admission, Quota
from sidecar.runtime.capability import Capability
from sidecar.runtime.cores import CoreLedger
from sidecar.runtime.daemon_thread import DaemonThread
from sidecar.runtime.fair_slots import FairSlots
from sidecar.telemetry import Metrics

I = TypeVar("I", bound=str | tuple[str, str])  # noqa: E741 - an input, beside R, a result
R = TypeVar("R")
T = TypeVar("T")

WORKER_DIED = "worker-died"
FIRST_PACE_S = 0.05
"""Seconds per text, until the pace is known."""


@dataclass(frozen=True, slots=True)
class Threads:
    """The threads that compute: several for batches on the CPU, one for the GPU, one for tokens."""

    cpu: CpuThreads
    gpu: DaemonThread
    tokens: DaemonThread


@dataclass(frozen=True, slots=True)
class RetrievalMeans:
    """What the models share."""

    policy: RetrievalPolicy
    threads: Threads
    placement: Placement
    metrics: Metrics
    cores: CoreLedger
    quota: Quota
    """Of each caller, for the models together."""
    token_turns: FairSlots
    """Who uses the thread that makes tokens."""


@dataclass(frozen=True, slots=True)
class Answers(Generic[R]):
    """Results in the inputs' order; which inputs were cut; how many tokens there were; where it ran, and why there.

    If any input was computed on the CPU, so was the request. ``load_s``: seconds that it waited for the model to come
    back, which had been released. ``backend``: which library computes on the CPU.
    """

    results: list[R]
    truncated: list[bool]
    tokens: int
    device: str
    reason: str
    load_s: float = 0.0
    backend: str = ""


@dataclass(frozen=True, slots=True)
class Divided:
    """The tokens of texts, how many of a text the model reads, and the seconds waited for it to come back."""

    texts: list[list[Piece]]
    max_tokens: int
    load_s: float


class Retriever(Generic[I, R]):
    """One model's inputs and answers."""

    def __init__(
        self, keeper: ModelKeeper[RetrievalModel[I, R]], public_name: str, means: RetrievalMeans, what: str = "text"
    ) -> None:
        self.name = keeper.name
        self.public_name = public_name
        """What callers call it."""
        self.keeper = keeper
        self._policy = means.policy
        self._threads = means.threads
        self._placement = means.placement
        self._metrics = means.metrics
        self._cores = means.cores
        self._quota = means.quota
        self._token_turns = means.token_turns
        self.admission = Admission(means.policy.max_queued, "texts", FIRST_PACE_S)
        self.batcher: Batcher[R] = Batcher(
            self._run, self.limits, self.admission.page_done, given_back=lambda: self._cores.given_back(self.batcher)
        )
        self.batcher.what = what
        self._cores.join(self.batcher)

    @property
    def capability(self) -> Capability:
        """Tell whether it can be asked, and why not."""
        capability = self.keeper.capability
        alive = self.batcher.alive or not capability.ready
        return capability if alive else Capability("unavailable", WORKER_DIED)

    # ── answering ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def answer(
        self,
        inputs: Sequence[I],
        *,
        truncate: bool,
        most_each: int = 0,
        of_tokens: bool = False,
        caller: Hashable = None,
    ) -> Answers[R]:
        """Compute a result for each input; with ``most_each`` a vector of each token, too, of so many at most.

        ``of_tokens``: what the model says of single tokens is needed.

        Raises:
            EngineUnavailableError: there is no model, or it is still being loaded.
            QueueFullError: too many texts are in work, or of this caller.
            InvalidValueError: an input is too long and may not be cut, or the model says nothing of tokens.
            InvalidValueError, QueueFullError: at the known pace it would take too long.
            DeadlineError: it took too long; the inputs that still waited are given up.
            EngineFailedError: the model failed on an input.
        """
        with self._admitted(len(inputs), caller):
            async with self.keeper.using(self._policy.patience.total_s) as (model, load_s):
                if (of_tokens or most_each) and not model.gives_tokens:
                    raise InvalidValueError(f"{self.public_name} gives one dense vector for a text, and nothing else")
                tokens = await self._tokenize(model, inputs, caller)
                if not truncate:
                    refuse_truncated(tokens, model)
                if most_each:
                    tokens = with_each(tokens, most_each)
                patience = self._policy.patience
                check_estimate(self.batcher.estimate(tokens, caller), patience.stall_s, patience.total_s)
                answered = await self.batcher.submit(tokens, patience, caller)
            backend = model.backend
        return replace(self._gather(tokens, answered), load_s=load_s, backend=backend)

    @contextmanager
    def _admitted(self, count: int, caller: Hashable) -> Iterator[None]:
        with self._quota.place(caller, count), self.admission.admit(count, caller):
            yield

    async def _tokenize(self, model: RetrievalModel[I, R], inputs: Sequence[I], caller: Hashable) -> list[Tokens]:
        """Tokenise in portions: between two of them the thread serves others, and the call can be cancelled."""
        tokens: list[Tokens] = []
        async with _deadline(self._policy.timeout_s):
            for portion in portions(inputs):
                tokens += await self._in_turn(partial(model.tokenize, portion), inputs, caller)
        return tokens

    async def _in_turn(self, make: Callable[[], T], inputs: Sequence[object], caller: Hashable) -> T:
        """Run on the thread that makes tokens, in turn between callers, and between the requests of each."""
        async with self._token_turns.take(id(inputs), caller):
            return await self._threads.tokens.run(make)

    async def pieces(self, texts: Sequence[str], *, special: bool, caller: Hashable = None) -> Divided:
        """Give the tokens of texts.

        Raises:
            EngineUnavailableError: there is no model, or it is still being loaded.
            QueueFullError: too many texts are in work, or of this caller.
            DeadlineError: it took too long.
        """
        with self._admitted(len(texts), caller):
            patience_s = self._policy.patience.total_s
            async with self.keeper.using(patience_s) as (model, load_s), _deadline(patience_s):
                divide = partial(model.pieces, special=special)
                found = [await self._in_turn(partial(divide, one), texts, caller) for one in texts]
        return Divided(found, model.max_tokens, load_s)

    def _gather(self, tokens: Sequence[Tokens], answered: Sequence[Answered[R]]) -> Answers[R]:
        results = [one.result for one in answered if one.result is not None]
        if len(results) < len(answered):
            raise EngineFailedError(
                without_numbers(self.batcher.what, [place for place, one in enumerate(answered) if one.result is None])
            )
        for one in answered:
            self._metrics.retrieval_texts.labels(self.name, one.device, one.reason).inc()
        where = next((one for one in answered if one.device == CPU), answered[0])
        count = sum(len(one.ids) for one in tokens)
        return Answers(results, [one.truncated for one in tokens], count, where.device, where.reason)

    # ── batches ───────────────────────────────────────────────────────────────────────────────────────────────────

    def where(self) -> tuple[str, str]:
        """Tell where a batch would run now, and why."""
        copy, reason = self._placement.where(self.name)
        return (GPU if copy else CPU), reason

    def limits(self) -> BatchLimits:
        """Give the limits of batches where the model is now."""
        if self._placement.where(self.name)[0] is not None:
            return self._policy.gpu_limits()
        cores = self._cores
        idle = cores.idle_for(self.batcher)
        model = self.keeper.model
        idle = min(idle, model.batch_cores or idle) if model else idle
        return self._policy.cpu_limits(idle, cores.claimed_beside(self.batcher))

    async def _run(self, batch: Sequence[Tokens], cores: int, is_wanted: IsWanted) -> Sequence[Answered[R]]:
        """Run a batch on the model's current device. What fails on the GPU is computed by the CPU, in its own sizes."""
        with self.keeper.held() as model:
            return await self._run_with(model, batch, cores, is_wanted)

    async def _run_with(
        self, model: RetrievalModel[I, R], batch: Sequence[Tokens], cores: int, is_wanted: IsWanted
    ) -> Sequence[Answered[R]]:
        copy, reason = self._placement.where(self.name)
        if copy is None:
            cpu = model.cpu
            return await self._measured(cpu, self._threads.cpu.run(cores, partial(cpu.run, batch, is_wanted)), reason)
        try:
            async with asyncio.timeout(self._policy.timeout_s / 2):  # in case the GPU hangs: its callers wait longer
                return await self._measured(copy, self._threads.gpu.run(copy.run, batch, is_wanted), reason)
        except (GpuOutOfMemoryError, GpuFailedError, TimeoutError) as exc:
            reason = reason_of(exc)
        del copy  # no reference may remain while its memory is freed
        await self._placement.failed(self.name, reason)
        raise PutBackError

    async def _measured(
        self, copy: ModelCopy[R], computed: Awaitable[Sequence[R | None]], reason: str
    ) -> Sequence[Answered[R]]:
        started_s = time.monotonic()
        results = await computed
        self._metrics.retrieval_batch_seconds.labels(self.name, copy.device).observe(time.monotonic() - started_s)
        self._metrics.retrieval_batch_texts.labels(self.name, copy.device).observe(len(results))
        return [Answered(result, copy.device, reason) for result in results]


@asynccontextmanager
async def _deadline(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as exc:
        raise DeadlineError(f"it took longer than {seconds:g} s") from exc
