"""The mirror: every interval, database rows become OcrProfile resources. Reads the database, never writes it.

``planner`` decides what to do; it is done here. A restart may lose everything that is remembered here: which events
were emitted, since when the database has been down, and the last plan.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from controller import names
from controller.clock import timestamp, utc_now
from controller.errors import ClusterError, ConflictError, RefusedError
from controller.mirror.facts import MirrorFacts
from controller.mirror.plan import Apply, Delete, Notice, Plan, count_reasons
from controller.mirror.planner import Clock, MirrorRules, plan_mirror
from controller.mirror.rows import Snapshot
from controller.resource.event import Event, event_name

logger = logging.getLogger(__name__)

PARALLEL_CALLS = 8
"""A thousand new rows are applied in seconds; the API server's fair queuing gives one client more than this."""


class DatabaseError(Exception):
    """The rows could not be read; the text says why, without URL, user, host or statement."""


class Rows(Protocol):
    """Where rows are read; ``database.Database`` in production."""

    async def read(self, models: tuple[str, ...], prompt_type: str, user_prompt_type: str | None = None) -> Snapshot:
        """Read both tables as of one moment, within a deadline.

        Raises:
            DatabaseError: they could not be read; the text may be logged.
        """


class ProfileResources(Protocol):
    """What the mirror needs of Kubernetes. Every method has a deadline, and raises a ``ClusterError``."""

    async def list_profiles(self, namespace: str) -> Sequence[Mapping[str, Any]]:
        """List the OcrProfiles of the namespace, as the API server gives them, defaults filled in."""

    async def apply_profile(self, manifest: Mapping[str, Any], manager: str) -> object:
        """Server-side apply one, forcing conflicts; another ``metadata.resourceVersion`` is a ConflictError."""

    async def delete_profile(self, namespace: str, name: str, uid: str) -> None:
        """Delete the one of this uid; one that is gone is fine."""

    async def emit_event(self, about: Mapping[str, Any], event: Event, component: str, now: str) -> None:
        """Create an event about an object, which need not exist; if an event of that name exists, nothing is done."""


Inputs = tuple[Snapshot, Mapping[str, str | None]]
"""Rows, and the resourceVersion of each resource by its uid."""


