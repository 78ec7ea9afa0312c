"""One pass over one namespace: list, decide, publish, observe, report. The same for every event.

Every step compares first and writes only what differs, so a pass may be repeated, cut short or run twice at a time.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from controller import names
from controller.clock import timestamp, utc_now
from controller.errors import ClusterError, ConflictError, NotFoundError, TerminatingError
from controller.kube.answer import Manifest
from controller.ops.telemetry import Metrics
from controller.publish.config_map import (
    Desired,
    Entry,
    Publication,
    is_in_place,
    plan_entries,
    render_config_map,
    surplus_of,
)
from controller.publish.memory import Memory, Versions, versions_of
from controller.publish.outcome import Outcome
from controller.publish.status import (
    Surroundings,
    find_reload_conflicts,
    is_only_of_sidecars,
    is_told,
    next_status,
    plan_events,
)
from controller.resource.condition import Condition
from controller.resource.event import Event
from controller.resource.mirror_state import is_mirrored, warnings_of
from controller.resource.sidecar_pod import Sidecar, read_pod
from controller.resource.spec import Resource
from controller.settings import Settings

log = logging.getLogger(__name__)

PARALLEL_WRITES = 8
"""Calls at a time: enough for 1,000 statuses in seconds, few enough for the API server's fairness."""
LONGEST_REPORT_S = 2.0
"""How long statuses are written, in seconds, while something newer waits to be published."""

Body = Mapping[str, Any]
Planned = tuple[Versions | None, list[Resource], Desired]
"""What the pass saw, what it read there, and what it makes of it."""


class Cluster(Protocol):
    """What a pass needs of the API server; see ``controller.kube.api_client``."""

    async def get_config_map(self, namespace: str) -> Manifest | None:
        """Read the ConfigMap."""

    async def apply_config_map(self, manifest: Mapping[str, Any]) -> Manifest:
        """Make it as the manifest says."""

    async def trim_config_map(self, namespace: str, patch: Mapping[str, Any]) -> Manifest:
        """Remove what others put in."""

    async def delete_config_map(self, namespace: str) -> None:
        """Delete it."""

    async def list_pods(self, namespace: str, selector: str) -> list[Manifest]:
        """List pods."""

    async def annotate_pod(self, namespace: str, name: str, uid: str, annotations: Mapping[str, str]) -> None:
        """Annotate one."""

    async def apply_status(self, namespace: str, name: str, status: Mapping[str, Any]) -> Manifest:
        """Write a status."""

    async def emit_event(self, about: Mapping[str, Any], event: Event, component: str, now: str) -> None:
        """Create an event."""


class Lists(Protocol):
    """Where a pass gets the profiles; see ``controller.mirror.kept_list``."""

    async def list_anew(self, namespace: str) -> Sequence[Body]:
        """Ask the API server for the OcrProfiles."""


class SidecarAnswers(Protocol):
    """What a pass needs of the sidecars; see ``controller.kube.sidecar_client``."""

    async def ask_all(self, sidecars: Iterable[Sidecar]) -> Sequence[Sidecar]:
        """Return the sidecars with what they have loaded."""


class Proofs(Protocol):
    """What a pass needs of the proof of isolation; see ``controller.isolation.prover``."""

    def latest(self, namespace: str) -> tuple[Condition | None, bool]:
        """Return the latest proof, and whether it is still unreported."""

    def observe(self, namespace: str, sidecars: Sequence[Sidecar]) -> None:
        """Note the pods to prove."""

    def reported(self, namespace: str, proof: Condition | None) -> None:
        """Note that all profiles report this proof."""


class ExpectedChanges(Protocol):
    """Gets each write beforehand; see ``controller.schedule.change_filter``."""

    def expect_config_map(self, namespace: str, manifest: Mapping[str, Any]) -> None:
        """Note what the ConfigMap is about to be."""

    def expect_sidecars(self, namespace: str, sidecars: Iterable[Sidecar]) -> None:
        """Note what the sidecar pods are about to be."""


