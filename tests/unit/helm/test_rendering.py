"""What the chart renders to is what the API server takes, in the newest three versions of Kubernetes."""

import sys
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from kubernetes_validate.utils import all_versions

from controller.resource.spec import read_resource
from tests.matrix import first
from tools.charts.cases import CASES, PEER
from tools.charts.helm import ChartError, lint
from tools.charts.rendering import (
    CHART,
    ROOT,
    chart,
    containers_of,
    find,
    is_test,
    merge,
    notes,
    objects,
    objects_of_the_next_version,
    pods,
    texts,
)

VERSIONS = [one for one in dict.fromkeys(all_versions()) if int(one.split(".")[1]) >= 30][::-1]
"""From the newest to the oldest that Chart.yaml names."""
SINCE = {"resource.k8s.io/v1": 34}
"""What the chart refuses below a version."""
CRD = yaml.safe_load((ROOT / "manifests" / "crd.yaml").read_text(encoding="utf-8"))

LABELS = {"type": "object", "additionalProperties": {"type": "string"}}
CUSTOM: dict[str, Any] = {
    # Shapes of the fields that we use, from the definitions of the Prometheus operator, of Cilium and of KEDA.
    "ServiceMonitor": {
        "additionalProperties": False,
        "required": ["selector", "endpoints"],
        "properties": {
            "selector": {
                "additionalProperties": False,
                "required": ["matchLabels"],
                "properties": {"matchLabels": LABELS},
            },
            "endpoints": {
                "type": "array",
                "items": {
                    "additionalProperties": False,
                    "properties": {
                        "port": {"type": "string"},
                        "path": {"type": "string"},
                        "interval": {"type": "string", "pattern": "^[0-9]+(s|m)$"},
                        "honorLabels": {"type": "boolean"},
                        "relabelings": {"type": "array"},
                        "metricRelabelings": {"type": "array"},
                    },
                },
            },
        },
    },
    "PrometheusRule": {
        "additionalProperties": False,
        "required": ["groups"],
        "properties": {
            "groups": {
                "type": "array",
                "items": {
                    "additionalProperties": False,
                    "required": ["name", "rules"],
                    "properties": {
                        "name": {"type": "string"},
                        "rules": {
                            "type": "array",
                            "minItems": 1,
                            "items": {
                                "additionalProperties": False,
                                "required": ["alert", "expr", "labels", "annotations"],
                                "properties": {
                                    "alert": {"type": "string"},
                                    "expr": {"type": "string"},
                                    "for": {"type": "string", "pattern": "^[0-9]+m$"},
                                    "labels": LABELS,
                                    "annotations": LABELS,
                                },
                            },
                        },
                    },
                },
            }
        },
    },
    "CiliumNetworkPolicy": {
        "additionalProperties": False,
        "required": ["endpointSelector", "egress"],
        "properties": {
            "endpointSelector": {"additionalProperties": False, "properties": {"matchLabels": LABELS}},
            "egress": {
                "type": "array",
                "items": {
                    "additionalProperties": False,
                    "properties": {"toEntities": {"type": "array", "items": {"enum": ["kube-apiserver"]}}},
                },
            },
        },
    },
    "HTTPRoute": {
        "additionalProperties": False,
        "required": ["parentRefs", "rules"],
        "properties": {
            "parentRefs": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["name"]}},
            "hostnames": {"type": "array", "items": {"type": "string"}},
            "rules": {
                "type": "array",
                "items": {
                    "additionalProperties": False,
                    "properties": {
                        "backendRefs": {
                            "type": "array",
                            "items": {
                                "additionalProperties": False,
                                "properties": {"name": {"type": "string"}, "port": {"type": "integer"}},
                            },
                        }
                    },
                },
            },
        },
    },
    "ScaledObject": {
        "additionalProperties": False,
        "required": ["scaleTargetRef", "triggers"],
        "properties": {
            "scaleTargetRef": {"additionalProperties": False, "properties": {"name": {"type": "string"}}},
            "cooldownPeriod": {"type": "integer"},
            "advanced": {
                "additionalProperties": False,
                "properties": {
                    "horizontalPodAutoscalerConfig": {
                        "additionalProperties": False,
                        "properties": {"behavior": {"type": "object"}},
                    }
                },
            },
            "fallback": {
                "additionalProperties": False,
                "required": ["failureThreshold", "replicas"],
                "properties": {"failureThreshold": {"type": "integer"}, "replicas": {"type": "integer", "minimum": 1}},
            },
            "minReplicaCount": {"type": "integer"},
            "maxReplicaCount": {"type": "integer"},
            "triggers": {
                "type": "array",
                "items": {
                    "additionalProperties": False,
                    "required": ["type", "metadata"],
                    "properties": {
                        "type": {"enum": ["prometheus", "nats-jetstream"]},
                        "metricType": {"enum": ["AverageValue", "Value"]},
                        "authenticationRef": LABELS | {"required": ["name"]},
                        "metadata": LABELS,
                    },
                    "if": {"properties": {"type": {"const": "prometheus"}}},
                    "then": {
                        "properties": {"metadata": LABELS | {"required": ["serverAddress", "query", "threshold"]}}
                    },
                    # pkg/scalers/nats_jetstream_scaler.go of KEDA: what it reads, and what it does not do without.
                    "else": {
                        "properties": {
                            "metadata": {
                                "additionalProperties": False,
                                "required": ["natsServerMonitoringEndpoint", "account", "stream", "consumer"],
                                "properties": {
                                    "natsServerMonitoringEndpoint": {"type": "string", "pattern": "^[^/:]+:[0-9]+$"},
                                    "account": {"type": "string"},
                                    "stream": {"type": "string"},
                                    "consumer": {"type": "string"},
                                    "lagThreshold": {"type": "string", "pattern": "^[0-9]+$"},
                                    "useHttps": {"enum": ["true", "false"]},
                                },
                            }
                        }
                    },
                },
            },
        },
    },
}


