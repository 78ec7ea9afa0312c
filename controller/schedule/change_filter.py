"""Which events are news, and which only report what the controller knows or has done itself. Pure.

It only saves passes: a wrong decision here is corrected at the next resync.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from controller.publish.config_map import is_in_place
from controller.resource.mirror_state import STATE_ANNOTATION
from controller.resource.sidecar_pod import Sidecar, read_pod

DELETED = "DELETED"

Body = Mapping[str, Any]


class ChangeFilter:
    """Judges the events of all namespaces. ``kind`` is None for what is listed when a watch begins."""

    def __init__(self) -> None:
        self._profiles: dict[str, tuple[object, bool, object]] = {}
        self._manifests: dict[str, Body] = {}
        self._sidecars: dict[str, dict[str, Sidecar]] = {}

    def expect_config_map(self, namespace: str, manifest: Body) -> None:
        """Note what the ConfigMap is about to be."""
        self._manifests[namespace] = manifest

    def expect_sidecars(self, namespace: str, sidecars: Iterable[Sidecar]) -> None:
        """Note what the sidecar pods are about to be."""
        self._sidecars[namespace] = {sidecar.uid: sidecar for sidecar in sidecars}

    def forget(self, namespace: str) -> None:
        """Forget a namespace where nothing of ours is left; its profiles have been forgotten one by one."""
        self._manifests.pop(namespace, None)
        self._sidecars.pop(namespace, None)

    def is_news(self, resource: str, kind: str | None, body: Body) -> bool:
        """Judge an event of any watched resource, by its plural."""
        judge = {"configmaps": self._of_config_map, "pods": self._of_pod}.get(resource, self._of_profile)
        return judge(kind, body)

    def _of_profile(self, kind: str | None, body: Body) -> bool:
        """Return whether a spec is new, changed or gone, or its row has a new problem. A status is no news.

        The controller writes the status itself; two replicas that see different things would trigger each other
        forever.
        """
        metadata = body["metadata"]
        if kind == DELETED:
            self._profiles.pop(metadata["uid"], None)
            return True
        row = (metadata.get("annotations") or {}).get(STATE_ANNOTATION)
        state = (metadata.get("generation"), bool(metadata.get("deletionTimestamp")), row)
        is_same = self._profiles.get(metadata["uid"]) == state
        self._profiles[metadata["uid"]] = state
        return not is_same

    def _of_config_map(self, kind: str | None, body: Body) -> bool:
        manifest = self._manifests.get(body["metadata"]["namespace"])
        return kind == DELETED or manifest is None or not is_in_place(body, manifest)

    def _of_pod(self, kind: str | None, body: Body) -> bool:
        """Return whether a pod comes, goes, becomes ready or unready, or moves; kubelets write much else into a pod."""
        metadata = body["metadata"]
        known = self._sidecars.get(metadata["namespace"], {}).get(metadata["uid"])
        return (None if kind == DELETED else read_pod(body)) != known
