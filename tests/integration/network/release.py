"""What the chart makes of values, as these tests look at it: policies, pods' labels, the sidecar's environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tools.charts.rendering import find, objects, pods
from tools.fakes.policy_rules import Policy, parse_policies

SIDECAR, CONTROLLER, LOADER = "ocr-sidecar", "ocr-controller", "ocr-model-loader"
TEST_CALLER, TEST_OUTSIDER = "ocr-test-caller", "ocr-test-outsider"
"""What `app.kubernetes.io/name` says of the chart's pods."""
API_KEY = {"auth": {"mode": "api-key", "existingSecret": "keys"}}
NETWORK = {"auth": {"mode": "network"}}


@dataclass(frozen=True)
class Release:
    """The rendered objects."""

    objects: tuple[dict[str, Any], ...]

    @property
    def policies(self) -> list[Policy]:
        return parse_policies(one for one in self.objects if one["kind"] == "NetworkPolicy")

    def without(self, name: str) -> list[Policy]:
        """The policies, less the one of this name, which is there."""
        kept = [one for one in self.policies if one.metadata.name != name]
        assert len(kept) == len(self.policies) - 1
        return kept

    def labels(self, name: str) -> dict[str, str]:
        """The labels of the pods that go by this name; none where there are no such pods."""
        every = (pod["metadata"]["labels"] for _, pod in pods(self.objects))
        return next((labels for labels in every if labels["app.kubernetes.io/name"] == name), {})

    def test_command(self, name: str) -> list[str]:
        """What a pod of `helm test` runs, word by word."""
        container = find(self.objects, "Pod", f"{SIDECAR}-test-{name}")["spec"]["containers"][0]
        return [*container["command"], *container["args"]]

    @property
    def container(self) -> Mapping[str, Any]:
        """The sidecar's container."""
        template = find(self.objects, "Deployment", SIDECAR)["spec"]["template"]
        return next(one for one in template["spec"]["containers"] if one["name"] == "sidecar")

    @property
    def environment(self) -> dict[str, str]:
        """What of the sidecar's environment is a plain value."""
        return {one["name"]: one["value"] for one in self.container["env"] if "value" in one}


def render(values: Mapping[str, Any] | None = None) -> Release:
    """Render the chart with Helm's own engine."""
    return Release(tuple(objects(values)))


def with_policy(values: Mapping[str, Any], **policy: Any) -> dict[str, Any]:
    """The values, with some of `networkPolicy`."""
    return {**values, "networkPolicy": {**values.get("networkPolicy", {}), **policy}}
