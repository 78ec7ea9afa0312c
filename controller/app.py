"""The composition root: what the controller is made of, and what lives as long as it does."""

import asyncio
import logging
import socket
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from math import inf
from typing import Any

from controller import names
from controller.errors import ClusterError, NotFoundError
from controller.isolation.prover import IsolationProver
from controller.kube import watches
from controller.kube.api_client import Cluster, open_cluster
from controller.kube.sidecar_client import SidecarClient
from controller.mirror.kept_list import KeptList
from controller.mirror.mirror import Mirror, ProfileResources
from controller.mirror.planner import MirrorRules
from controller.ops.health import Facts, mirror_alone
from controller.ops.server import OpsPort, open_ops
from controller.ops.telemetry import Metrics
from controller.ops.watch_ages import WatchAges
from controller.publish.reconcile import Reconciler
from controller.schedule.change_filter import ChangeFilter
from controller.schedule.leader import Leader
from controller.schedule.pass_loop import PASS_DEADLINE_S, PassLoop
from controller.settings import Settings, SettingsError

log = logging.getLogger(__name__)

CRD_LOOK_S = 1.0
"""How often to check for the CRD while it is missing, in seconds; the same command often installs it."""
MAX_STILL_S = 30.0
"""How much longer than a resync and a pass, in seconds, a loop may be silent before ``/livez`` fails."""

MIRROR_STILL_S = 120.0
"""How much longer than its interval a pass of a mirror that runs alone may take before ``/livez`` fails: its database
and its folder may be on a network that hangs."""


KEPT_RESYNCS = 2
"""How many resyncs a list is kept for the mirror at most: each pass lists anew, so this counts where passes fail."""
LOST_WATCHES = 3
"""How often in a row a watch may fail to be renewed before ``/readyz`` tells."""


class _StoppedError(Exception):
    """The process was told to stop."""


