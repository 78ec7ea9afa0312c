"""manifests/ is in step with the chart: the base is its default rendering, each overlay that with a values file."""

import copy
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tools.charts import base
from tools.charts.kustomization import build
from tools.charts.rendering import ROOT, Object, is_test, objects, parse, values_file

OVERLAYS = ROOT / "manifests" / "overlays"
NAMES = ("k3d", "gpu", "api-key", "jobs")


def test_the_base_is_what_make_manifests_writes():
    written = {path.name: path.read_text(encoding="utf-8") for path in base.BASE.glob("*.yaml")}
    assert {name: text for name, text in written.items() if name not in base.BY_HAND} == base.files()


def plain(one: Object) -> Object:
    """An object without what Helm alone adds, its lists of named things in a fixed order."""
    (plain_one,) = parse(base.of_helm_removed(yaml.safe_dump(one)))

    def order(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: order(value) for key, value in node.items()}
        if isinstance(node, list) and all(isinstance(each, dict) and "name" in each for each in node):
            return sorted((order(each) for each in node), key=lambda each: each["name"])
        return [order(each) for each in node] if isinstance(node, list) else node

    return order(plain_one)


def by_name(wanted: list[Object]) -> dict[tuple[str, str], Object]:
    found = {(one["kind"], one["metadata"]["name"]): plain(one) for one in wanted}
    assert len(found) == len(wanted)
    return found


def without_the_base(wanted: list[Object]) -> dict[tuple[str, str], Object]:
    """What only the base has: Helm makes the namespace and installs the CRD itself."""
    own = {("Namespace", "ocr"), ("CustomResourceDefinition", "ocrprofiles.ocr.np-dms.work")}
    found = by_name(wanted)
    assert own <= set(found)
    return {name: one for name, one in found.items() if name not in own}


def rendered(values: dict[str, Any]) -> dict[tuple[str, str], Object]:
    return by_name([one for one in objects(values) if not is_test(one)])


def test_the_base_is_the_chart():
    assert without_the_base(build(base.BASE)) == rendered({})


@pytest.mark.parametrize("name", NAMES)
def test_each_overlay_is_the_chart_with_its_values(name):
    built = without_the_base(build(OVERLAYS / name))
    assert built == rendered(values_file(name))
    assert built != rendered({})


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl, which has kustomize inside")
@pytest.mark.parametrize("name", ["base", *(f"overlays/{name}" for name in NAMES)])
def test_kustomize_itself_builds_the_same(name):
    folder = ROOT / "manifests" / name
    built = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, check=True, text=True, timeout=60
    )
    assert by_name(parse(built.stdout)) == by_name(build(folder))


def test_every_overlay_is_tested():
    assert {path.name for path in OVERLAYS.iterdir()} == set(NAMES)


def test_a_pod_that_is_not_restricted_is_refused_by_the_namespace():
    (namespace,) = [one for one in build(base.BASE) if one["kind"] == "Namespace"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


# ── the evaluator ─────────────────────────────────────────────────────────────────────────────────────────────────


def write(folder: Any, steps: list[dict[str, Any]], **more: Any) -> None:
    one = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"a": "1"}, "list": [1, 2]}
    (folder / "one.yaml").write_text(yaml.safe_dump(one), encoding="utf-8")
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["one.yaml"],
        "patches": [
            {"target": {"kind": "ConfigMap", "name": "one"}, "patch": yaml.safe_dump([step])} for step in steps
        ],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization | more), encoding="utf-8")


@pytest.mark.parametrize(
    ("step", "changed"),
    [
        ({"op": "add", "path": "/data/b", "value": "2"}, {"data": {"a": "1", "b": "2"}}),
        ({"op": "replace", "path": "/data/a", "value": "2"}, {"data": {"a": "2"}}),
        ({"op": "remove", "path": "/data/a"}, {"data": {}}),
        ({"op": "add", "path": "/list/-", "value": 3}, {"list": [1, 2, 3]}),
        ({"op": "add", "path": "/list/0", "value": 3}, {"list": [3, 1, 2]}),
        ({"op": "replace", "path": "/list/1", "value": 3}, {"list": [1, 3]}),
        ({"op": "remove", "path": "/list/0"}, {"list": [2]}),
        ({"op": "add", "path": "/data/x~1y", "value": "2"}, {"data": {"a": "1", "x/y": "2"}}),
    ],
)
def test_patches_do_what_the_standard_says(tmp_path, step, changed):
    write(tmp_path, [])
    (before,) = copy.deepcopy(build(tmp_path))
    write(tmp_path, [step])
    assert build(tmp_path) == [before | changed]


@pytest.mark.parametrize(
    "more",
    [{"namePrefix": "x-"}, {"patches": [{"path": "file.yaml"}]}, {"resources": ["../other.yaml"]}],
)
def test_what_is_not_understood_is_refused(tmp_path, more):
    write(tmp_path, [], **more)
    with pytest.raises(AssertionError):
        build(tmp_path)


def test_a_patch_without_a_target_is_refused(tmp_path):
    write(tmp_path, [{"op": "replace", "path": "/data/none", "value": "2"}])
    with pytest.raises(AssertionError, match="not there"):
        build(tmp_path)