OF_THE_CLUSTER = {
    "ClusterRole",
    "ClusterRoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}


NATS: dict[str, Any] = {"url": "nats://nats.nats.svc:4222"}
CALLED: dict[str, Any] = {"callbacks": {"hosts": ["backend.example.org"], "existingSecret": "callbacks"}}


def check_custom(one: dict[str, Any]) -> None:
    if one["kind"] != "OcrProfile":
        return jsonschema.validate(one["spec"], CUSTOM[one["kind"]])
    known = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    assert set(one["spec"]) <= set(known), "the API server would prune the rest"
    metadata = one["metadata"] | {"uid": "u"}
    assert read_resource(one | {"metadata": metadata}).problem is None
    return None


def is_custom(one: dict[str, Any]) -> bool:
    return one["kind"] == "OcrProfile" or one["kind"] in CUSTOM


def test_all_versions_from_the_oldest_on_are_tried():
    oldest = chart().metadata["kubeVersion"]
    minors = [int(one.split(".")[1]) for one in VERSIONS]
    assert (oldest, minors[-1]) == (">=1.30.0-0", 30)
    assert set(range(30, 37)) <= set(minors)


@pytest.mark.parametrize("version", first(1, VERSIONS))
def test_every_object_is_valid(version):
    seen: list[dict[str, Any]] = []
    minor = int(version.split(".")[1])
    for values in CASES.values():
        rendered = objects(values)
        if any(minor < SINCE.get(one["apiVersion"], 0) for one in rendered):
            continue
        for one in rendered:
            if one not in seen and not is_custom(one):
                seen.append(one)
                kubernetes_validate.validate(one, version, strict=True)
    assert {"Deployment", "Service", "NetworkPolicy", "Job", "Pod", "HorizontalPodAutoscaler"} <= {
        one["kind"] for one in seen
    }


def test_the_validation_refuses_what_is_wrong():
    policy = find(objects(), "NetworkPolicy", "ocr-sidecar")
    policy["spec"]["ingres"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(policy, VERSIONS[-1], strict=True)


def test_every_custom_resource_is_valid():
    custom = [one for values in CASES.values() for one in objects(values) if is_custom(one)]
    assert {one["kind"] for one in custom} == {"OcrProfile", *CUSTOM}
    for one in custom:
        check_custom(one)


@pytest.mark.parametrize("case", CASES)
def test_helm_finds_nothing_to_say(case):
    said = [one for one in lint(CHART, dict(CASES[case]), strict=True)["messages"] if "icon" not in one["error"]]
    assert said == []


@pytest.mark.parametrize("case", CASES)
def test_no_object_is_rendered_twice_and_each_is_in_its_namespace(case):
    rendered = objects(CASES[case], namespace="elsewhere")
    names = [(one["apiVersion"], one["kind"], one["metadata"]["name"]) for one in rendered]
    assert len(names) == len(set(names))
    of_the_cluster = {one["kind"] for one in rendered if "namespace" not in one["metadata"]}
    assert of_the_cluster <= OF_THE_CLUSTER
    theirs = {"ocr"} if "extraObjects" in CASES[case] else set()
    assert {one["metadata"].get("namespace", "elsewhere") for one in rendered} == {"elsewhere"} | theirs


@pytest.mark.parametrize("case", CASES)
def test_selectors_find_the_pods_they_are_for(case):
    rendered = objects(CASES[case])
    by_labels = [pod["metadata"]["labels"] for _, pod in pods(rendered)]
    for one in rendered:
        match one:
            case {"kind": "Service", "spec": {"selector": selector}}:
                pass
            case {"kind": "Deployment" | "PodDisruptionBudget", "spec": {"selector": {"matchLabels": selector}}}:
                pass
            case {"kind": "NetworkPolicy", "spec": {"podSelector": {"matchLabels": selector}}}:
                pass
            case _:
                continue
        assert any(selector.items() <= labels.items() for labels in by_labels), one["metadata"]["name"]


@pytest.mark.parametrize("case", CASES)
def test_services_name_ports_that_the_pods_have(case):
    rendered = objects(CASES[case])
    for service in (one for one in rendered if one["kind"] == "Service"):
        (pod,) = [
            pod for _, pod in pods(rendered) if service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        ]
        ports = {
            port["name"]: port["containerPort"] for one in pod["spec"]["containers"] for port in one.get("ports", ())
        }
        assert all(ports[port["targetPort"]] == port["port"] for port in service["spec"]["ports"])


@pytest.mark.parametrize("case", CASES)
def test_every_volume_is_there_and_mounted(case):
    rendered = objects(CASES[case])
    for title, pod in pods(rendered):
        volumes = {one["name"] for one in pod["spec"].get("volumes", ())}
        mounts = [one for container in containers_of(pod) for one in container.get("volumeMounts", ())]
        assert volumes == {one["name"] for one in mounts}, title
        assert not any("subPath" in one for one in mounts), "a file mounted by subPath never changes"


def test_names_follow_no_release():
    assert {one["metadata"]["name"] for one in objects(name="other")} == {
        one["metadata"]["name"] for one in objects(name="ocr-sidecar")
    }


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"auth": {"mode": "api-key"}}, "auth.existingSecret is empty"),
        ({"networkPolicy": {"enabled": False}}, "anybody could call"),
        ({"ollama": {"url": "http://ollama.llm.svc:11434"}}, "networkPolicy.ollama.to is empty"),
        ({"ollama": {"url": "http://10.1.1.1", "inPod": {"enabled": True}}}, "needs no URL"),
        ({"modelServer": {"urls": ["http://vllm.llm.svc:8000/v1"]}}, "networkPolicy.modelServer.to is empty"),
        ({"modelServer": {"urls": ["http://10.1.1.1/v1"]}, "ollama": {"url": "http://10.1.1.1"}}, "one of them reads"),
        ({"modelServer": {"existingSecret": "key"}}, "nobody would be sent the key"),
        ({"modelServer": {"kind": "vllm"}}, "modelServer.kind is vllm, but modelServer.urls is empty"),
        (
            {
                "modelServer": {"urls": ["http://10.1.1.1/v1"]},
                "networkPolicy": {"modelServer": {"to": [PEER]}},
                "sidecar": {"settings": {"OCR_ON_PRESSURE": "lease"}},
            },
            "only Ollama unloads a model",
        ),
        (
            {
                "modelServer": {"urls": ["http://10.1.1.1/v1"]},
                "networkPolicy": {"modelServer": {"to": [PEER]}},
                "sidecar": {"extraEnv": [{"name": "OCR_ON_PRESSURE", "value": "lease"}]},
            },
            "only Ollama unloads a model",
        ),
        ({"metrics": {"serviceMonitor": {"enabled": True}}}, "Prometheus could not get in"),
        ({"autoscaling": {"kind": "keda"}}, "keda.serverAddress is empty"),
        ({"autoscaling": {"minReplicas": 5}}, "more than maxReplicas, 4"),
        ({"jobs": NATS}, "networkPolicy.jobs.to is empty, and jobs.url names nats.nats.svc"),
        ({"jobs": NATS | CALLED | {"url": "nats://10.1.1.1"}}, "networkPolicy.callbacks.to is empty"),
        (
            {"jobs": {"url": "nats://10.1.1.1", "callbacks": {"hosts": ["10.1.1.2"]}}},
            "callbacks.existingSecret is empty",
        ),
        ({"jobs": {"url": "embedded", "callbacks": {"existingSecret": "a"}}}, "jobs.callbacks.hosts is empty"),
        ({"jobs": {"sync": True}}, "jobs.sync is true, but jobs.url is empty"),
        ({"jobs": {"replicas": 3}}, "jobs.replicas is 3, but jobs.url is empty"),
        ({"jobs": {"credentials": {"existingSecret": "a"}}}, "jobs.credentials.existingSecret is set, but jobs.url is"),
        ({"jobs": {"ca": {"existingSecret": "a"}}}, "jobs.ca.existingSecret is set, but jobs.url is empty"),
        ({"jobs": CALLED}, "jobs.callbacks.existingSecret is set, but jobs.url is empty"),
        ({"jobs": {"url": "embedded"}, "sidecar": {"replicas": 2}}, "each would keep jobs of its own"),
        (
            {
                "jobs": {"url": "embedded"},
                "autoscaling": {"kind": "hpa", "maxReplicas": 1},
                "networkPolicy": {"prometheus": [PEER]},
            },
            "each would keep jobs of its own",
        ),
        ({"jobs": {"url": "nats://10.1.1.1", "ca": {"existingSecret": "a"}}}, "only a server of tls:// shows"),
        ({"jobs": {"url": "embedded", "replicas": 3}}, "a single server cannot keep copies"),
        ({"jobs": {"url": "embedded", "ca": {"existingSecret": "a"}}}, "asks for nothing"),
        ({"jobs": {"url": "embedded", "credentials": {"existingSecret": "a"}}}, "asks for nothing"),
        (
            {"jobs": {"url": "embedded"}, "sidecar": {"strategy": {"type": "RollingUpdate"}}},
            "wait for the store for ever",
        ),
        (
            {
                "jobs": {"url": "embedded"},
                "sidecar": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}},
            },
            "wait for the store for ever",
        ),
        (merge(CASES["jobs"], {"autoscaling": {"kind": "keda"}}), "keda.natsMonitoring is empty"),
        (
            merge(CASES["scaled by KEDA"], {"autoscaling": {"keda": {"natsMonitoring": "nats:8222"}}}),
            "nobody would ask there",
        ),
        (
            merge(
                CASES["jobs scaled by KEDA"],
                {"autoscaling": {"keda": {"serverAddress": "http://prometheus:9090"}}},
            ),
            "keda, but networkPolicy.prometheus is empty",
        ),
        ({"autoscaling": {"kind": "hpa"}}, "hpa, but networkPolicy.prometheus is empty"),
        (
            {"autoscaling": {"kind": "keda", "keda": {"serverAddress": "http://prometheus:9090"}}},
            "keda, but networkPolicy.prometheus is empty",
        ),
        (
            {"sidecar": {"replicas": 2}, "retrieval": {"enabled": True}},
            "up to 2 sidecars, but retrieval.storage.accessModes",
        ),
        (
            {
                "autoscaling": {"kind": "hpa"},
                "networkPolicy": {"prometheus": [PEER]},
                "ollama": {"inPod": {"enabled": True}},
            },
            "up to 4 sidecars, but ollama.inPod.storage.accessModes",
        ),
        ({"gpu": {"enabled": True, "perNode": 4}}, "a node has 4 GPUs"),
        ({"service": {"type": "NodePort"}}, "service.type is NodePort, but auth.mode is network"),
        ({"ingress": {"enabled": True, "hosts": ["a"]}}, "ingress.enabled is true, but auth.mode is network"),
        ({"httpRoute": {"enabled": True, "parentRefs": [{"name": "a"}]}}, "httpRoute.enabled is true, but auth.mode"),
        (CASES["api-key"] | {"ingress": {"enabled": True}}, "ingress.hosts is empty"),
        (CASES["api-key"] | {"httpRoute": {"enabled": True}}, "httpRoute.parentRefs is empty"),
        ({"gpu": {"enabled": True, "count": 2}}, "a node has 2 GPUs"),
        ({"controller": {"database": {"existingSecret": "a"}}}, "networkPolicy.database.to is empty"),
        ({"controller": {"enabled": False, "database": {"existingSecret": "a"}}}, "nobody would read the database"),
        ({"gpu": {"enabled": True, "sidecar": "none"}}, "no container uses the GPU"),
        ({"sidecar": {"resources": {"limits": {"cpu": None}}}}, "a worker for each core of the node"),
        ({"sidecar": {"extraEnv": [{"name": "OCR_AUTH_MODE", "value": "network"}]}}, "OCR_AUTH_MODE is set twice"),
        (
            {"sidecar": {"settings": {"OCR_DPI": 200}, "extraEnv": [{"name": "OCR_DPI", "value": "300"}]}},
            "OCR_DPI is set twice",
        ),
    ],
)
def test_values_that_do_not_fit_together_are_refused(values, sentence):
    with pytest.raises(ChartError, match=sentence):
        chart().render(values, name="ocr-sidecar")


