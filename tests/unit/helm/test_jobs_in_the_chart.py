"""Jobs over NATS JetStream: what the pods are told and mount, whom they may reach, and by what they are scaled."""

from typing import Any

import pytest

from tests.unit.helm.test_environment import containers, environment
from tests.unit.helm.test_network_policies import peers_of, policy
from tests.unit.helm.test_pods import files_of, spec_of
from tools.charts.cases import CASES, NATS, PEER
from tools.charts.rendering import find, merge, objects

OF_JOBS = ("OCR_JOBS", "OCR_SYNC_OVER_JOBS")


def told(case: str) -> dict[str, str]:
    """What of its environment is about jobs."""
    (container,) = containers(case, "sidecar")
    return {name: value for name, value in environment(container).items() if name.startswith(OF_JOBS)}


def deployment(values: dict[str, Any]) -> dict[str, Any]:
    return find(objects(values), "Deployment", "ocr-sidecar")["spec"]


# ── the pods ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("case", ["default", "gpu", "everything said"])
def test_without_a_url_nothing_is_said_of_jobs(case):
    assert told(case) == {}


def test_what_is_said_of_jobs_reaches_the_pods():
    values = {"replicas": 3, "ttlSeconds": 3600, "slicePages": 4, "slices": 1, "sync": True}
    environ = deployment(merge(CASES["jobs"], {"jobs": values}))["template"]["spec"]["containers"][0]["env"]
    assert {one["name"]: one["value"] for one in environ if one["name"].startswith(OF_JOBS)} == {
        "OCR_JOBS": "nats://nats.nats.svc:4222",
        "OCR_JOBS_TTL": "3600",
        "OCR_JOBS_REPLICAS": "3",
        "OCR_JOBS_SLICE_PAGES": "4",
        "OCR_JOBS_SLICES": "1",
        "OCR_SYNC_OVER_JOBS": "on",
    }


def test_each_file_of_a_secret_lies_where_its_setting_says():
    """Folders, not files by subPath, which would never change; read by the pod's group and by nobody else."""
    spec = spec_of("jobs with everything", "ocr-sidecar")
    mounted = files_of(spec, spec["containers"][0])
    wanted = {
        "OCR_JOBS_CREDENTIALS_FILE": ("nats-credentials", "nats.creds"),
        "OCR_JOBS_CA_FILE": ("nats-ca", "ca.crt"),
        "OCR_JOBS_CALLBACK_SECRET_FILE": ("callbacks", "secret"),
    }
    for setting, (secret, key) in wanted.items():
        folder, _, file = told("jobs with everything")[setting].rpartition("/")
        assert mounted[folder]["readOnly"]
        assert mounted[folder]["secret"] == {
            "secretName": secret,
            "defaultMode": 0o440,
            "items": [{"key": key, "path": file}],
        }


