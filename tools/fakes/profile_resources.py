"""OcrProfiles in memory, with the rules of the API server that the mirror relies on.

Server-side apply with an owner per field (``spec.prompt`` as a whole), forced conflicts, resourceVersion only on change
and as a precondition, generation only for the spec, defaults, and refusal of what the schema refuses.
"""

import copy
from collections.abc import Mapping
from typing import Any

from controller.errors import ClusterError, ConflictError, RefusedError
from controller.resource.event import Event
from controller.resource.spec import InvalidSpec, parse_spec

Path = tuple[str, ...]
DEFAULTS = {"isActive": True, "keepAliveSeconds": 0, "retry": {"maxAttempts": 2, "temperatureStep": 0.1}}


class MemoryResources:
    """The resources of one namespace. ``failing`` makes every call fail, by its error."""

    def __init__(self) -> None:
        self.bodies: dict[str, dict[str, Any]] = {}
        self.events: list[tuple[str, str, Event]] = []
        self.writes = 0
        self.emits = 0
        self.failing: ClusterError | None = None
        self._owned: dict[str, dict[str, set[Path]]] = {}
        self._version = 100

    # ── what the mirror calls ─────────────────────────────────────────────────────────────────────────────────

    async def list_profiles(self, namespace: str) -> list[dict[str, Any]]:
        self._check()
        return copy.deepcopy([body for body in self.bodies.values() if body["metadata"]["namespace"] == namespace])

    async def apply_profile(self, manifest: Mapping[str, Any], manager: str) -> None:
        self._check()
        name = manifest["metadata"]["name"]
        live = self.bodies.get(name)
        asked = manifest["metadata"].get("resourceVersion")
        if asked is not None and (live is None or asked != live["metadata"]["resourceVersion"]):
            raise ConflictError(f"{name} has been modified")
        self._store(name, manifest, manager)

    async def delete_profile(self, namespace: str, name: str, uid: str) -> None:
        self._check()
        if name in self.bodies and self.bodies[name]["metadata"]["namespace"] == namespace:
            if self.bodies[name]["metadata"]["uid"] != uid:
                raise ConflictError(f"the uid of {name} is another")
            self.remove(name)
            self.writes += 1

    async def emit_event(self, about: Mapping[str, Any], event: Event, component: str, now: str) -> None:
        self._check()
        self.emits += 1
        assert (component, now[-1]) == ("ocr-mirror", "Z")
        if all(event.name != known.name for _, _, known in self.events):
            self.events.append((about["kind"], about["metadata"]["name"], event))

    # ── what people do, and what a test looks at ──────────────────────────────────────────────────────────────

    def edit(self, name: str, manager: str = "kubectl", labels: Mapping[str, str] | None = None, **spec: Any) -> None:
        """Apply some fields as somebody else."""
        metadata = {"name": name, "namespace": "ocr", "labels": dict(labels or {})}
        self._store(name, {"metadata": metadata, "spec": spec}, manager)

    def remove(self, name: str) -> None:
        del self.bodies[name]
        self._owned.pop(name, None)

    def unlabel(self, name: str) -> None:
        self.bodies[name]["metadata"]["labels"].clear()
        self._touch(name)

    def spec(self, name: str) -> dict[str, Any]:
        return self.bodies[name]["spec"]

    def version(self, name: str) -> str:
        return self.bodies[name]["metadata"]["resourceVersion"]

    def told(self) -> list[tuple[str, str]]:
        """Name and reason of every event."""
        return [(name, event.reason) for _, name, event in self.events]

    # ── server-side apply ─────────────────────────────────────────────────────────────────────────────────────

    def _check(self) -> None:
        if self.failing is not None:
            raise self.failing

    def _store(self, name: str, manifest: Mapping[str, Any], manager: str) -> None:
        live = self.bodies.get(name)
        old = _leaves(live) if live else {}
        new = _leaves(manifest)
        owners = self._owned.get(name, {})
        others = {path for owner, paths in owners.items() if owner != manager for path in paths}
        given_back = owners.get(manager, set()) - new.keys() - others
        leaves = {path: value for path, value in old.items() if path not in given_back} | new
        body = self._body(name, leaves, live)
        self.writes += 1
        if live is None or _leaves(body) != old:
            body["metadata"]["generation"] += live is None or body["spec"] != live["spec"]
            self.bodies[name] = body
            self._touch(name)
        for owner, paths in owners.items():
            if owner != manager:
                paths -= {path for path in new if new[path] != old.get(path)}
        self._owned.setdefault(name, owners)[manager] = set(new)

    def _body(self, name: str, leaves: Mapping[Path, Any], live: Mapping[str, Any] | None) -> dict[str, Any]:
        body: dict[str, Any] = {
            "apiVersion": "ocr.np-dms.work/v1beta1",
            "kind": "OcrProfile",
            "metadata": {
                "name": name,
                "namespace": "ocr",
                "uid": live["metadata"]["uid"] if live else f"uid-{name}-{self._version}",
                "generation": live["metadata"]["generation"] if live else 0,
                "resourceVersion": live["metadata"]["resourceVersion"] if live else "",
                "labels": {},
                "annotations": {},
            },
            "spec": {},
        }
        for path, value in leaves.items():
            at = body
            for part in path[:-1]:
                at = at.setdefault(part, {})
            at[path[-1]] = copy.deepcopy(value)
        body["spec"] = copy.deepcopy(DEFAULTS) | body["spec"]
        try:
            parse_spec(body)
        except InvalidSpec as exc:
            raise RefusedError(f"422 {exc}") from None
        return body

    def _touch(self, name: str) -> None:
        self._version += 1
        self.bodies[name]["metadata"]["resourceVersion"] = str(self._version)


def _leaves(body: Mapping[str, Any]) -> dict[Path, Any]:
    metadata = body["metadata"]
    leaves: dict[Path, Any] = {("spec", field): value for field, value in body.get("spec", {}).items()}
    for part in ("labels", "annotations"):
        leaves |= {("metadata", part, key): value for key, value in (metadata.get(part) or {}).items()}
    return leaves
