"""When the isolation is probed, and how the result is reported: a condition, a metric, an event, a log line."""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from controller import names
from controller.clock import timestamp, utc_now
from controller.errors import ClusterError
from controller.isolation import probe
from controller.kube.api_client import Cluster
from controller.ops.telemetry import Metrics
from controller.resource.condition import Condition
from controller.resource.event import Event, event_name
from controller.resource.sidecar_pod import Sidecar
from controller.settings import Settings

log = logging.getLogger(__name__)

GAUGE = {"True": 1, "False": 0, "Unknown": -1}
AGAIN_S = 10.0
"""How soon it is proved again, in seconds, while the door is open or nobody knows, so that neither is told for longer
than it is true."""


@dataclass(slots=True)
class _Watched:
    """What is known of one namespace."""

    sidecars: Sequence[Sidecar] = ()
    proved: frozenset[str] | None = None
    """uids of the pods of the latest probe, or of the one that runs; None: none has begun."""
    due: float = 0
    """When the next proof is due, by the loop's clock."""
    proof: Condition | None = None
    is_fresh: bool = False


@dataclass(slots=True)
class IsolationProver:
    """Probes the isolation of every namespace at start, when a sidecar is new, and at an interval."""

    settings: Settings
    cluster: Cluster
    metrics: Metrics
    on_news: Callable[[str], None]
    """Called with a namespace whose proof has changed."""
    clock: Callable[[], datetime] = utc_now
    pause_s: float = probe.PAUSE_S
    again_s: float = AGAIN_S
    _namespaces: dict[str, _Watched] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def latest(self, namespace: str) -> tuple[Condition | None, bool]:
        """Return the latest proof, and whether it has not been reported yet."""
        if self.settings.auth_mode == "api-key":
            return probe.API_KEY_MODE, True
        watched = self._namespaces.get(namespace, _Watched())
        return watched.proof, watched.is_fresh

    def observe(self, namespace: str, sidecars: Sequence[Sidecar]) -> None:
        """Record the sidecars of a namespace; a new one is probed at once."""
        watched = self._namespaces.setdefault(namespace, _Watched())
        watched.sidecars = sidecars
        if watched.proved is None or not self._ready(watched) <= watched.proved:
            watched.due = 0
            self._wake.set()

    def reported(self, namespace: str, proof: Condition | None) -> None:
        """Record that the status of all profiles has this proof."""
        watched = self._namespaces.get(namespace)
        if watched is not None and watched.proof is proof:
            watched.is_fresh = False

    def forget(self, namespace: str) -> None:
        """Forget a namespace where nothing of ours is left."""
        self._namespaces.pop(namespace, None)

    async def run(self) -> None:
        """Prove until cancelled. In api-key mode there is nothing to prove."""
        if self.settings.auth_mode == "api-key":
            await asyncio.Event().wait()
        now = asyncio.get_running_loop().time
        while True:
            due = [(namespace, one) for namespace, one in self._namespaces.items() if one.due <= now()]
            await asyncio.gather(*(self._prove(namespace, watched) for namespace, watched in due))
            wait_s = min((watched.due for watched in self._namespaces.values()), default=now() + 1) - now()
            try:
                async with asyncio.timeout(max(wait_s, 0)):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    async def _prove(self, namespace: str, watched: _Watched) -> None:
        now = asyncio.get_running_loop().time
        watched.due = math.inf  # set before probing: a new sidecar makes it due at once
        watched.proved = self._ready(watched)
        before = watched.proof
        port, ops_port = self.settings.sidecar_api_port, self.settings.sidecar_ops_port
        timeout_s = self.settings.isolation_timeout_s
        watched.proof, exposed = await probe.prove(watched.sidecars, port, ops_port, timeout_s, self.pause_s)
        watched.due = min(watched.due, now() + self._next_in_s(watched.proof))
        if self._namespaces.get(namespace) is not watched:  # it was forgotten meanwhile
            return
        self.metrics.isolation.labels(namespace).set(GAUGE[watched.proof.status])
        watched.is_fresh = True  # even if unchanged: another writer may have changed the status meanwhile
        if watched.proof == before:
            return
        self.on_news(namespace)
        if exposed:
            log.error("the network policy is not enforced", extra={"namespace": namespace, "port": port})
            await self._warn(namespace, exposed, watched.proof)

    def _next_in_s(self, proof: Condition) -> float:
        is_at_rest = proof.status == "True" or proof is probe.NO_SIDECARS
        return (
            self.settings.isolation_interval_s if is_at_rest else min(self.again_s, self.settings.isolation_interval_s)
        )

    async def _warn(self, namespace: str, exposed: Sequence[Sidecar], proof: Condition) -> None:
        now = self.clock()
        for sidecar in exposed:
            metadata = {"name": sidecar.name, "namespace": namespace, "uid": sidecar.uid}
            about = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
            # The time is part of the name: a port that is opened again is reported again.
            name = event_name(sidecar.name, sidecar.uid, proof.type, proof.reason, now.isoformat())
            event = Event(name, "Warning", "IsolationNotEnforced", proof.message)
            try:
                await self.cluster.emit_event(about, event, names.CONTROLLER_MANAGER, timestamp(now))
            except ClusterError as exc:  # condition, metric and log report it, too
                log.warning("an event could not be sent", extra={"namespace": namespace, "error": str(exc)})

    @staticmethod
    def _ready(watched: _Watched) -> frozenset[str]:
        return frozenset(sidecar.uid for sidecar in watched.sidecars if sidecar.is_ready)