def test_the_store_in_the_pod_lies_on_a_volume_that_stays():
    folder = told("jobs in the pod")["OCR_JOBS_DIR"].rpartition("/")[0]
    spec = spec_of("jobs in the pod", "ocr-sidecar")
    volume = files_of(spec, spec["containers"][0])[folder]
    claim = find(objects(CASES["jobs in the pod"]), "PersistentVolumeClaim", "ocr-sidecar-jobs")
    assert volume["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    own = "jobs in the pod, on a volume of one's own"
    assert not [one for one in objects(CASES[own]) if one["kind"] == "PersistentVolumeClaim"]
    assert {"claimName": "mine"} in [one.get("persistentVolumeClaim") for one in spec_of(own, "ocr-sidecar")["volumes"]]


def test_two_servers_never_share_the_store():
    assert deployment(CASES["jobs in the pod"])["strategy"]["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 0}
    assert deployment(CASES["jobs"])["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ({}, 20),
        ({"jobs": {"sliceSeconds": 90}}, 20),
        (CASES["jobs"], 60),
        (merge(CASES["jobs"], {"jobs": {"sliceSeconds": 300}}), 300),
        (merge(CASES["jobs"], {"sidecar": {"shutdownSeconds": 400}}), 400),
    ],
)
def test_a_pod_that_stops_has_the_time_of_a_slice(values, seconds):
    spec = deployment(values)["template"]["spec"]
    (said,) = [one["value"] for one in spec["containers"][0]["env"] if one["name"] == "OCR_SHUTDOWN_SECONDS"]
    assert (said, spec["terminationGracePeriodSeconds"]) == (str(seconds), seconds + 20)


# ── whom they may reach ───────────────────────────────────────────────────────────────────────────────────────────


def ports(spec: dict[str, Any]) -> list[int]:
    return [one["port"] for rule in spec.get("egress", ()) for one in rule["ports"]]


def test_jobs_elsewhere_open_dns_and_exactly_the_door_of_nats():
    spec = policy(CASES["jobs"])
    assert ports(spec) == [53, 53, 4222]
    (peer,) = peers_of(spec["egress"], 4222)
    assert peer["podSelector"]["matchLabels"] == {
        "app.kubernetes.io/name": "nats",
        "app.kubernetes.io/component": "nats",
    }


def test_the_server_in_the_pod_opens_nothing():
    assert "egress" not in policy(CASES["jobs in the pod"])


def test_the_port_of_a_url_without_one_is_that_of_nats():
    assert ports(policy({"jobs": {"url": "nats://10.1.2.3"}})) == [53, 53, 4222]
    assert ports(policy({"jobs": {"url": "tls://10.1.2.3"}})) == [53, 53, 4222]


def test_servers_and_hosts_at_addresses_are_reached_there_and_nowhere_else():
    (_, *rules) = policy(CASES["jobs and callbacks at addresses"])["egress"]
    assert rules == [
        {"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [{"protocol": "TCP", "port": 4222}]},
        {"to": [{"ipBlock": {"cidr": "fd00::7/128"}}], "ports": [{"protocol": "TCP", "port": 4223}]},
        {"to": [{"ipBlock": {"cidr": "10.9.8.7/32"}}], "ports": [{"protocol": "TCP", "port": 443}]},
        {"to": [{"ipBlock": {"cidr": "fd00::9/128"}}], "ports": [{"protocol": "TCP", "port": 80}]},
    ]


def test_callbacks_go_to_the_peers_that_are_named_and_to_the_ports_of_the_hosts():
    spec = policy(CASES["jobs with everything"])
    assert ports(spec) == [53, 53, 4222, 443, 8443]
    assert peers_of(spec["egress"], 443) == peers_of(spec["egress"], 8443) == [PEER]
    assert peers_of(spec["egress"], 4222) == [NATS]
    moved = merge(CASES["jobs with everything"], {"networkPolicy": {"callbacks": {"port": 9443}}})
    assert ports(policy(moved)) == [53, 53, 4222, 9443]


def test_the_server_in_the_pod_can_have_callbacks_made():
    callbacks = {"hosts": ["backend.example.org"], "existingSecret": "callbacks"}
    values = {"jobs": {"url": "embedded", "callbacks": callbacks}, "networkPolicy": {"callbacks": {"to": [PEER]}}}
    assert ports(policy(values)) == [53, 53, 443]


def test_without_hosts_nobody_is_called_whatever_peers_there_are():
    values = merge(CASES["jobs"], {"networkPolicy": {"callbacks": {"to": [PEER]}}})
    assert ports(policy(values)) == [53, 53, 4222]


def test_a_model_elsewhere_and_jobs_elsewhere_share_the_rule_for_dns():
    spec = policy(CASES["jobs beside a model elsewhere"])
    assert ports(spec) == [53, 53, 11434, 14222]


# ── by what they are scaled ───────────────────────────────────────────────────────────────────────────────────────


def triggers(case: str) -> list[dict[str, Any]]:
    return find(objects(CASES[case]), "ScaledObject", "ocr-sidecar")["spec"]["triggers"]


def test_keda_counts_the_slices_that_are_due_and_needs_no_prometheus():
    (trigger,) = triggers("jobs scaled by KEDA")
    assert trigger["type"] == "nats-jetstream"
    assert trigger["metricType"] == "AverageValue", "the only kind that a fallback works with"
    assert trigger["metadata"] == {
        "natsServerMonitoringEndpoint": "nats-headless.nats.svc:8222",
        "useHttps": "false",
        "account": "$G",
        "stream": "OCR_DUE",
        "consumer": "due",
        "lagThreshold": "4",
    }


def test_keda_counts_pages_and_texts_beside_the_slices_where_prometheus_is_named():
    kinds = [one["type"] for one in triggers("jobs and texts scaled by KEDA")]
    assert kinds == ["nats-jetstream", "prometheus", "prometheus"]
    assert triggers("jobs and texts scaled by KEDA")[0]["metadata"]["useHttps"] == "true"
    assert [one["type"] for one in triggers("scaled by KEDA")] == ["prometheus", "prometheus"]


def test_an_adapter_gives_the_pages_that_are_due_once_for_all_pods():
    """Every pod tells the same number: as a metric of pods, which are summed, it would count them as often as there are
    pods."""
    pods, due = find(objects(CASES["jobs scaled by an adapter"]), "HorizontalPodAutoscaler", "ocr-sidecar")["spec"][
        "metrics"
    ]
    assert pods["pods"]["metric"]["name"] == "ocr_pages_admitted"
    assert (due["type"], due["external"]["metric"]["name"]) == ("External", "ocr_pages_due")
    assert due["external"]["metric"]["selector"] == {"matchLabels": {"namespace": "ocr"}}
    assert due["external"]["target"] == {"type": "AverageValue", "averageValue": "32"}
