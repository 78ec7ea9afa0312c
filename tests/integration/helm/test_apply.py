"""A real API server takes everything the chart renders to, in a namespace that admits restricted pods alone."""

import asyncio
from typing import Any

import pytest
import yaml

from tests.integration.controller.cluster_under_test import Admin, ApiRefusalError, until
from tests.integration.helm.cluster import OF_OTHERS, apply, make_sure
from tools.charts.cases import CASES
from tools.charts.rendering import ROOT, Object, is_test, merge, objects, objects_of_the_next_version

pytestmark = pytest.mark.envtest


def the_pod_of(one: Object) -> Object | None:
    """The pod that a Deployment or Job would make: admission refuses pods, of their makers it only warns."""
    if one["kind"] not in ("Deployment", "Job"):
        return None
    template = one["spec"]["template"]
    metadata = {"name": f"{one['metadata']['name']}-0", "namespace": one["metadata"]["namespace"]}
    metadata |= {"labels": template["metadata"]["labels"]}
    # What the service account's admission would add is switched off with it; the account need not exist.
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


@pytest.mark.parametrize("case", CASES)
async def test_everything_applies(admin, case):
    rendered = objects(CASES[case], namespace=admin.namespace)
    wanted = [one for one in rendered if one["apiVersion"] not in OF_OTHERS]
    wanted += [pod for one in wanted if (pod := the_pod_of(one)) is not None]
    for theirs in {one["metadata"].get("namespace", admin.namespace) for one in wanted} - {admin.namespace}:
        await make_sure(admin, "/api/v1/namespaces", {"metadata": {"name": theirs}})  # of extraObjects
    await prepare(admin, wanted)
    answers = await asyncio.gather(*(apply(admin, one, dryRun="All") for one in wanted))
    assert [answer["metadata"]["name"] for answer in answers] == [one["metadata"]["name"] for one in wanted]


@pytest.mark.parametrize("case", ["default", "gpu", "ollama fills itself", "everything said", "the mirror"])
async def test_an_upgrade_applies(admin, case, tmp_path):
    """What cannot be changed stays as it is: selectors, what Jobs do, what claims ask for."""
    values = merge(CASES[case], {"sidecar": {"image": {"tag": "1.2.3"}}})
    first = objects(values, namespace=admin.namespace)
    later = objects_of_the_next_version(
        tmp_path, merge(values, {"commonLabels": {"team": "others"}}), namespace=admin.namespace
    )
    for one in (*first, *later):
        if one["apiVersion"] not in OF_OTHERS and not is_test(one):
            await apply(admin, one)


async def prepare(admin: Admin, wanted: list[Object]) -> None:
    """Make what admission looks up: a pod's priority class and runtime class have to exist."""
    specs: list[dict[str, Any]] = [one["spec"] for one in wanted if one["kind"] == "Pod"]
    for name in {spec["priorityClassName"] for spec in specs if "priorityClassName" in spec}:
        body = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": 1}
        await make_sure(admin, "/apis/scheduling.k8s.io/v1/priorityclasses", body)
    # Admission keeps a list of its own of priority classes, which the new one reaches a moment later.
    for pod in (one for one in wanted if one["kind"] == "Pod" and "priorityClassName" in one["spec"]):
        await until(lambda pod=pod: knows_priority(admin, pod), seconds=5)
    for name in {spec["runtimeClassName"] for spec in specs if "runtimeClassName" in spec}:
        body = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": name}
        await make_sure(admin, "/apis/node.k8s.io/v1/runtimeclasses", body)


async def knows_priority(admin: Admin, pod: Object) -> bool:
    try:
        await apply(admin, pod, dryRun="All")
    except ApiRefusalError as refusal:
        return "PriorityClass" not in refusal.message
    return True


async def test_the_pod_to_try_it_out_with_is_let_in(admin):
    pod = yaml.safe_load((ROOT / "manifests" / "backend.yaml").read_text(encoding="utf-8"))
    pod["metadata"]["namespace"] = admin.namespace
    assert (await apply(admin, pod, dryRun="All"))["metadata"]["name"] == "backend"


async def test_a_pod_that_is_not_restricted_is_refused(admin):
    pod = yaml.safe_load((ROOT / "manifests" / "backend.yaml").read_text(encoding="utf-8"))
    pod["metadata"]["namespace"] = admin.namespace
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(ApiRefusalError, match="violates PodSecurity") as refused:
        await apply(admin, pod, dryRun="All")
    assert refused.value.status == 403


async def test_an_unknown_field_is_refused(admin):
    (policy, *_) = [one for one in objects(namespace=admin.namespace) if one["kind"] == "NetworkPolicy"]
    policy["spec"]["ingres"] = []
    with pytest.raises(ApiRefusalError, match="ingres"):
        await apply(admin, policy, dryRun="All")


async def test_the_api_server_says_what_our_own_check_of_pods_says(admin, subtests):
    from tests.unit.helm.test_pod_security import BAD, GOOD  # noqa: PLC0415 - its table, for this alone

    for number, (path, value) in enumerate(BAD):
        if path[-1] == "livenessProbe":
            continue  # a rule of newer versions alone
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"bad-{number}", "namespace": admin.namespace},
            "spec": yaml.safe_load(yaml.safe_dump(GOOD)),
        }
        pod["spec"]["containers"][0]["image"] = "none"
        at: Any = pod["spec"]
        for part in path[:-1]:
            at = at[part]
        at[path[-1]] = value
        with subtests.test(path=path, value=value), pytest.raises(ApiRefusalError) as refused:
            await apply(admin, pod, dryRun="All")
        assert refused.value.status in (400, 403, 422)


async def test_the_namespace_is_the_one_of_the_base(admin):
    found = await admin.ask("GET", f"/api/v1/namespaces/{admin.namespace}")
    assert found["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
