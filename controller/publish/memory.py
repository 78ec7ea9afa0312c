"""What is remembered of a namespace besides the cluster's state. All of it may be lost at any time."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from controller import names
from controller.publish.config_map import Desired, good_payload
from controller.publish.status import Surroundings
from controller.resource.sidecar_pod import Sidecar
from controller.resource.spec import Resource, read_resource

COUNT_S = 10.0
"""How often statuses tell how many sidecars there are, in seconds, while they come and go: a rollout changes it in each
profile with each pod."""


Versions = Mapping[str, str]
"""resourceVersion by uid, of all that a pass reads of the API server but pods."""


def versions_of(bodies: Iterable[Mapping[str, Any]], live: Mapping[str, Any] | None) -> Versions | None:
    """Return the versions of the profiles and the ConfigMap; None if one has none, so that it may be anything."""
    metadata = [body["metadata"] for body in (*bodies, *([live] if live else ()))]
    versions = {one["uid"]: one.get("resourceVersion") for one in metadata}
    return {uid: version for uid, version in versions.items() if version} if all(versions.values()) else None


@dataclass(slots=True)
class Memory:
    """What one namespace was like in the passes before."""

    last_good: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Profile name → its uid and the payload that was published last."""
    read: dict[str, tuple[int, Resource]] = field(default_factory=dict)
    """Resource uid → the generation that was read, and what it held."""
    planned: tuple[Versions, list[Resource], Desired] | None = None
    """What was planned last, and for what."""
    told: tuple[Versions, Surroundings] | None = None
    """What the last pass saw that found nothing to tell: at rest, a thousand statuses are not thought about again."""
    ready: frozenset[str] = frozenset()
    """uids of the sidecars that were ready."""
    moved_at_s: float = -math.inf
    """When the ready sidecars last became others, by the monotonic clock."""
    counted_at_s: float = -math.inf
    """When statuses last told how many sidecars there are."""

    def may_count(self, sidecars: Iterable[Sidecar], now_s: float) -> bool:
        """Return whether statuses may tell how many sidecars there are: while they come and go, now and then."""
        ready = frozenset(one.uid for one in sidecars if one.is_ready)
        if ready != self.ready:
            self.ready, self.moved_at_s = ready, now_s
        if now_s < self.moved_at_s + COUNT_S and now_s < self.counted_at_s + COUNT_S:
            return False
        self.counted_at_s = now_s
        return True

    def plan(self, versions: Versions | None) -> tuple[list[Resource], Desired] | None:
        """Return what was planned for exactly these versions, if that was the last plan."""
        return self.planned[1:] if self.planned is not None and self.planned[0] == versions else None

    def has_told(self, versions: Versions | None, around: Surroundings) -> bool:
        """Return whether the statuses were found to say all that there is to say of this, but for the time."""
        return self.told is not None and self.told == (versions, replace(around, now=""))

    def note_told(self, versions: Versions | None, around: Surroundings) -> None:
        """Note that the statuses say all that there is to say of this."""
        self.told = None if versions is None else (versions, replace(around, now=""))

    def read_all(self, bodies: Iterable[Mapping[str, Any]]) -> list[Resource]:
        """Read the resources; a spec that has not changed is not parsed again."""
        read = {}
        for body in bodies:
            metadata = body["metadata"]
            known = self.read.get(metadata["uid"])
            if known is not None and known[0] == metadata.get("generation"):
                resource = known[1].with_rest_of(body)
            else:
                resource = read_resource(body)
            read[resource.uid] = (resource.generation, resource)
        self.read = read
        return [resource for _, resource in read.values()]

    def served(self, resources: Iterable[Resource], live: Mapping[str, Any] | None) -> dict[str, str]:
        """Return the payload that each name was last served with: the one remembered, or else the one in place."""
        data = (live or {}).get("data") or {}
        found = {}
        for resource in resources:
            uid, payload = self.last_good.get(resource.name, ("", ""))
            good = payload if uid == resource.uid else good_payload(resource, data.get(names.key_of(resource.name)))
            if good is not None:
                found[resource.name] = good
        return found

    def remember(self, versions: Versions | None, resources: list[Resource], desired: Desired) -> None:
        """Remember what is published now, and for which versions it was planned."""
        self.planned = None if versions is None else (versions, resources, desired)
        self.last_good = {
            resource.name: (resource.uid, entry.payload)
            for resource in resources
            if (entry := desired.entries.get(resource.name)) is not None and entry.payload is not None
        }