class Reconciler:
    """Makes passes. It keeps nothing that a new process could not find out again."""

    def __init__(  # noqa: PLR0913, PLR0917 - the composition root names each
        self,
        cluster: Cluster,
        lists: Lists,
        sidecars: SidecarAnswers,
        proofs: Proofs,
        news: ExpectedChanges,
        settings: Settings,
        metrics: Metrics,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._cluster = cluster
        self._lists = lists
        self._sidecars = sidecars
        self._proofs = proofs
        self._news = news
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._memories: dict[str, Memory] = {}

    async def reconcile(self, namespace: str, has_news: Callable[[], bool] = lambda: False) -> Outcome:
        """Make one pass; return what is left to be done. A namespace that is being deleted is left alone.

        Args:
            namespace: the namespace to look at.
            has_news: whether something has happened since the pass began; then reporting is cut short for it.

        Raises:
            ClusterError: something could not be read or written; all that could has been.
        """
        try:
            return await self._reconcile(namespace, has_news)
        except TerminatingError:
            if not self._settings.cluster_wide:
                raise
            log.info("the namespace is being deleted", extra={"namespace": namespace})
            return Outcome.LEAVING

    async def _reconcile(self, namespace: str, has_news: Callable[[], bool]) -> Outcome:
        bodies = {body["metadata"]["name"]: body for body in await self._lists.list_anew(namespace)}
        live = await self._cluster.get_config_map(namespace)
        if self._is_nothing_of_ours(bodies, live):
            return Outcome.NOTHING_THERE
        memory = self._memories.setdefault(namespace, Memory())
        versions = versions_of(bodies.values(), live)
        resources, desired = memory.plan(versions) or _plan(memory, bodies.values(), live)
        await self._publish(namespace, live, desired)
        memory.remember(versions, resources, desired)
        self._show(namespace, desired)
        sidecars = await self._look_at_sidecars(namespace, desired.hash)
        is_all_reported = await self._report_all(namespace, (versions, resources, desired), sidecars, bodies, has_news)
        return Outcome.SETTLED if is_all_reported and _agree(sidecars, desired) else Outcome.UNSETTLED

    def forget(self, namespace: str) -> None:
        """Forget a namespace where nothing of ours is left."""
        self._memories.pop(namespace, None)

    def _is_nothing_of_ours(self, bodies: Mapping[str, Body], live: Manifest | None) -> bool:
        """Return whether nothing is ours: any namespace may have a ConfigMap of that name; only ours may be emptied.

        A profile that is deleted and held by a finalizer counts as gone.
        """
        labels = (live or {}).get("metadata", {}).get("labels") or {}
        is_ours = labels.get(names.MANAGED_BY) == names.CONTROLLER_MANAGER
        are_all_gone = all(body["metadata"].get("deletionTimestamp") for body in bodies.values())
        return self._settings.cluster_wide and are_all_gone and not is_ours

    async def _publish(self, namespace: str, live: Manifest | None, desired: Desired) -> None:
        manifest = render_config_map(namespace, desired)
        self._news.expect_config_map(namespace, manifest)
        if is_in_place(live, manifest):
            return
        if live is not None and live.get("immutable"):
            await self._cluster.delete_config_map(namespace)
        applied = await self._cluster.apply_config_map(manifest)
        if surplus := surplus_of(applied, manifest):
            await self._cluster.trim_config_map(namespace, surplus)
        log.info("published", extra={"namespace": namespace, "profiles": len(desired.data), "hash": desired.hash})

    async def _look_at_sidecars(self, namespace: str, wanted: str) -> Sequence[Sidecar]:
        pods = await self._cluster.list_pods(namespace, self._settings.sidecar_selector)
        sidecars = [sidecar for pod in pods if (sidecar := read_pod(pod)) is not None]
        self._news.expect_sidecars(namespace, [replace(sidecar, stamped=wanted) for sidecar in sidecars])
        stale = [sidecar for sidecar in sidecars if sidecar.stamped != wanted]
        await _all_of(partial(self._stamp, namespace, sidecar, wanted) for sidecar in stale)
        self._proofs.observe(namespace, sidecars)
        asked = await self._sidecars.ask_all(sidecars)
        ready = [sidecar for sidecar in asked if sidecar.is_ready]
        self._metrics.sidecars.labels(namespace, "ready").set(len(ready))
        self._metrics.sidecars.labels(namespace, "answering").set(sum(one.loaded is not None for one in ready))
        return asked

    async def _stamp(self, namespace: str, sidecar: Sidecar, wanted: str) -> None:
        try:
            await self._cluster.annotate_pod(namespace, sidecar.name, sidecar.uid, {names.HASH_ANNOTATION: wanted})
        except (NotFoundError, ConflictError):
            return  # it is gone; a new pod of its name causes an event of its own

    # ── reporting ───────────────────────────────────────────────────────────────────────────────────────────────

    async def _report_all(
        self,
        namespace: str,
        planned: Planned,
        sidecars: Sequence[Sidecar],
        bodies: Mapping[str, Body],
        has_news: Callable[[], bool],
    ) -> bool:
        versions, resources, desired = planned
        proof, is_fresh = self._proofs.latest(namespace)
        around = Surroundings(
            config_map=names.CONFIG_MAP,
            sidecars=sidecars,
            conflicts=find_reload_conflicts(resources, desired.entries, self._settings.ocr_model),
            mirrored={name: warnings_of(body) for name, body in bodies.items() if is_mirrored(body)},
            isolation=proof,
            is_fresh=is_fresh,
            now=timestamp(self._clock()),
        )
        memory = self._memories[namespace]
        may_count = memory.may_count(sidecars, time.monotonic())
        if memory.has_told(versions, around):
            return True
        todo, is_later = [], False
        for resource in resources:
            if (entry := desired.entries.get(resource.name)) is not None:
                status = next_status(resource, entry, around)
                if is_told(resource.status, status):
                    continue
                if not may_count and is_only_of_sidecars(resource.status, status):
                    is_later = True
                else:
                    todo.append(partial(self._report, bodies[resource.name], resource, status, around.now))
        is_all_reported = await _all_of(todo, lambda: not has_news()) and not is_later
        if is_all_reported:
            self._proofs.reported(namespace, proof)
            memory.note_told(None if todo else versions, around)
        return is_all_reported

    async def _report(self, body: Body, resource: Resource, status: Mapping[str, Any], now: str) -> None:
        about = {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": body["metadata"]}
        # Events come first, with deterministic names: a crash between the two neither loses nor repeats any.
        for event in plan_events(resource, status):
            await self._cluster.emit_event(about, event, names.CONTROLLER_MANAGER, now)
        try:
            await self._cluster.apply_status(resource.namespace, resource.name, status)
        except NotFoundError:
            return  # it was deleted meanwhile

    def _show(self, namespace: str, desired: Desired) -> None:
        for publication in Publication:
            count = sum(entry.publication is publication for entry in desired.entries.values())
            self._metrics.profiles.labels(namespace, publication.value).set(count)


def _plan(memory: Memory, bodies: Iterable[Body], live: Manifest | None) -> tuple[list[Resource], Desired]:
    resources = memory.read_all(bodies)
    return resources, plan_entries(resources, memory.served(resources, live))


def _agree(sidecars: Iterable[Sidecar], desired: Desired) -> bool:
    """Return whether every ready sidecar has loaded exactly what is published."""
    wanted = {name: entry.revision for name, entry in desired.entries.items() if _is_served(entry)}
    return all(sidecar.loaded == wanted for sidecar in sidecars if sidecar.is_ready)


def _is_served(entry: Entry) -> bool:
    return entry.payload is not None


async def _all_of(todo: Iterable[Callable[[], Awaitable[None]]], may_go_on: Callable[[], bool] = lambda: True) -> bool:
    """Do all, a few at a time, even if some fail; then raise the first error.

    Returns:
        False if the rest was left because it may not go on and ``LONGEST_REPORT_S`` are over.
    """
    waiting = list(todo)[::-1]
    clock = asyncio.get_running_loop().time
    deadline = clock() + LONGEST_REPORT_S
    errors: list[ClusterError] = []

    async def _work() -> None:
        while waiting and (may_go_on() or clock() < deadline):
            try:
                await waiting.pop()()
            except ClusterError as exc:
                errors.append(exc)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(PARALLEL_WRITES, len(waiting))):
            group.create_task(_work())
    if errors:
        raise errors[0]
    return not waiting