@pytest.mark.parametrize(
    "values",
    [
        {
            "sidecar": {"replicas": 2},
            "retrieval": {"enabled": True, "storage": {"accessModes": ["ReadWriteOnce", "ReadWriteMany"]}},
        },
        {"sidecar": {"replicas": 2}},
        {"gpu": {"enabled": True, "perNode": 4, "visibleDevices": "2"}},
        {"gpu": {"enabled": True, "perNode": 4, "sidecar": "request"}},
        {"gpu": {"enabled": True, "perNode": 4, "sidecar": "claim"}},
        {"autoscaling": {"kind": "hpa"}, "networkPolicy": {"enabled": False, "external": True}},
        {"jobs": {"url": "embedded"}, "sidecar": {"strategy": {"type": "Recreate"}}},
        {"jobs": NATS | CALLED, "networkPolicy": {"enabled": False, "external": True}},
    ],
    ids=str,
)
def test_values_that_do_fit_together_are_not_refused(values):
    assert objects(values)


def test_api_key_mode_does_without_the_policy():
    values = CASES["api-key"] | {"networkPolicy": {"enabled": False}}
    assert [one for one in objects(values) if one["kind"] == "NetworkPolicy"] == []


def test_the_crd_of_the_chart_is_the_one_there_is():
    (copied,) = chart().crds
    assert copied["data"] == (ROOT / "manifests" / "crd.yaml").read_text(encoding="utf-8")


