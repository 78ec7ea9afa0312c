"""What the chart makes of values, as these tests look at it: policies, pods' labels, the sidecar's environment."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from helm_python import Chart

from tests.fakes.policy_rules import Policy, parse_policies

CHART = Path(__file__).parents[3] / "helm"
NAME, NAMESPACE = "ocr-sidecar", "ocr"
SIDECAR, CONTROLLER, LOADER = "ocr-sidecar", "ocr-controller", "ocr-model-loader"
"""What `app.kubernetes.io/name` says of the chart's pods."""
API_KEY = {"auth": {"mode": "api-key", "existingSecret": "keys"}}
NETWORK = {"auth": {"mode": "network"}}


@dataclass(frozen=True)
class Release:
    """The rendered objects."""

    objects: tuple[Mapping[str, Any], ...]

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
        templates = (one["spec"]["template"] for one in self.objects if one["kind"] in ("Deployment", "Job"))
        every = (template["metadata"]["labels"] for template in templates)
        return next((labels for labels in every if labels["app.kubernetes.io/name"] == name), {})

    @property
    def sidecar(self) -> Mapping[str, Any]:
        """The spec of the sidecar's pods."""
        (deployment,) = (
            one
            for one in self.objects
            if one["kind"] == "Deployment" and one["metadata"]["labels"]["app.kubernetes.io/name"] == SIDECAR
        )
        return deployment["spec"]["template"]["spec"]

    @property
    def container(self) -> Mapping[str, Any]:
        return next(one for one in self.sidecar["containers"] if one["name"] == "sidecar")

    @property
    def environment(self) -> dict[str, str]:
        """What of the sidecar's environment is a plain value."""
        return {one["name"]: one["value"] for one in self.container["env"] if "value" in one}


def render(values: Mapping[str, Any] | None = None) -> Release:
    """Render the chart with Helm's own engine."""
    with Chart.load(CHART) as chart:
        files = chart.render(dict(values or {}), name=NAME, namespace=NAMESPACE)
    return Release(tuple(_objects(files)))


def with_policy(values: Mapping[str, Any], **policy: Any) -> dict[str, Any]:
    """The values, with some of `networkPolicy`."""
    return {**values, "networkPolicy": {**values.get("networkPolicy", {}), **policy}}


def _objects(files: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    for path, text in files.items():
        if path.endswith((".yaml", ".yml")):
            yield from (one for one in yaml.safe_load_all(text) if one)
