"""What the admission policy lets the controller's token do to a pod, as CEL's own library evaluates it.

Where there is a real API server, tests/integration/helm tries the same with the controller's real token.
"""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from cel_expr_python import cel

from controller.names import HASH_ANNOTATION
from tools.charts.cases import CASES
from tools.charts.rendering import find, objects

CONTROLLER = "system:serviceaccount:ocr:ocr-controller"
POD: dict[str, Any] = {
    "metadata": {
        "name": "ocr-sidecar-0",
        "namespace": "ocr",
        "labels": {"app.kubernetes.io/name": "ocr-sidecar"},
        "annotations": {"theirs": "kept"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "ocr-sidecar"}],
    },
    "spec": {"containers": [{"name": "sidecar", "image": "ocr-sidecar:0.1.0"}]},
}
BARE: dict[str, Any] = {"metadata": {"name": "bare"}, "spec": POD["spec"]}


def policy(case: str = "default") -> dict[str, Any]:
    (found,) = [one for one in objects(CASES[case]) if one["kind"] == "ValidatingAdmissionPolicy"]
    return found["spec"]


def evaluate(expression: str, **data: Any) -> Any:
    environment = cel.NewEnv(variables=dict.fromkeys(data, cel.Type.DYN))
    return environment.compile(expression).eval(data=data).plain_value()


def refusals(before: dict[str, Any], change: Callable[[dict[str, Any]], object], user: str = CONTROLLER) -> list[str]:
    """The messages with which the API server would refuse a change, as it evaluates a policy."""
    after, spec = copy.deepcopy(before), policy()
    change(after)
    request = {"userInfo": {"username": user}}
    if not all(evaluate(one["expression"], request=request) is True for one in spec["matchConditions"]):
        return []
    data = {"object": after, "oldObject": before}
    data["variables"] = {one["name"]: evaluate(one["expression"], **data) for one in spec["variables"]}
    return [one["message"] for one in spec["validations"] if evaluate(one["expression"], **data) is not True]


def annotate(**annotations: str) -> Callable[[dict[str, Any]], object]:
    named = {name.replace("hash", HASH_ANNOTATION): value for name, value in annotations.items()}
    return lambda pod: pod["metadata"].setdefault("annotations", {}).update(named)


@pytest.mark.parametrize("pod", [POD, BARE], ids=["a pod", "a bare one"])
def test_the_controller_may_set_the_hash_and_change_it(pod):
    assert refusals(pod, annotate(hash="0123456789abcdef")) == []
    stamped = copy.deepcopy(POD)
    annotate(hash="0123456789abcdef")(stamped)
    assert refusals(stamped, annotate(hash="fedcba9876543210")) == []
    assert refusals(stamped, lambda _: None) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda pod: pod["spec"]["containers"][0].update(image="theirs"), "spec"),
        (lambda pod: pod["spec"].update(serviceAccountName="admin"), "spec"),
        (lambda pod: pod["spec"].pop("containers"), "spec"),
        (lambda pod: pod["metadata"]["labels"].update(app="other"), "labels"),
        (lambda pod: pod["metadata"].pop("labels"), "labels"),
        (annotate(other="value"), "annotation"),
        (annotate(theirs="changed"), "annotation"),
        (lambda pod: pod["metadata"]["annotations"].pop("theirs"), "annotation"),
        (lambda pod: pod["metadata"].pop("annotations"), "annotation"),
        (lambda pod: pod["metadata"].pop("ownerReferences"), "whose"),
        (lambda pod: pod["metadata"]["ownerReferences"].append({"kind": "Job", "name": "theirs"}), "whose"),
        (lambda pod: pod["metadata"].update(finalizers=["theirs/stuck"]), "finalizers"),
    ],
)
def test_and_nothing_else(change, told):
    (message,) = refusals(POD, change)
    assert told in message


def test_others_are_not_its_business():
    image = lambda pod: pod["spec"]["containers"][0].update(image="theirs")  # noqa: E731 - as above
    for user in ("system:serviceaccount:other:ocr-controller", "admin", "system:node:one"):
        assert refusals(POD, image, user) == []


def test_it_is_asked_about_every_change_of_a_pod_and_denies_when_it_cannot_tell():
    spec = policy()
    assert spec["failurePolicy"] == "Fail"
    (rule,) = spec["matchConstraints"]["resourceRules"]
    assert rule == {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["pods"]}


def test_it_is_in_force():
    rendered = objects(CASES["default"])
    binding = find(rendered, "ValidatingAdmissionPolicyBinding", "ocr-ocr-controller")["spec"]
    assert binding == {"policyName": "ocr-ocr-controller", "validationActions": ["Deny"]}


@pytest.mark.parametrize("case", ["the mirror, cluster-wide", "accounts of one's own", "everything said"])
def test_it_names_the_account_that_the_pod_has(case):
    rendered = objects(CASES[case])
    name = "governor" if case == "everything said" else "ocr-controller"
    account = find(rendered, "Deployment", name)["spec"]["template"]["spec"]["serviceAccountName"]
    request = {"userInfo": {"username": f"system:serviceaccount:ocr:{account}"}}
    (condition,) = policy(case)["matchConditions"]
    assert evaluate(condition["expression"], request=request)


@pytest.mark.parametrize("case", ["no controller", "nothing of the whole cluster"])
def test_it_is_left_out_where_there_is_nobody_to_watch_or_nobody_may_make_it(case):
    assert not [one for one in objects(CASES[case]) if one["kind"].startswith("ValidatingAdmission")]
