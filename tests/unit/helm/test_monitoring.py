"""Dashboard, alerts and autoscaling ask for metrics, labels and values that there are."""

import json
import re
from typing import Any

import pytest
import yaml

from controller.ops.telemetry import Metrics as ControllerMetrics
from sidecar.api.app_keys import METRICS
from sidecar.service.app import build_app
from sidecar.settings import parse_settings
from tests.unit.test_docs import OPERATIONS, rows
from tools.charts.cases import CASES
from tools.charts.rendering import CHART, find, merge, objects

DASHBOARD = json.loads((CHART / "files" / "dashboard.json").read_text(encoding="utf-8"))
ALERTS = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text(encoding="utf-8"))
NAME = r"\b(?:ocr|retrieval)_[a-z0-9_]+\b"
OF_PROMETHEUS = {"namespace", "le"}


def metrics() -> dict[str, set[str]]:
    """Every name that Prometheus gets, with its labels."""
    environ = {"OCR_AUTH_MODE": "network", "OLLAMA_API_URL": "http://127.0.0.1:9"}
    environ |= {"OCR_ON_PRESSURE": "lease", "OCR_STATE_DIR": "/nowhere", "OCR_JOBS": "embedded"}
    settings = parse_settings(environ)
    controller = ControllerMetrics()
    controller.watch_mirror(lambda: None)
    controller.watch_ages(dict)
    labels: dict[str, set[str]] = {}
    for heading in ("## Metrics", "## Controller: metrics"):  # a test of the documentation compares these with the code
        labels |= {row[0]: {one for one in row[2].split(", ") if one} for row in rows(OPERATIONS, heading)}
    found: dict[str, set[str]] = {}
    for registry in (build_app(settings)[METRICS].registry, controller.registry):
        for one in registry.collect():
            full = one.name + ("_total" if one.type == "counter" else "")
            suffixes = ("_bucket", "_sum", "_count") if one.type == "histogram" else ("",)
            found |= {full + suffix: labels[full] for suffix in suffixes}
    return found


def expressions() -> list[str]:
    rendered = [*objects(CASES["jobs scaled by an adapter"]), *objects(CASES["scaled by KEDA"])]
    asked = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    asked += [one["query"]["query"] for one in DASHBOARD["templating"]["list"] if one["type"] == "query"]
    asked += [alert["expr"] for alert in ALERTS]
    asked += [
        one[one["type"].lower()]["metric"]["name"]
        for one in find(rendered, "HorizontalPodAutoscaler", "ocr-sidecar")["spec"]["metrics"]
    ]
    asked += [one["metadata"]["query"] for one in find(rendered, "ScaledObject", "ocr-sidecar")["spec"]["triggers"]]
    return asked


@pytest.mark.parametrize("expression", expressions())
def test_every_metric_asked_for_is_there_with_its_labels(expression):
    known = metrics()
    names = set(re.findall(NAME, re.sub(r'"[^"]*"', '""', expression)))
    assert names
    assert names <= set(known)
    grouped = {one.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for one in group.split(",")}
    matched = set(re.findall(r"(\w+)\s*=~?\s*\"", expression))
    assert grouped | matched <= OF_PROMETHEUS.union(*(known[name] for name in names))


def test_each_panel_names_what_it_shows():
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            grouped = {
                one.strip() for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for one in group.split(",")
            }
            assert shown <= grouped
            assert grouped - shown <= {"le"}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_alerts_look_at_the_namespace_of_the_release_alone():
    rule = find(objects(CASES["watched"], namespace="there"), "PrometheusRule", "ocr-sidecar")
    for one in rule["spec"]["groups"][0]["rules"]:
        assert len(re.findall(NAME + r"\{", one["expr"])) == one["expr"].count('namespace="there"')
        assert "NAMESPACE" not in one["expr"]


def test_an_open_door_is_critical():
    (alert,) = [one for one in ALERTS if one["expr"].startswith("ocr_controller_isolation") and "== 0" in one["expr"]]
    assert alert["labels"] == {"severity": "critical"}
    assert alert["for"] == "1m", "longer than it takes to prove it once more"


def alerts_of(values: dict[str, Any]) -> set[str]:
    rule = find(objects(merge(CASES["watched"], values)), "PrometheusRule", "ocr-sidecar")
    return {one["alert"] for one in rule["spec"]["groups"][0]["rules"]}


def test_there_is_no_alert_that_would_never_be_still():
    every = {one["alert"] for one in ALERTS}
    of_jobs = {one for one in every if one.startswith("OcrJobs")}
    assert len(of_jobs) >= 7
    assert alerts_of(CASES["jobs"]) == alerts_of({"jobs": {"url": "embedded"}}) == every
    assert alerts_of({}) == every - of_jobs
    assert alerts_of({"controller": {"enabled": False}}) == every - of_jobs - {"OcrControllerAway"}
    assert alerts_of(CASES["api-key"]) == every - of_jobs - {"OcrIsolationUnproven"}


def test_how_long_a_page_may_be_due_is_said_in_the_values():
    values = merge(CASES["jobs watched"], {"metrics": {"prometheusRule": {"oldestDueSeconds": 7200}}})
    rules = find(objects(values), "PrometheusRule", "ocr-sidecar")["spec"]["groups"][0]["rules"]
    (alert,) = [one for one in rules if one["alert"] == "OcrJobsWaitLong"]
    assert alert["expr"].endswith(" > 7200")


@pytest.mark.parametrize(
    "expression",
    [one["expr"] for one in ALERTS] + [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]],
)
def test_what_every_pod_tells_of_the_whole_cluster_is_not_summed(expression):
    for name in ("ocr_pages_due", "ocr_jobs_oldest_due_seconds", "ocr_jobs_parked"):
        assert expression.count(name) == expression.count(f"max({name}{{")


@pytest.mark.parametrize("case", ["watched", "everything said"])
def test_what_looks_for_labels_finds_them(case):
    """Also where all objects have annotations in common: those stand right below the labels."""
    labels = {"release": "prometheus"}
    values = {
        "metrics": {
            "serviceMonitor": {"labels": labels},
            "prometheusRule": {"labels": labels},
            "dashboard": {"labels": {"grafana_dashboard": "1"}},
        }
    }
    rendered = objects(merge(CASES[case], values))
    watched = [one for one in rendered if one["kind"] in ("ServiceMonitor", "PrometheusRule")]
    assert len(watched) == 3
    assert all(labels.items() <= one["metadata"]["labels"].items() for one in watched)
    (dashboard,) = [one for one in rendered if one["metadata"]["name"].endswith("-dashboard")]
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_the_controller_says_itself_whose_its_metrics_are():
    rendered = objects(CASES["watched"])
    honor = {
        one["metadata"]["name"]: one["spec"]["endpoints"][0]["honorLabels"]
        for one in rendered
        if one["kind"] == "ServiceMonitor"
    }
    assert honor == {"ocr-sidecar": False, "ocr-controller": True}


@pytest.mark.parametrize("kind", ["ServiceMonitor"])
def test_prometheus_finds_a_service_with_the_port(kind):
    rendered = objects(CASES["watched"])
    for monitor in (one for one in rendered if one["kind"] == kind):
        selector = monitor["spec"]["selector"]["matchLabels"]
        services: list[dict[str, Any]] = [
            one
            for one in rendered
            if one["kind"] == "Service" and selector.items() <= one["metadata"]["labels"].items()
        ]
        (endpoint,) = monitor["spec"]["endpoints"]
        having = [one for one in services if endpoint["port"] in [port["name"] for port in one["spec"]["ports"]]]
        assert len(having) == 1