def test_the_version_is_that_of_the_code():
    from sidecar import __version__  # noqa: PLC0415 - for this alone

    assert chart().metadata["appVersion"] == __version__
    images = {container["image"] for _, pod in pods(objects()) for container in pod["spec"]["containers"]}
    assert images == {f"ocr-sidecar:{__version__}", f"ocr-controller:{__version__}"}


def test_the_notes_say_what_to_do_next():
    said = notes()
    assert "http://ocr-sidecar.ocr.svc:8765/ocr-upload" in said
    assert "label pod POD ocr.np-dms.work/client=true" in said
    assert "X-API-Key" in notes(CASES["api-key"])
    assert "kubectl apply --server-side" in notes(is_upgrade=True, is_install=False)
    assert "the database decides" in notes(CASES["the mirror"])
    assert "they lie on nats://nats.nats.svc:4222 until" in notes(CASES["jobs"])
    assert "they lie on the pod's volume until" in notes(CASES["jobs in the pod"])
    assert "/v1/jobs" not in said
    assert "label pod POD" not in notes({"networkPolicy": {"callers": [PEER]}})


def test_another_task_for_the_loader_is_another_job():
    def job(**values: Any) -> str:
        (one,) = [one for one in objects(values) if one["kind"] == "Job"]
        return one["metadata"]["name"]

    first = job(retrieval={"enabled": True})
    assert job(retrieval={"enabled": True}, sidecar={"podLabels": {"a": "b"}}) == first
    assert job(retrieval={"enabled": True, "rerankModel": "other"}) != first
    assert job(retrieval={"enabled": True}, ollama={"inPod": {"enabled": True, "pull": ["a"]}}) != first


