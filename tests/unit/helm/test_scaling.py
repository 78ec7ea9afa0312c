"""Who is scaled is scaled by the work that there is, and stops no work."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from sidecar.settings import parse_settings
from tools.charts.cases import CASES, PEER
from tools.charts.helm import Chart
from tools.charts.rendering import CHART, find, merge, objects, parse, values_file

SCALED: dict[str, Any] = {"autoscaling": {"kind": "hpa"}, "networkPolicy": {"prometheus": [PEER]}}
LOOKUP = 'lookup "apps/v1" "Deployment" .Release.Namespace $name'


def by_adapter(values: dict[str, Any]) -> dict[str, Any]:
    return find(objects(merge(SCALED, values)), "HorizontalPodAutoscaler", "ocr-sidecar")["spec"]


def by_keda(values: dict[str, Any]) -> dict[str, Any]:
    return find(objects(merge(CASES["scaled by KEDA"], values)), "ScaledObject", "ocr-sidecar")["spec"]


def test_pages_in_work_count():
    """At full load all pages may be read at the same time, and none wait: that is no reason for fewer pods."""
    (pages,) = by_adapter({})["metrics"]
    assert pages["pods"]["metric"]["name"] == "ocr_pages_admitted"
    assert pages["pods"]["target"] == {"type": "AverageValue", "averageValue": "20"}
    queries = [one["metadata"]["query"] for one in by_keda({})["triggers"]]
    assert queries == [
        'sum(ocr_pages_admitted{namespace="ocr"})',
        'sum(retrieval_texts_waiting{namespace="ocr"})',
    ]


def test_texts_count_where_there_are_texts():
    storage = {"accessModes": ["ReadWriteMany"]}
    names = [
        one["pods"]["metric"]["name"]
        for one in by_adapter({"retrieval": {"enabled": True, "storage": storage}})["metrics"]
    ]
    assert names == ["ocr_pages_admitted", "retrieval_texts_waiting"]
    assert len(by_keda({"retrieval": {"enabled": False}})["triggers"]) == 1


def test_pods_go_one_by_one():
    down = by_adapter({})["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] >= 300
    assert [(one["type"], one["value"]) for one in down["policies"]] == [("Pods", 1)]
    assert by_keda({})["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == by_adapter({})["behavior"]


@pytest.mark.parametrize(("said", "pods"), [(0, 4), (2, 2)])
def test_no_pod_goes_because_prometheus_is_away(said, pods):
    fallback = by_keda({"autoscaling": {"keda": {"fallbackReplicas": said}}})["fallback"]
    assert fallback == {"failureThreshold": 3, "replicas": pods}


def test_keda_proves_who_it_is_in_every_question():
    assert [one["authenticationRef"] for one in by_keda({})["triggers"]] == [{"name": "prometheus"}] * 2
    keda = {"kind": "keda", "keda": {"serverAddress": "http://prometheus:9090"}}
    anonymous = find(objects(merge(SCALED, {"autoscaling": keda})), "ScaledObject", "ocr-sidecar")["spec"]
    assert not any("authenticationRef" in one for one in anonymous["triggers"])


def with_live_replicas(folder: Path, live: str) -> Chart:
    """The chart as it renders in a cluster, where its Deployment has a number of pods; offline nothing is looked up."""
    shutil.copytree(CHART, folder / "chart")
    template = folder / "chart" / "templates" / "sidecar-deployment.yaml"
    text = template.read_text(encoding="utf-8")
    assert text.count(LOOKUP) == 1
    template.write_text(text.replace(LOOKUP, live), encoding="utf-8")
    return Chart(folder / "chart")


@pytest.mark.parametrize(
    ("live", "replicas"),
    [
        ('dict "spec" (dict "replicas" 4)', 4),
        ('dict "spec" (dict "replicas" 1)', 2),
        ("dict", None),
    ],
    ids=["as many as there are", "no fewer than the fewest", "at the first installation"],
)
def test_whoever_switches_the_autoscaler_on_keeps_the_pods(tmp_path, live, replicas):
    chart = with_live_replicas(tmp_path, live)
    rendered = chart.render(merge(SCALED, {"autoscaling": {"minReplicas": 2}}), name="ocr-sidecar", namespace="ocr")
    text = next(text for path, text in rendered.items() if path.endswith("sidecar-deployment.yaml"))
    assert find(parse(text), "Deployment", "ocr-sidecar")["spec"].get("replicas") == replicas


def test_beside_a_gpu_a_page_in_work_is_finished():
    settings = parse_settings({"OCR_AUTH_MODE": "network"})
    assert values_file("gpu")["sidecar"]["shutdownSeconds"] >= settings.page_timeout_s
