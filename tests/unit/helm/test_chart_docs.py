"""docs/deploy.md names values and commands that there are; every page names files that there are."""

import re
from pathlib import Path

import pytest
import yaml

from sidecar.jobs.jetstream import streams
from sidecar.jobs.record import State
from tests.unit.helm.test_values import LEAVES, SCHEMA, VALUES, at, with_value
from tests.unit.test_docs import DEPLOY, OPERATIONS, PAGES, code_of, rows
from tools.charts.rendering import CHART, ROOT, chart, find, objects

TOP = "|".join(set(SCHEMA["properties"]) - {"tests"})  # "tests.…" is a module, too


def named_values(page: Path) -> set[tuple[str, ...]]:
    """Dotted names that begin like a value, in what the page shows as code."""
    found = re.findall(rf"(?<![\w./-])((?:{TOP})(?:\.[A-Za-z]\w*)+)", code_of(page))
    # sidecar.py and the like are files; what `kubectl -o jsonpath` and settings' names hold begins otherwise.
    return {tuple(name.split(".")) for name in found if not name.endswith((".py", ".yaml"))}


def test_every_value_named_is_one():
    known = {path[:length] for path in LEAVES for length in range(1, len(path) + 1)}
    named = named_values(DEPLOY)
    assert len(named) >= 2
    assert named - known == set()


def examples() -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```", DEPLOY.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("text", examples())
def test_every_example_of_values_is_valid_and_renders(text):
    assert chart().render(yaml.safe_load(text), name="ocr-sidecar")


def test_there_are_examples():
    assert len(examples()) >= 3


def test_every_value_that_is_set_is_accepted():
    given = re.findall(r"--set ([\w.]+)=([^\s`]*)", code_of(DEPLOY))
    assert given
    for name, value in given:
        path = tuple(name.split("."))
        assert isinstance(at(VALUES, path), str)
        chart().validate_schema(with_value(path, value))


def test_the_table_of_ports_is_that_of_the_policies():
    told = [int(row[0].split(",")[0]) for row in rows(DEPLOY, "### Who may call")]
    rendered = objects({"networkPolicy": {"prometheus": [{"podSelector": {}}]}})
    ports = {
        rule["ports"][0]["port"]
        for name in ("ocr-sidecar", "ocr-controller")
        for rule in find(rendered, "NetworkPolicy", name)["spec"]["ingress"]
    }
    assert sorted(told) == sorted(ports)


def test_every_alert_has_its_line():
    alerts = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text(encoding="utf-8"))
    told = rows(OPERATIONS, "## Alerts")
    assert [row[0] for row in told] == [one["alert"] for one in alerts]
    assert all(len(row) == 3 and row[2] for row in told), "what it means, and what to do"


def test_it_is_said_what_to_do_about_every_state_of_a_job():
    told = rows(OPERATIONS, "### States of a job")
    assert [row[0] for row in told] == [state.value for state in State]
    assert all(len(row) == 3 and row[2] for row in told)


def test_every_stream_of_jobs_has_its_line():
    there = {streams.TURNS, streams.DUE, streams.BLOBS, streams.ENDED, streams.CALLBACKS, streams.PARKED}
    there |= {f"KV_{bucket}" for bucket in (streams.RECORDS, streams.GONE)}
    told = [name for row in rows(OPERATIONS, "### Where jobs lie") for name in row[0].split(", ")]
    assert sorted(told) == sorted(there)


def test_every_way_to_a_gpu_has_its_line():
    ways = SCHEMA["properties"]["gpu"]["properties"]["sidecar"]["enum"]
    assert sorted(row[0] for row in rows(DEPLOY, "### One GPU for two containers")) == sorted(ways)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_named_are_there(page):
    named = set(re.findall(r"(?<![\w/])((?:helm|manifests)/[\w./-]*\w)", page.read_text(encoding="utf-8")))
    assert named or page != DEPLOY
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_the_version_in_the_commands_is_the_one_there_is():
    tags = {
        tag
        for page in PAGES
        for tag in re.findall(r"(?<!//)ocr-(?:sidecar|controller):(\d[\w.]*)", page.read_text("utf-8"))
    }
    assert tags == {chart().metadata["appVersion"]}


def test_the_sidecars_url_is_the_services_name():
    url = "http://ocr-sidecar.ocr.svc:8765"
    assert url in code_of(DEPLOY)
    service = find(objects(), "Service", "ocr-sidecar")
    metadata, (port,) = service["metadata"], service["spec"]["ports"]
    assert url == f"http://{metadata['name']}.{metadata['namespace']}.svc:{port['port']}"


def test_the_crd_that_is_applied_on_an_upgrade_is_the_one_of_the_chart():
    assert "kubectl apply --server-side --force-conflicts -f helm/crds" in code_of(DEPLOY)
    assert [path.name for path in (CHART / "crds").iterdir()] == ["ocrprofiles.yaml"]
