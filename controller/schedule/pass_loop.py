"""The queue of namespaces to reconcile: every event, timer and restart leads to one pass over its namespace."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

from controller.clock import utc_now
from controller.errors import BusyError, ClusterError
from controller.ops.telemetry import Metrics
from controller.publish.outcome import Outcome
from controller.schedule.backoff import Backoff

log = logging.getLogger(__name__)

PASS_DEADLINE_S = 60.0
"""A pass that takes longer, in seconds, hangs: all its calls have their own deadlines."""

Pass = Callable[[str, Callable[[], bool]], Awaitable[Outcome]]


@dataclass(slots=True)
class _Namespace:
    news: asyncio.Event = field(default_factory=asyncio.Event)
    succeeded: bool = False
    failing_since: datetime | None = None
    problem: str = ""
    beat: float = field(default_factory=time.monotonic)
    """When its loop last went round, by the monotonic clock."""


@dataclass(slots=True)
class PassLoop:
    """One loop for each namespace with work; a slow one does not delay the others."""

    make_pass: Pass
    metrics: Metrics
    resync_s: float
    forget: Callable[[str], None]
    """Called with a namespace whose loop has ended, because nothing is there."""
    _namespaces: dict[str, _Namespace] = field(default_factory=dict)
    _leaving: set[str] = field(default_factory=set)
    """Namespaces that were being deleted at their latest pass. Another pass may follow, but nobody waits for it."""
    _group: asyncio.TaskGroup | None = None

    def mark(self, namespace: str) -> None:
        """Note that something has happened in a namespace."""
        known = self._namespaces.get(namespace)
        if known is None:
            known = self._namespaces[namespace] = _Namespace()
            if self._group is not None:
                self._group.create_task(self._serve(namespace, known), name=f"passes over {namespace}")
        known.news.set()

    async def run(self) -> None:
        """Serve all namespaces forever."""
        async with asyncio.TaskGroup() as self._group:
            for namespace, known in self._namespaces.items():
                self._group.create_task(self._serve(namespace, known), name=f"passes over {namespace}")
            await asyncio.Event().wait()

    async def _serve(self, namespace: str, known: _Namespace) -> None:
        backoff: Backoff | None = Backoff(self.resync_s)
        while backoff is not None:
            known.beat = time.monotonic()
            await asyncio.sleep(backoff.pause_s)
            if await _is_set_within(known.news, backoff.look_s):
                backoff = backoff.after_news()
            await asyncio.sleep(backoff.window_s)
            known.news.clear()
            backoff = await self._pass(namespace, known, backoff)
        del self._namespaces[namespace]
        self.forget(namespace)

    async def _pass(self, namespace: str, known: _Namespace, backoff: Backoff) -> Backoff | None:
        """Make one pass. Whatever it raises, the next one is made: nothing else would recover.

        Returns:
            How to go on; None: not at all, nothing is there, and nothing has happened meanwhile.
        """
        started = time.monotonic()
        try:
            async with asyncio.timeout(PASS_DEADLINE_S):
                outcome = await self.make_pass(namespace, known.news.is_set)
        except (ClusterError, TimeoutError) as exc:
            log.warning("a pass failed", extra={"namespace": namespace, "error": str(exc) or type(exc).__name__})
            self._fail(namespace, known, type(exc).__name__)
            known.news.set()
            return backoff.after_failure(exc.retry_after_s if isinstance(exc, BusyError) else 0)
        except Exception as exc:
            log.exception("a pass failed unexpectedly", extra={"namespace": namespace})
            self._fail(namespace, known, type(exc).__name__)
            known.news.set()
            return backoff.after_failure()
        self.metrics.pass_seconds.observe(time.monotonic() - started)
        self.metrics.passes.labels(namespace, "good").inc()
        self.metrics.last_success.labels(namespace).set_to_current_time()
        known.succeeded, known.failing_since = True, None
        (self._leaving.add if outcome is Outcome.LEAVING else self._leaving.discard)(namespace)
        if outcome in (Outcome.LEAVING, Outcome.NOTHING_THERE) and not known.news.is_set():
            return None
        return backoff.after_pass(is_settled=outcome is not Outcome.UNSETTLED, has_news=known.news.is_set())

    def _fail(self, namespace: str, known: _Namespace, problem: str) -> None:
        self.metrics.passes.labels(namespace, "failed").inc()
        known.problem = problem
        known.failing_since = known.failing_since or utc_now()

    # ── what the probes ask ───────────────────────────────────────────────────────────────────────────────────

    @property
    def namespaces(self) -> list[str]:
        """All namespaces that have a loop."""
        return list(self._namespaces)

    @property
    def oldest_beat_s(self) -> float:
        """Seconds since the longest silent loop last ran."""
        return max((time.monotonic() - known.beat for known in self._namespaces.values()), default=0)

    @property
    def waiting(self) -> list[str]:
        """Namespaces without a successful pass so far."""
        return [
            namespace
            for namespace, known in self._namespaces.items()
            if not known.succeeded and namespace not in self._leaving
        ]

    @property
    def failing(self) -> dict[str, tuple[str, datetime]]:
        """Namespaces whose passes fail: the kind of error, and since when."""
        return {
            namespace: (known.problem, known.failing_since)
            for namespace, known in self._namespaces.items()
            if known.failing_since is not None
        }


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