class Mirror:
    """Mirrors one database into one namespace. ``run`` needs a supervisor; it ends only by being cancelled."""

    def __init__(
        self,
        rows: Rows,
        resources: ProfileResources,
        rules: MirrorRules,
        interval_s: float = 2.0,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._rows = rows
        self._resources = resources
        self._rules = rules
        self._interval_s = interval_s
        self._now = now
        self._up_since: datetime | None = None
        self._told: frozenset[Notice] = frozenset()
        self._facts = MirrorFacts()
        self._began_s: float | None = None
        self._settled: tuple[Inputs, Plan] | None = None
        """The last plan and its input, if the same input needs no new plan: at rest, nothing is computed."""

    @property
    def facts(self) -> MirrorFacts:
        """The mirror's state after the last pass."""
        return self._facts

    @property
    def still_s(self) -> float:
        """Seconds since the latest pass began; 0 before the first."""
        return 0.0 if self._began_s is None else time.monotonic() - self._began_s

    async def run(self) -> None:
        """Mirror every interval, counted from the start of one pass to that of the next, until cancelled."""
        while True:
            began = self._began_s = time.monotonic()
            await self.run_once()
            await asyncio.sleep(max(0.0, began + self._interval_s - time.monotonic()))

    async def run_once(self) -> Plan | None:
        """Read, decide, do. What fails is logged, shows in ``facts``, and is tried again by the next pass.

        Returns:
            What was to be done; None when it could not be decided.
        """
        try:
            plan = await self.check()
        except DatabaseError as exc:
            self._note_down(str(exc))
            return None
        except ClusterError as exc:
            self._note_cluster([exc])
            return None
        failures = await self._do(plan)
        self._note_cluster([exc for _, exc in failures])
        refused = [_refusal(action, exc) for action, exc in failures if isinstance(exc, RefusedError)]
        await self._tell((*plan.notices, *refused))
        return plan

    async def check(self) -> Plan:
        """Read and decide, and change nothing: what a dry run shows.

        Raises:
            DatabaseError: the rows could not be read.
            ClusterError: the resources could not be listed.
        """
        snapshot = await self._rows.read(self._rules.models, self._rules.prompt_type, self._rules.user_prompt_type)
        self._note_up(len(snapshot.profiles))
        live = await self._resources.list_profiles(self._rules.namespace)
        inputs = (snapshot, {body["metadata"]["uid"]: body["metadata"].get("resourceVersion") for body in live})
        if self._settled is None or self._settled[0] != inputs:
            plan = plan_mirror(snapshot, live, self._rules, Clock(self._now(), self._up_since))
            self._settled = (inputs, plan) if plan.is_settled else None
            return plan
        return self._settled[1]

    # ── doing ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _do(self, plan: Plan) -> list[tuple[Apply | Delete, ClusterError]]:
        """Do everything, a few at a time; return what failed."""
        slots = asyncio.Semaphore(PARALLEL_CALLS)
        failures: list[tuple[Apply | Delete, ClusterError]] = []

        async def _do_one(action: Apply | Delete) -> None:
            async with slots:
                try:
                    await self._write(action)
                except ClusterError as exc:
                    failures.append((action, exc))

        async with asyncio.TaskGroup() as group:
            for action in plan.actions:
                group.create_task(_do_one(action))
        return failures

    async def _write(self, action: Apply | Delete) -> None:
        if isinstance(action, Delete):
            await self._resources.delete_profile(self._rules.namespace, action.name, action.uid)
        else:
            await self._resources.apply_profile(action.body, names.MIRROR_MANAGER)
        verb = "delete" if isinstance(action, Delete) else action.verb
        logger.info("mirrored", extra={"profile": action.name, "verb": verb})
        writes = {**self._facts.writes, verb: self._facts.writes.get(verb, 0) + 1}
        self._facts = replace(self._facts, writes=writes)

    async def _tell(self, notices: Sequence[Notice]) -> None:
        """Create an event for every new notice; one that failed counts as new the next time."""
        told = self._told.intersection(notices)
        for notice in notices:
            if notice not in told:
                logger.warning("mirror notice", extra={"profile": notice.name, "reason": notice.reason})
                try:
                    await self._emit(notice)
                except ClusterError as exc:
                    self._note_cluster([exc])
                    break
                told |= {notice}
        self._told = told
        self._facts = replace(self._facts, notices=count_reasons(notices))

    async def _emit(self, notice: Notice) -> None:
        subject = notice.name or names.CONFIG_MAP
        kind = (names.API_VERSION, names.KIND) if notice.name else ("v1", "ConfigMap")
        metadata = {"name": subject, "namespace": self._rules.namespace, "uid": notice.uid}
        about = {"apiVersion": kind[0], "kind": kind[1], "metadata": metadata}
        told = event_name(subject, notice.uid, str(notice.generation), notice.reason, notice.message)
        event = Event(told, "Warning", notice.reason, notice.message)
        await self._resources.emit_event(about, event, names.MIRROR_MANAGER, timestamp(self._now()))

    # ── facts ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _note_down(self, reason: str) -> None:
        if self._facts.down_reason != reason:
            logger.error("database does not answer, nothing is changed", extra={"reason": reason})
        since = self._facts.down_since or self._now()
        self._facts = replace(self._facts, down_since=since, down_reason=reason)

    def _note_up(self, rows: int) -> None:
        now = self._now()
        if self._facts.down_since is not None:
            logger.info("database answers again", extra={"downSince": timestamp(self._facts.down_since)})
            self._up_since = now
        self._facts = replace(self._facts, last_read=now, down_since=None, down_reason="", rows=rows)

    def _note_cluster(self, failures: Sequence[ClusterError]) -> None:
        lasting = [failure for failure in failures if not isinstance(failure, ConflictError)]  # the next pass has newer
        reason = str(lasting[0]) if lasting else ""
        if reason and reason != self._facts.cluster_reason:
            logger.error("API server did not do all", extra={"failed": len(lasting), "reason": reason})
        self._facts = replace(self._facts, cluster_reason=reason)


def _refusal(action: Apply | Delete, exc: RefusedError) -> Notice:
    return Notice(action.name, "ApplyRefused", f"the API server refuses what the row asks for: {exc}")
