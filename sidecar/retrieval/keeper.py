"""Keeps one model: loads it, releases it when it is asked to or idle for long, loads it again with the next call.

Whoever uses the model holds it for as long, so that it never leaves under a call or a batch. There is one load at a
time, whoever asked for it. A released model is as ready as before: only its next call waits.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sidecar.errors import EngineUnavailableError, ModelLoadingError, NotConfiguredError
from sidecar.retrieval.model import AbandonedError, ModelLimits, ModelLoadError, RetrievalModel, limits_of
from sidecar.retrieval.placement import Placement
from sidecar.runtime.capability import Capability
from sidecar.runtime.daemon_thread import DaemonThread
from sidecar.telemetry import Metrics

log = logging.getLogger(__name__)

M = TypeVar("M", bound=RetrievalModel[Any, Any])

NOT_CONFIGURED, NOT_INSTALLED = "not-configured", "not-installed"
LOADING, UNUSABLE = "model-loading", "model-unusable"
FIRST_RETRY_S, LAST_RETRY_S = 5.0, 300.0
"""Backoff of a load at the start that failed: the first pause and the longest, in seconds; it doubles each time."""
LOADING_RETRY_AFTER_S = 15
"""A model of a gigabyte is loaded in about that."""
AT_START, BY_CALL, BY_REQUEST, IDLE = "start", "call", "request", "idle"
"""Why a model was loaded or released, as metrics name it: BY_REQUEST is `/bge/load` and `/bge/unload`."""


@dataclass(frozen=True, slots=True)
class KeeperMeans:
    """What the keepers share. ``keep_alive_s``: how long an unused model stays, in seconds; 0: for ever.

    ``reclaim`` gives memory that nobody uses back to the system; it blocks.
    """

    placement: Placement
    metrics: Metrics
    keep_alive_s: float
    reclaim: Callable[[], None]
    clock: Callable[[], float] = time.monotonic


class ModelKeeper(Generic[M]):
    """One model. ``load`` blocks and returns it; ``absent``: why there is none to load.

    One that is loaded ``on_demand`` begins as if it had been released: its first call loads it.
    """

    def __init__(
        self, name: str, load: Callable[[], M], absent: str | None, means: KeeperMeans, *, on_demand: bool = False
    ) -> None:
        self.name = name
        self.load = load
        self.absent = absent
        self._means = means
        self.model: M | None = None
        """The model while it is in memory."""
        self.limits: ModelLimits | None = None
        """What it takes and gives, and what computes it; known from its first load on."""
        self.loaded = asyncio.Event()
        self.first_retry_s = FIRST_RETRY_S
        self._failure: str | None = None
        self._released = on_demand
        self._users = 0
        self._used_at_s = means.clock()
        self._unused = asyncio.Event()
        self._unused.set()
        self._loading: asyncio.Task[None] | None = None
        self._releasing: asyncio.Task[None] | None = None

    # ── what it is ────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def capability(self) -> Capability:
        """Tell whether it can be asked, and why not."""
        if self.absent:
            return Capability("unavailable", self.absent)
        if self.model is None and self._failure:
            return Capability("unavailable", self._failure)
        if self.model is None and not self._released:
            return Capability("loading", LOADING)
        return Capability("ready")

    @property
    def idle_s(self) -> float | None:
        """How long it has been in memory unused, in seconds; None while it is not there."""
        if self.model is None:
            return None
        return 0.0 if self._users else self._means.clock() - self._used_at_s

    # ── using it ──────────────────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def using(self, within_s: float) -> AsyncIterator[tuple[M, float]]:
        """Give the model, and the seconds that it took to bring it back: 0 if it was there. It stays for the block.

        Raises:
            ModelLoadingError: it is being loaded for the first time, or was not back in time.
            EngineUnavailableError: there is none, or it could not be loaded; the next call tries again.
        """
        began_s = self._means.clock()
        async with self._arrived(within_s):
            if self.model is not None:
                yield self.model, 0.0
                return
            if not self._released:
                raise self._unavailable()
            self._means.metrics.retrieval_calls_delayed.labels(self.name).inc()
            left_s = within_s - (self._means.clock() - began_s)
            model = await self._loaded_within(left_s, BY_CALL)
            yield model, self._means.clock() - began_s

    @contextmanager
    def held(self) -> Iterator[M]:
        """Give the model that calls are using to a batch of theirs, which may outlive them.

        Raises:
            AbandonedError: they have gone, and so has the model.
        """
        if self.model is None:
            raise AbandonedError
        with self._counted():
            yield self.model

    @asynccontextmanager
    async def _arrived(self, within_s: float) -> AsyncIterator[None]:
        """Count as a user for the block; while the model leaves, wait: it does so once those before have ended."""
        try:
            async with asyncio.timeout(within_s):
                while self._releasing:
                    await asyncio.wait({self._releasing})
        except TimeoutError:
            raise self._late() from None
        with self._counted():
            yield

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._users += 1
        self._unused.clear()
        try:
            yield
        finally:
            self._users -= 1
            self._used_at_s = self._means.clock()
            if not self._users:
                self._unused.set()

    def _unavailable(self) -> EngineUnavailableError:
        capability = self.capability
        if capability.state == "loading":
            return ModelLoadingError(f"the {self.name} model is being loaded", retry_after_s=LOADING_RETRY_AFTER_S)
        detail = f"the {self.name} model is not there: {capability.reason}"
        if self.absent:
            return NotConfiguredError(detail)
        return EngineUnavailableError(detail, retry_after_s=LOADING_RETRY_AFTER_S)

    def _late(self) -> ModelLoadingError:
        return ModelLoadingError(f"the {self.name} model is still being loaded", retry_after_s=LOADING_RETRY_AFTER_S)

    # ── loading it ────────────────────────────────────────────────────────────────────────────────────────────────

    async def keep_loading(self) -> None:
        """Load the model at the start, with growing pauses between the tries, until it is there or was released."""
        pause_s = self.first_retry_s
        while self._is_awaited:
            await asyncio.wait({self._begin_loading(AT_START)})
            if self._is_awaited:
                await asyncio.sleep(pause_s)
                pause_s = min(LAST_RETRY_S, 2 * pause_s)

    @property
    def _is_awaited(self) -> bool:
        return not self.absent and self.model is None and not self._released

    async def load_now(self, within_s: float) -> None:
        """Load the model now, unless it is there.

        Raises:
            EngineUnavailableError: there is none, it cannot be loaded, or was not in time.
        """
        if self.absent:
            raise self._unavailable()
        async with self._arrived(within_s):
            if self.model is None:
                await self._loaded_within(within_s, BY_REQUEST)

    async def _loaded_within(self, within_s: float, cause: str) -> M:
        """Wait for the load. It goes on when its callers leave: the next one needs it, too."""
        done, _ = await asyncio.wait({self._begin_loading(cause)}, timeout=max(0.0, within_s))
        if not done:
            raise self._late()
        if self.model is None:
            raise self._unavailable()
        return self.model

    def _begin_loading(self, cause: str) -> "asyncio.Task[None]":
        if self._loading is None:
            self._loading = asyncio.create_task(self._load_once(cause))
        return self._loading

    async def _load_once(self, cause: str) -> None:
        began_s = time.monotonic()
        try:
            await self._try_to_load()
        finally:
            self._loading = None
        outcome = "failed" if self.model is None else "loaded"
        self._means.metrics.retrieval_loads.labels(self.name, cause, outcome).inc()
        if self.model is not None:
            self._means.metrics.retrieval_load_seconds.labels(self.name).observe(time.monotonic() - began_s)

    async def _try_to_load(self) -> None:
        thread = DaemonThread(f"load-{self.name}")
        before, cause = self._failure, None
        try:
            model = await thread.run(self.load)
        except ModelLoadError as exc:
            self._failure, cause = str(exc), type(exc.__cause__).__name__ if exc.__cause__ else None
        except Exception:  # whatever a model's files make its library raise, the service goes on without it
            self._failure = UNUSABLE
            if before != UNUSABLE:
                log.exception("a model cannot be loaded")
        else:
            self._admit(model)
        finally:
            thread.stop()
        if self.model is None and self._failure != before:  # once, not each time it is tried again
            log.warning("a model is not there", extra={"model": self.name, "reason": self._failure, "cause": cause})

    def _admit(self, model: M) -> None:
        self._means.placement.admit(model)
        self.model, self.limits, self._failure = model, limits_of(model), None
        self._used_at_s = self._means.clock()
        self.loaded.set()
        log.info("a model is loaded", extra={"model": self.name})

    # ── releasing it ───────────────────────────────────────────────────────────────────────────────────────────────

    async def keep_releasing(self) -> None:
        """Release the model whenever nobody has used it for so long."""
        keep_alive_s = self._means.keep_alive_s
        while keep_alive_s:
            await self.loaded.wait()
            left_s = keep_alive_s - (self.idle_s or 0.0)
            if left_s > 0:
                await asyncio.sleep(left_s)
            else:
                await self.release(IDLE)

    async def release(self, cause: str, within_s: float | None = None) -> bool:
        """Release the model once its users have ended, the GPU's copy before; tell whether it is gone in time.

        Calls that come meanwhile wait for that, and then for the next load. One that is being loaded goes after that.
        """
        releasing = self._releasing = self._releasing or asyncio.create_task(self._release(cause))
        await asyncio.wait({releasing}, timeout=within_s)
        return releasing.done()

    async def _release(self, cause: str) -> None:
        try:
            if self._loading:
                await asyncio.wait({self._loading})
            if self.model is not None:
                await self._means.placement.dismiss(self.name)
                while self._users:  # a batch may begin between the end of the last one and our turn
                    await self._unused.wait()
                await self._drop(cause)
            self._released = not self.absent  # one that could not be loaded is not tried again before its next call
        finally:
            self._releasing = None

    async def _drop(self, cause: str) -> None:
        self.model, self._released = None, True
        self.loaded.clear()
        thread = DaemonThread(f"release-{self.name}")
        try:
            await thread.run(self._means.reclaim)
        finally:
            thread.stop()
        self._means.metrics.retrieval_releases.labels(self.name, cause).inc()
        log.info("a model is released", extra={"model": self.name, "cause": cause})

    def close(self) -> None:
        """Stop waiting for what a thread still does: the service ends."""
        for task in (self._loading, self._releasing):
            if task:
                task.cancel()