class Controller:
    """The parts, wired. ``run`` lasts until SIGTERM, SIGINT or the stop flag."""

    def __init__(  # noqa: PLR0913, PLR0917 - the composition root
        self,
        settings: Settings,
        cluster: Cluster,
        sidecars: SidecarClient,
        mirror: Mirror | None,
        kept_list: KeptList,
        leader: Leader | None,
        watch_ages: WatchAges,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._namespace = None if settings.cluster_wide else settings.watch_namespace or cluster.own_namespace
        self._prover = IsolationProver(settings, cluster, metrics, self._mark)
        self._news = ChangeFilter()
        self._reconciler = Reconciler(cluster, kept_list, sidecars, self._prover, self._news, settings, metrics)
        self._pass_loop = PassLoop(self._reconciler.reconcile, metrics, settings.resync_s, self._forget)
        self._metrics, self._mirror, self._kept_list = metrics, mirror, kept_list
        self._leader = leader
        metrics.watch_lead(lambda: self._leads)
        self._watches = watch_ages
        metrics.watch_ages(self._watches.ages)
        self._is_crd_there = False
        metrics.watch_mirror(lambda: mirror.facts if mirror else None)

    def _mark(self, namespace: str) -> None:
        self._pass_loop.mark(namespace)

    def _forget(self, namespace: str) -> None:
        for part in (self._reconciler, self._prover, self._news, self._metrics):
            part.forget(namespace)

    def _on_event(self, resource: str, kind: str | None, body: Mapping[str, Any]) -> None:
        if resource == names.PLURAL:
            self._kept_list.note_change()
        if self._news.is_news(resource, kind, body):
            self._pass_loop.mark(body["metadata"]["namespace"])

    @property
    def _leads(self) -> bool:
        return self._leader is None or self._leader.leads

    def facts(self) -> Facts:
        """Return the facts for the probes."""
        return Facts(
            is_crd_there=self._is_crd_there,
            waiting=self._pass_loop.waiting,
            failing=self._pass_loop.failing,
            database_down_since=self._mirror.facts.down_since if self._mirror else None,
            oldest_beat_s=self._pass_loop.oldest_beat_s,
            longest_beat_s=self._settings.resync_s + PASS_DEADLINE_S + MAX_STILL_S,
            watch_ages_s=self._watches.ages(),
            longest_watch_s=longest_watch_s(self._settings),
            stands_by=not self._leads,
            lease_problem=self._leader.problem if self._leader else "",
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until told to stop. If any part dies before that, everything ends, and the pod is restarted."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_end_with(stop), name="stop")
                if self._leader is not None:
                    await self._leader.acquire()
                    group.create_task(self._leader.hold(), name="lease")
                group.create_task(self._pass_loop.run(), name="passes")
                group.create_task(self._prover.run(), name="proofs of isolation")
                group.create_task(self._find_namespaces(), name="namespaces")
                if self._mirror is not None:
                    group.create_task(self._mirror.run(), name="mirror")
                group.create_task(self._watch(), name="watches")
        except* _StoppedError:
            log.info("stopped")
        finally:
            if self._leader is not None:
                await self._leader.release()

    async def _watch(self) -> None:
        await self._wait_for_crd()
        if self._namespace is not None:
            self._pass_loop.mark(self._namespace)
        self._watches.begin(watches.WATCHED)
        scope = watches.Scope(self._namespace, self._cluster.version)
        await watches.watch(self._settings, scope, self._on_event, self._watches.heard, self._cluster.credentials)
        raise _StoppedError  # kopf has SIGTERM and SIGINT for itself once it runs

    async def _wait_for_crd(self) -> None:
        """Wait until OcrProfiles can be listed: kopf discovers the kinds of objects only once."""
        while not self._is_crd_there:
            try:
                await self._cluster.list_profiles(self._namespace)
            except NotFoundError:
                log.warning("the CRD is missing", extra={"wanted": "manifests/crd.yaml"})
            except ClusterError as exc:
                log.warning("the API server does not answer as it should", extra={"error": str(exc)})
            else:
                self._is_crd_there = True
                return
            await asyncio.sleep(CRD_LOOK_S)

    async def _find_namespaces(self) -> None:
        """Find namespaces whose events were missed, if cluster-wide; a single namespace is known from the start."""
        while True:
            await asyncio.sleep(self._settings.resync_s)
            if self._namespace is None and self._is_crd_there:
                with suppress(ClusterError):  # the passes report it, and it is tried again
                    for body in await self._cluster.list_profiles(None):
                        metadata = body["metadata"]
                        if (
                            not metadata.get("deletionTimestamp")
                            and metadata["namespace"] not in self._pass_loop.namespaces
                        ):
                            self._pass_loop.mark(metadata["namespace"])


def longest_watch_s(settings: Settings) -> float:
    """Return how long nothing may be heard of a watch, in seconds, before it counts as lost."""
    return LOST_WATCHES * settings.watch_s * watches.PATIENCE


def _own_name() -> str:
    """Return a name that no other process has: of the pod, and of this start of it."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


async def _end_with(stop: asyncio.Event) -> None:
    await stop.wait()
    raise _StoppedError


def mirrored_namespace(settings: Settings, cluster: Cluster) -> str:
    """Return where the mirror writes; served cluster-wide, that is the controller's own namespace."""
    return cluster.own_namespace if settings.cluster_wide else settings.watch_namespace or cluster.own_namespace


@asynccontextmanager
async def open_mirror(settings: Settings, resources: ProfileResources, namespace: str) -> AsyncIterator[Mirror]:
    """Prepare the mirror of this namespace; nothing is connected yet.

    Raises:
        SettingsError: the mirror does not support the URL.
    """
    from controller.mirror.database import DatabaseUrlError, open_database  # noqa: PLC0415 - 20 MiB, for it alone

    try:
        database = open_database(settings.database_url.get_secret_value())
    except DatabaseUrlError as exc:
        raise SettingsError(str(exc)) from None
    rules = MirrorRules(
        namespace=namespace,
        models=settings.mirrored_models,
        prompt_type=settings.mirror_prompt_type,
        user_prompt_type=settings.mirror_user_prompt_type,
        delete_after_s=settings.mirror_delete_after_s,
    )
    try:
        yield Mirror(database, resources, rules, settings.mirror_interval_s)
    finally:
        await database.close()


@asynccontextmanager
async def open_mirror_ops(settings: Settings, mirror: Mirror, folder: str) -> AsyncIterator[int | None]:
    """Serve the ops port of a mirror that runs by itself, if the settings name one; yields the port.

    Raises:
        SettingsError: the port is taken.
    """
    if settings.mirror_ops_port is None:
        yield None
        return
    metrics = Metrics()
    metrics.watch_mirror(lambda: mirror.facts)
    at = OpsPort(settings.host, settings.mirror_ops_port, "MIRROR_OPS_PORT")
    longest_s = settings.mirror_interval_s + MIRROR_STILL_S
    async with open_ops(at, lambda: mirror_alone(mirror.facts, folder, mirror.still_s, longest_s), metrics) as port:
        yield port


@asynccontextmanager
async def open_controller(settings: Settings, kubeconfig: str | None) -> AsyncIterator[tuple[Controller, int]]:
    """Make a controller whose ops port is open; also yield the port.

    Raises:
        SettingsError: no API server is known, DATABASE_URL is not understood, or the port is taken.
    """
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        cluster = await open_cluster(kubeconfig, settings.request_timeout_s, metrics.count_call)
        stack.push_async_callback(cluster.close)
        sidecars = SidecarClient(settings.sidecar_ops_port, settings.sidecar_timeout_s)
        stack.push_async_callback(sidecars.close)
        ages = WatchAges(time.monotonic)
        kept_list = KeptList(
            cluster,
            mirrored_namespace(settings, cluster) if settings.mirrors else None,
            settings.resync_s * KEPT_RESYNCS,
            lambda: ages.ages().get(names.PLURAL, inf) <= longest_watch_s(settings),
        )
        mirror = (
            await stack.enter_async_context(open_mirror(settings, kept_list, mirrored_namespace(settings, cluster)))
            if settings.mirrors
            else None
        )
        leader = Leader(cluster, cluster.own_namespace, _own_name(), settings.lease_s) if settings.lease_s else None
        controller = Controller(settings, cluster, sidecars, mirror, kept_list, leader, ages, metrics)
        at = OpsPort(settings.host, settings.ops_port, "CONTROLLER_OPS_PORT")
        yield controller, await stack.enter_async_context(open_ops(at, controller.facts, metrics))
