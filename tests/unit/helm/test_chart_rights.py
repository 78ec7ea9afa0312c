"""The controller's rights in the chart are those of manifests/rbac/, which its own tests keep to what it uses."""

from typing import Any

import pytest
import yaml

from tools.charts.cases import CASES
from tools.charts.rendering import ROOT, find, objects

AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"
MIRROR_VERBS = ["create", "patch", "delete"]


def rules_of(name: str) -> list[dict[str, Any]]:
    text = (ROOT / "manifests" / "rbac" / name).read_text(encoding="utf-8")
    (role,) = [one for one in yaml.safe_load_all(text) if one["kind"].endswith("Role")]
    return role["rules"]


def is_aggregated(role: dict[str, Any]) -> bool:
    return any(label.startswith(AGGREGATE) for label in role["metadata"]["labels"])


def role_of(rendered: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (role,) = [one for one in rendered if one["kind"] == kind and not is_aggregated(one)]
    return role


def rendered_rules(case: str, kind: str) -> list[dict[str, Any]]:
    return role_of(objects(CASES[case]), kind)["rules"]


def test_with_the_mirror_they_are_the_same():
    assert rendered_rules("the mirror", "Role") == rules_of("controller.yaml")


def test_for_every_namespace_they_are_the_same():
    assert rendered_rules("the mirror, cluster-wide", "ClusterRole") == rules_of("controller-cluster.yaml")


def test_without_a_database_the_mirrors_rule_is_left_out():
    assert rendered_rules("default", "Role") == [
        rule for rule in rules_of("controller.yaml") if rule["verbs"] != MIRROR_VERBS
    ]
    assert len(rendered_rules("default", "Role")) == len(rules_of("controller.yaml")) - 1


@pytest.mark.parametrize("case", CASES)
def test_nobody_else_has_rights_and_none_for_the_whole_cluster_unasked(case):
    rendered = [one for one in objects(CASES[case]) if "Role" in one["kind"]]
    kinds = sorted(one["kind"] for one in rendered if not is_aggregated(one))
    if case == "no controller":
        assert kinds == []
    elif case.startswith("two controllers"):
        of_all = ["ClusterRole", "ClusterRoleBinding"] if "cluster-wide" in case else ["Role", "RoleBinding"]
        assert kinds == sorted([*of_all, "Role", "RoleBinding"])
    elif "cluster-wide" in case:
        assert kinds == ["ClusterRole", "ClusterRoleBinding"]
    else:
        assert kinds == ["Role", "RoleBinding"]


@pytest.mark.parametrize(("case", "kind"), [("default", "Role"), ("the mirror, cluster-wide", "ClusterRole")])
def test_the_rights_are_those_of_the_controllers_account(case, kind):
    rendered = objects(CASES[case], namespace="there")
    role = role_of(rendered, kind)
    (binding,) = [one for one in rendered if one["kind"] == f"{kind}Binding"]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role["metadata"]["name"]}
    assert binding["roleRef"] == reference
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "ocr-controller", "namespace": "there"}]
    pod = find(rendered, "Deployment", "ocr-controller")["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "ocr-controller"


# ── whoever has Kubernetes' own roles ─────────────────────────────────────────────────────────────────────────────


def granted(values: Any) -> dict[str, set[tuple[str, str]]]:
    """By Kubernetes' own role, what it gains: verb and resource."""
    found: dict[str, set[tuple[str, str]]] = {}
    for role in objects(values):
        if role["kind"] == "ClusterRole" and is_aggregated(role):
            pairs = {(verb, each) for rule in role["rules"] for each in rule["resources"] for verb in rule["verbs"]}
            assert all(rule["apiGroups"] == ["ocr.np-dms.work"] for rule in role["rules"])
            for label, value in role["metadata"]["labels"].items():
                if label.startswith(AGGREGATE):
                    assert value == "true"
                    found.setdefault(label.removeprefix(AGGREGATE), set()).update(pairs)
    return found


def test_who_may_view_may_see_profiles_and_who_may_edit_may_change_them():
    by_role = granted({})
    seeing = {(verb, each) for verb in ("get", "list", "watch") for each in ("ocrprofiles", "ocrprofiles/status")}
    writing = {(verb, "ocrprofiles") for verb in ("create", "update", "patch", "delete", "deletecollection")}
    assert by_role == {"view": seeing, "edit": seeing | writing, "admin": seeing | writing}


def test_nobody_writes_the_status_but_the_controller():
    assert not any(("patch", "ocrprofiles/status") in pairs for pairs in granted({}).values())


def test_they_are_left_out_where_nobody_may_make_them():
    assert granted(CASES["nothing of the whole cluster"]) == {}


def test_two_releases_do_not_fight_over_them():
    names = [
        {one["metadata"]["name"] for one in objects({}, namespace=namespace) if "namespace" not in one["metadata"]}
        for namespace in ("one", "other")
    ]
    assert names[0]
    assert not names[0] & names[1]


def test_the_rights_are_bound_to_the_account_that_the_pod_has():
    rendered = objects(CASES["accounts of one's own"])
    (binding,) = [one for one in rendered if one["kind"] == "RoleBinding"]
    pod = find(rendered, "Deployment", "ocr-controller")["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == binding["subjects"][0]["name"] == "governor"
    accounts = [one for one in rendered if one["kind"] == "ServiceAccount"]
    assert [one["metadata"]["name"] for one in accounts] == ["governor"]
    assert accounts[0]["metadata"]["annotations"]["iam.example.org/role"] == "ocr"
    assert find(rendered, "Deployment", "ocr-sidecar")["spec"]["template"]["spec"]["serviceAccountName"] == "reader"


@pytest.mark.parametrize("case", ["two controllers", "two controllers, cluster-wide"])
def test_several_controllers_may_use_their_lease_in_their_namespace_and_nothing_else(case):
    rendered = objects(CASES[case])
    role, binding = (find(rendered, kind, "ocr-controller-lease") for kind in ("Role", "RoleBinding"))
    assert role["rules"] == rules_of("controller-lease.yaml")
    assert (binding["roleRef"]["name"], binding["subjects"][0]["name"]) == ("ocr-controller-lease", "ocr-controller")
    assert not any(one["metadata"]["name"].endswith("-lease") for one in objects({}))


def test_several_controllers_have_a_term_and_one_each_of_the_nodes():
    deployment = find(objects(CASES["two controllers"]), "Deployment", "ocr-controller")
    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]["type"]) == (2, "RollingUpdate")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {"name": "CONTROLLER_LEASE_SECONDS", "value": "10"} in container["env"]
    (spread,) = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == deployment["spec"]["selector"]["matchLabels"]
    alone = find(objects({}), "Deployment", "ocr-controller")["spec"]
    assert (alone["replicas"], alone["strategy"]) == (1, {"type": "Recreate"})
    assert "topologySpreadConstraints" not in alone["template"]["spec"]
