"""Helm 3 and Helm 4 render the same, which is what the tests' own rendering says: that is Helm 4's library."""

import json
import subprocess
from pathlib import Path

import pytest

import sidecar
from tests.matrix import first
from tools.charts.binaries import PACKAGES, program
from tools.charts.cases import CASES
from tools.charts.rendering import CHART, NAMESPACE, RELEASE, Object, objects, parse

VERSION = "1.34.0"
DEADLINE_S = 60


@pytest.fixture(params=PACKAGES)
def helm(request: pytest.FixtureRequest) -> Path:
    """The program of a major version."""
    path = program(request.param)
    if not path.is_file():
        pytest.skip(f"{path} is missing: make helm-programs")
    return path


def run(helm: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [helm, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE_S)


def rendered(helm: Path, folder: Path, values: Object, *more: str) -> list[Object]:
    """What `helm template` prints for these values."""
    (folder / "values.json").write_text(json.dumps(values), encoding="utf-8")
    command = ["template", RELEASE, CHART, "--namespace", NAMESPACE, "--kube-version", VERSION, *more]
    done = run(helm, *command, "--values", folder / "values.json")
    assert done.returncode == 0, done.stderr
    return parse(done.stdout)


def in_order(wanted: list[Object]) -> list[Object]:
    """Helm sorts by kinds, in an order of its own."""
    return sorted(wanted, key=lambda one: (one["kind"], one["metadata"]["name"]))


def test_it_is_the_version_that_it_should_be(helm):
    assert run(helm, "version", "--template", "{{.Version}}").stdout == helm.name.replace("helm-", "v")


@pytest.mark.parametrize("case", first(3, [*CASES]))
def test_both_render_what_our_own_rendering_says(helm, tmp_path, case):
    found = rendered(helm, tmp_path, dict(CASES[case]))
    assert in_order(found) == in_order(objects(CASES[case]))


def test_both_refuse_alike(helm, tmp_path):
    for values, word in (({"sidecarr": {}}, "sidecarr"), ({"autoscaling": {"kind": "keda"}}, "serverAddress")):
        (tmp_path / "values.json").write_text(json.dumps(values), encoding="utf-8")
        done = run(helm, "template", RELEASE, CHART, "--values", tmp_path / "values.json")
        assert (done.returncode != 0, word in done.stderr) == (True, True), done.stderr


def test_both_bring_the_crd(helm, tmp_path):
    with_it = rendered(helm, tmp_path, {}, "--include-crds")
    assert [one["metadata"]["name"] for one in with_it if one["kind"] == "CustomResourceDefinition"] == [
        "ocrprofiles.ocr.np-dms.work"
    ]


def test_both_have_nothing_to_say_of_the_chart(helm):
    done = run(helm, "lint", "--strict", CHART)
    assert done.returncode == 0, done.stdout + done.stderr


def test_both_package_it(helm, tmp_path):
    done = run(helm, "package", CHART, "--destination", tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.glob("*.tgz")] == [f"ocr-sidecar-{sidecar.__version__}.tgz"]


def test_both_refuse_a_claim_for_an_api_server_that_does_not_take_it(helm, tmp_path):
    (tmp_path / "values.json").write_text(json.dumps(CASES["a GPU of a claim"]), encoding="utf-8")
    done = run(helm, "template", RELEASE, CHART, "--kube-version", "1.33.0", "--values", tmp_path / "values.json")
    assert (done.returncode != 0, "needs Kubernetes 1.34" in done.stderr) == (True, True), done.stderr
