"""The controller's rights in the chart are those of manifests/rbac/, which its own tests keep to what it uses."""

from typing import Any

import pytest
import yaml

from tools.charts.cases import CASES
from tools.charts.rendering import ROOT, find, objects

MIRROR_VERBS = ["create", "patch", "delete"]


def rules_of(name: str) -> list[dict[str, Any]]:
    text = (ROOT / "manifests" / "rbac" / name).read_text(encoding="utf-8")
    (role,) = [one for one in yaml.safe_load_all(text) if one["kind"].endswith("Role")]
    return role["rules"]


def rendered_rules(case: str, kind: str) -> list[dict[str, Any]]:
    (role,) = [one for one in objects(CASES[case]) if one["kind"] == kind]
    return role["rules"]


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
    kinds = sorted(one["kind"] for one in objects(CASES[case]) if "Role" in one["kind"])
    if case == "no controller":
        assert kinds == []
    elif "cluster-wide" in case:
        assert kinds == ["ClusterRole", "ClusterRoleBinding"]
    else:
        assert kinds == ["Role", "RoleBinding"]


@pytest.mark.parametrize(("case", "kind"), [("default", "Role"), ("the mirror, cluster-wide", "ClusterRole")])
def test_the_rights_are_those_of_the_controllers_account(case, kind):
    rendered = objects(CASES[case], namespace="there")
    (role,) = [one for one in rendered if one["kind"] == kind]
    (binding,) = [one for one in rendered if one["kind"] == f"{kind}Binding"]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role["metadata"]["name"]}
    assert binding["roleRef"] == reference
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "ocr-controller", "namespace": "there"}]
    pod = find(rendered, "Deployment", "ocr-controller")["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "ocr-controller"
