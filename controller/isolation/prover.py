"""When the isolation is proved, and what is made of the proof: a condition, a metric, an event, a log line."""

import asyncio
import logging
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


@dataclass(slots=True)
class _Beat:
    """What is known of one namespace."""

    sidecars: Sequence[Sidecar] = ()
    proved: frozenset[str] | None = None
    """uids of the pods that the latest proof was about, or the one that is being made; None: none was begun."""
    due: float = 0
    """When the next proof is due, by the loop's clock."""
    proof: Condition | None = None
    is_fresh: bool = False


@dataclass(slots=True)
class Watchman:
    """Proves the isolation of every namespace at start, when a sidecar is new, and every so often."""

    settings: Settings
    cluster: Cluster
    metrics: Metrics
    on_news: Callable[[str], None]
    """Told of a namespace whose proof says something else than before."""
    clock: Callable[[], datetime] = utc_now
    _beats: dict[str, _Beat] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def latest(self, namespace: str) -> tuple[Condition | None, bool]:
        """Give the latest proof, and whether it has not been told yet."""
        if self.settings.auth_mode == "api-key":
            return probe.API_KEY_MODE, True
        beat = self._beats.get(namespace, _Beat())
        return beat.proof, beat.is_fresh

    def look_at(self, namespace: str, sidecars: Sequence[Sidecar]) -> None:
        """Note who is there to be proved; somebody new is proved at once."""
        beat = self._beats.setdefault(namespace, _Beat())
        beat.sidecars = sidecars
        if beat.proved is None or not self._ready(beat) <= beat.proved:
            beat.due = 0
            self._wake.set()

    def is_told(self, namespace: str, proof: Condition | None) -> None:
        """Note that all profiles tell this proof."""
        beat = self._beats.get(namespace)
        if beat is not None and beat.proof is proof:
            beat.is_fresh = False

    def forget(self, namespace: str) -> None:
        """Forget a namespace where nothing of ours is left."""
        self._beats.pop(namespace, None)

    async def run(self) -> None:
        """Prove, for ever. In api-key mode there is nothing to prove."""
        if self.settings.auth_mode == "api-key":
            await asyncio.Event().wait()
        now = asyncio.get_running_loop().time
        while True:
            for namespace, beat in list(self._beats.items()):
                if beat.due <= now():
                    beat.due = (
                        now() + self.settings.isolation_interval_s
                    )  # before, as somebody new makes it due at once
                    await self._prove(namespace, beat)
            wait_s = min((beat.due for beat in self._beats.values()), default=now() + 1) - now()
            try:
                async with asyncio.timeout(max(wait_s, 0)):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    async def _prove(self, namespace: str, beat: _Beat) -> None:
        beat.proved = self._ready(beat)
        before = beat.proof
        port, ops_port = self.settings.sidecar_api_port, self.settings.sidecar_ops_port
        beat.proof, exposed = await probe.prove(beat.sidecars, port, ops_port, self.settings.isolation_timeout_s)
        if self._beats.get(namespace) is not beat:  # it was forgotten meanwhile
            return
        self.metrics.isolation.labels(namespace).set(GAUGE[beat.proof.status])
        beat.is_fresh = True  # also when it says the same: somebody else may have told something else meanwhile
        if beat.proof == before:
            return
        self.on_news(namespace)
        if exposed:
            log.error("the network policy is not enforced", extra={"namespace": namespace, "port": port})
            await self._warn(namespace, exposed, beat.proof)

    async def _warn(self, namespace: str, exposed: Sequence[Sidecar], proof: Condition) -> None:
        now = self.clock()
        for sidecar in exposed:
            metadata = {"name": sidecar.name, "namespace": namespace, "uid": sidecar.uid}
            about = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
            # By its time as well: a port that is opened again is reported again.
            name = event_name(sidecar.name, sidecar.uid, proof.type, proof.reason, now.isoformat())
            event = Event(name, "Warning", "IsolationNotEnforced", proof.message)
            try:
                await self.cluster.emit_event(about, event, names.CONTROLLER_MANAGER, timestamp(now))
            except ClusterError as exc:  # the condition, the metric and the log tell it, too
                log.warning("an event could not be told", extra={"namespace": namespace, "error": str(exc)})

    @staticmethod
    def _ready(beat: _Beat) -> frozenset[str]:
        return frozenset(sidecar.uid for sidecar in beat.sidecars if sidecar.is_ready)
