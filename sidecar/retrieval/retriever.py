"""The use case of embedding and reranking: inputs → tokens → queue → batch → device → results.

One :class:`Retriever` for each model: it loads the model, with retries, reports its state, and answers. The device of
a batch is decided when the batch starts; a batch that fails on the GPU is computed by the CPU.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from sidecar.errors import (
    DeadlineError,
    EngineFailedError,
    EngineUnavailableError,
    ModelLoadingError,
)
from sidecar.retrieval.batch_policy import BatchLimits, RetrievalPolicy
from sidecar.retrieval.batcher import Batcher, PutBackError
from sidecar.retrieval.call import Answered
from sidecar.retrieval.cpu_threads import CpuThreads
from sidecar.retrieval.model import (
    CPU,
    GPU,
    GpuFailedError,
    GpuOutOfMemoryError,
    IsWanted,
    ModelCopy,
    ModelLoadError,
    Piece,
    RetrievalModel,
    Tokens,
)
from sidecar.retrieval.pace import check_estimate
from sidecar.retrieval.placement import Placement, reason_of
from sidecar.retrieval.portions import portions
from sidecar.retrieval.token_limits import refuse_truncated, with_each, without_numbers
from sidecar.runtime.admission import Admission
from sidecar.runtime.capability import Capability
from sidecar.runtime.cores import CoreLedger
from sidecar.runtime.daemon_thread import DaemonThread
from sidecar.telemetry import Metrics

log = logging.getLogger(__name__)

I = TypeVar("I", bound=str | tuple[str, str])  # noqa: E741 - an input, beside R, a result
R = TypeVar("R")

NOT_CONFIGURED, NOT_INSTALLED = "not-configured", "not-installed"
LOADING, UNUSABLE, WORKER_DIED = "model-loading", "model-unusable", "worker-died"
FIRST_RETRY_S, LAST_RETRY_S = 5.0, 300.0
"""Backoff of a load that failed: the first pause and the longest, in seconds; it doubles each time."""
FIRST_PACE_S = 0.05
"""Seconds per text, until the pace is known."""
LOADING_RETRY_AFTER_S = 15
"""A model of a gigabyte is loaded in about that."""


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


@dataclass(frozen=True, slots=True)
class Answers(Generic[R]):
    """Results in the inputs' order; which inputs were cut; how many tokens there were; where it ran, and why there.

    If any input was computed on the CPU, so was the request.
    """

    results: list[R]
    truncated: list[bool]
    tokens: int
    device: str
    reason: str


class Retriever(Generic[I, R]):
    """One model from load to answers. ``load`` blocks and returns the model; ``absent``: why there is none to load."""

    def __init__(
        self,
        name: str,
        load: Callable[[], RetrievalModel[I, R]],
        absent: str | None,
        means: RetrievalMeans,
    ) -> None:
        self.name = name
        self._load = load
        self._absent = absent
        self._policy = means.policy
        self._threads = means.threads
        self._placement = means.placement
        self._metrics = means.metrics
        self._cores = means.cores
        self._failure: str | None = None
        self.model: RetrievalModel[I, R] | None = None
        self.first_retry_s = FIRST_RETRY_S
        self.loaded = asyncio.Event()
        self.admission = Admission(means.policy.max_queued, "texts", FIRST_PACE_S)
        self.batcher: Batcher[R] = Batcher(
            self._run, self.limits, self.admission.page_done, given_back=lambda: self._cores.given_back(self.batcher)
        )
        self._cores.join(self.batcher)

    # ── loading ───────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def capability(self) -> Capability:
        """Tell whether it can be asked, and why not."""
        if self._absent:
            return Capability("unavailable", self._absent)
        if self.model is None:
            return Capability("unavailable", self._failure) if self._failure else Capability("loading", LOADING)
        return Capability("ready") if self.batcher.alive else Capability("unavailable", WORKER_DIED)

    async def keep_loading(self) -> None:
        """Load the model, trying again with growing pauses until it is there."""
        if self._absent:
            return
        pause_s = self.first_retry_s
        while self.model is None:
            await self._try_to_load()
            if self.model is None:
                await asyncio.sleep(pause_s)
                pause_s = min(LAST_RETRY_S, 2 * pause_s)

    async def _try_to_load(self) -> None:
        thread = DaemonThread(f"load-{self.name}")
        before, cause = self._failure, None
        try:
            model = await thread.run(self._load)
        except ModelLoadError as exc:
            self._failure, cause = str(exc), type(exc.__cause__).__name__ if exc.__cause__ else None
        except Exception:  # whatever a model's files make its library raise, the service goes on without it
            self._failure = UNUSABLE
            if before != UNUSABLE:
                log.exception("a model cannot be loaded")
        else:
            self._placement.admit(model)
            self.model = model
            self.loaded.set()
            log.info("a model is loaded", extra={"model": self.name})
        finally:
            thread.stop()
        if self.model is None and self._failure != before:  # once, not each time it is tried again
            log.warning("a model is not there", extra={"model": self.name, "reason": self._failure, "cause": cause})

    # ── answering ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def answer(self, inputs: Sequence[I], *, truncate: bool, most_each: int = 0) -> Answers[R]:
        """Compute a result for each input; with ``most_each`` a vector of each token, too, of so many at most.

        Raises:
            EngineUnavailableError: there is no model, or it is still being loaded.
            QueueFullError: too many texts are in work.
            InvalidValueError: an input is too long and may not be cut.
            InvalidValueError, QueueFullError: at the known pace it would take too long.
            DeadlineError: it took too long; the inputs that still waited are given up.
            EngineFailedError: the model failed on an input.
        """
        model = self._ready_model()
        with self.admission.admit(len(inputs)):
            async with _deadline(self._policy.timeout_s):
                tokens = await self._tokenize(model, inputs)
            if not truncate:
                refuse_truncated(tokens, model)
            if most_each:
                tokens = with_each(tokens, most_each)
            patience = self._policy.patience
            check_estimate(self.batcher.estimate(tokens), patience.stall_s, patience.total_s)
            answered = await self.batcher.submit(tokens, patience)
        return self._gather(tokens, answered)

    async def _tokenize(self, model: RetrievalModel[I, R], inputs: Sequence[I]) -> list[Tokens]:
        """Tokenise in portions: between two of them the thread serves others, and the call can be cancelled."""
        tokens: list[Tokens] = []
        for portion in portions(inputs):
            tokens += await self._threads.tokens.run(model.tokenize, portion)
        return tokens

    async def pieces(self, texts: Sequence[str], *, special: bool) -> list[list[Piece]]:
        """Give the tokens of texts.

        Raises:
            EngineUnavailableError: there is no model, or it is still being loaded.
        """
        model = self._ready_model()
        return [await self._threads.tokens.run(partial(model.pieces, one, special=special)) for one in texts]

    def _ready_model(self) -> RetrievalModel[I, R]:
        if self.model:
            return self.model
        capability = self.capability
        if capability.state == "loading":
            raise ModelLoadingError(f"the {self.name} model is being loaded", retry_after_s=LOADING_RETRY_AFTER_S)
        waiting_helps = self._absent is None
        raise EngineUnavailableError(
            f"the {self.name} model is not there: {capability.reason}",
            retry_after_s=LOADING_RETRY_AFTER_S if waiting_helps else None,
        )

    def _gather(self, tokens: Sequence[Tokens], answered: Sequence[Answered[R]]) -> Answers[R]:
        results = [one.result for one in answered if one.result is not None]
        if len(results) < len(answered):
            raise EngineFailedError(
                without_numbers([place for place, one in enumerate(answered) if one.result is None])
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
        return self._policy.cpu_limits(cores.idle_for(self.batcher), cores.claimed_beside(self.batcher))

    async def _run(self, batch: Sequence[Tokens], cores: int, is_wanted: IsWanted) -> Sequence[Answered[R]]:
        """Run a batch on the model's current device. What fails on the GPU is computed by the CPU, in its own sizes."""
        assert self.model
        copy, reason = self._placement.where(self.name)
        if copy is None:
            cpu = self.model.cpu
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