PINNED = {"sidecar": {"image": {"tag": "1.2.3"}}}


@pytest.mark.parametrize(("name", "more"), [("gpu", PINNED), ("ollama fills itself", PINNED), ("gpu", {})])
def test_a_job_of_the_same_name_is_the_same_job(tmp_path, name, more):
    """What a Job does cannot be changed, so another version of the chart, or labels, must not."""

    def jobs(rendered: list[dict[str, Any]]) -> dict[str, Any]:
        return {one["metadata"]["name"]: one["spec"]["template"] for one in rendered if one["kind"] == "Job"}

    values = merge(CASES[name], more)
    first = jobs(objects(values))
    assert len(first) == 1
    for common in ({"commonLabels": {"team": "documents"}}, {"commonAnnotations": {"team": "documents"}}):
        assert jobs(objects(merge(values, common))) == first
    later = jobs(objects_of_the_next_version(tmp_path, values))
    assert later == first if more else not later.keys() & first.keys()  # another image is another task


def test_the_loader_is_where_a_sidecar_is():
    """A volume may belong to one node, and the scheduler does not keep those together that use it."""
    (job,) = [one for one in objects(CASES["gpu"]) if one["kind"] == "Job"]
    (term,) = job["spec"]["template"]["spec"]["affinity"]["podAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    labels = find(objects(CASES["gpu"]), "Deployment", "ocr-sidecar")["spec"]["template"]["metadata"]["labels"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert term["labelSelector"]["matchLabels"].items() <= labels.items()


def test_the_logs_of_tests_can_still_be_read():
    """Helm 3 deletes a pod with hook-succeeded before `helm test --logs` reads its log, and fails."""
    for one in (one for one in objects() if is_test(one)):
        assert one["metadata"]["annotations"]["helm.sh/hook-delete-policy"] == "before-hook-creation"


def test_the_callers_pod_has_what_a_policy_may_ask_for():
    labels = {"app.kubernetes.io/name": "backend"}
    caller = find(objects({"tests": {"callerLabels": labels}}), "Pod", "ocr-sidecar-test-caller")
    assert labels.items() <= caller["metadata"]["labels"].items()


def test_only_tests_are_hooks():
    hooks = {one["metadata"]["name"] for one in objects() if is_test(one)}
    assert hooks == {"ocr-sidecar-test-caller", "ocr-sidecar-test-outsider"}


def test_the_caller_is_tested_before_the_outsider():
    def weight(name: str) -> int:
        pod = find(objects(), "Pod", f"ocr-sidecar-test-{name}")
        return int(pod["metadata"]["annotations"]["helm.sh/hook-weight"])

    assert weight("caller") < weight("outsider")


def test_comments_reach_those_who_read_manifests():
    text = texts({"networkPolicy": {"prometheus": [PEER]}})["sidecar-networkpolicy.yaml"]
    assert "its proof of isolation must be refused here" in text


def test_helm_runs_in_a_process_of_its_own():
    """A process that has loaded OpenVINO, as those of the tests may have, crashes as soon as Go's runtime is in it."""
    assert lint(CHART, {}, strict=True)["messages"]
    assert "helm_python" not in sys.modules
