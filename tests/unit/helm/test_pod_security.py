"""Every pod of the chart keeps the standard "restricted", and what is ours beyond it."""

import copy

import pytest

from tools.charts.cases import CASES
from tools.charts.pod_security import violations
from tools.charts.rendering import ROOT, find, objects, parse, pods

GOOD = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "one",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
}


@pytest.mark.parametrize("case", CASES)
def test_every_pod_is_restricted(case):
    found = {title: violations(pod["spec"]) for title, pod in pods(objects(CASES[case]))}
    assert len(found) >= 3
    assert {title: rules for title, rules in found.items() if rules} == {}


@pytest.mark.parametrize("case", CASES)
def test_every_container_has_what_the_standard_does_not_ask(case):
    for title, pod in pods(objects(CASES[case])):
        spec = pod["spec"]
        assert spec["enableServiceLinks"] is False, title
        assert spec["securityContext"].get("runAsUser") == (None if case == "OpenShift" else 65532), title
        for container in spec["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, title
            assert set(container["resources"]) - {"claims"} == {"requests", "limits"}, title
            assert {"cpu", "memory"} <= set(container["resources"]["limits"]), title


@pytest.mark.parametrize("case", CASES)
def test_only_the_controller_gets_a_token(case):
    rendered = objects(CASES[case])
    with_token = {title for title, pod in pods(rendered) if pod["spec"]["automountServiceAccountToken"] is not False}
    names = {pod["spec"].get("serviceAccountName", "default") for title, pod in pods(rendered) if title in with_token}
    accounts = [one for one in rendered if one["kind"] == "ServiceAccount"]
    subjects = {
        one["name"] for binding in rendered if binding["kind"].endswith("RoleBinding") for one in binding["subjects"]
    }
    assert with_token <= {"Deployment/ocr-controller", "Deployment/governor"}
    assert names == subjects
    assert all(one["automountServiceAccountToken"] is False for one in accounts)


def test_the_pod_to_try_it_out_with_is_restricted_and_may_call():
    (backend,) = parse((ROOT / "manifests" / "backend.yaml").read_text(encoding="utf-8"))
    assert violations(backend["spec"]) == []
    policy = find(objects(), "NetworkPolicy", "ocr-sidecar")["spec"]["ingress"][0]
    assert policy["from"] == [{"podSelector": {"matchLabels": backend["metadata"]["labels"]}}]
    deployment = find(objects(), "Deployment", "ocr-sidecar")["spec"]["template"]["spec"]
    assert backend["spec"]["containers"][0]["image"] == deployment["containers"][0]["image"]


def test_the_check_lets_a_good_pod_pass():
    assert violations(GOOD) == []


BAD = [
    (("hostNetwork",), True),
    (("hostPID",), True),
    (("hostIPC",), True),
    (("volumes",), [{"name": "host", "hostPath": {"path": "/"}}]),
    (("securityContext", "runAsUser"), 0),
    (("securityContext", "runAsNonRoot"), None),
    (("securityContext", "seccompProfile"), None),
    (("securityContext", "seccompProfile"), {"type": "Unconfined"}),
    (("securityContext", "sysctls"), [{"name": "kernel.msgmax", "value": "1"}]),
    (("securityContext", "seLinuxOptions"), {"type": "spc_t"}),
    (("securityContext", "appArmorProfile"), {"type": "Unconfined"}),
    (("containers", 0, "securityContext", "runAsNonRoot"), False),
    (("containers", 0, "securityContext", "runAsUser"), 0),
    (("containers", 0, "securityContext", "privileged"), True),
    (("containers", 0, "securityContext", "procMount"), "Unmasked"),
    (("containers", 0, "securityContext", "allowPrivilegeEscalation"), None),
    (("containers", 0, "securityContext", "capabilities"), {"drop": ["NET_RAW"]}),
    (("containers", 0, "securityContext", "capabilities"), {"drop": ["ALL"], "add": ["NET_ADMIN"]}),
    (("containers", 0, "securityContext", "seccompProfile"), {"type": "Unconfined"}),
    (("containers", 0, "ports"), [{"containerPort": 1, "hostPort": 1}]),
    (("containers", 0, "livenessProbe"), {"httpGet": {"host": "10.0.0.1", "port": 1}}),
]


@pytest.mark.parametrize(("path", "value"), BAD, ids=[f"{path[-1]}={value}" for path, value in BAD])
def test_the_check_names_each_violation(path, value):
    pod = copy.deepcopy(GOOD)
    at = pod
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    assert len(violations(pod)) == 1
