"""The documentation holds what the controller holds, and nothing that it does not."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from controller.__main__ import _parser
from controller.ops import health
from controller.ops.telemetry import Metrics
from controller.resource.spec import read_resource
from controller.settings import Settings
from tests.unit.test_docs import COMMANDS, CONFIGURATION, OPERATIONS, PROFILES, ROOT, accepted, columns, rows

STATUS = tuple(
    ROOT / "controller" / f"{name}.py"
    for name in ("publish/status", "publish/config_map", "isolation/probe", "mirror/planner", "mirror/rows")
)


def setting_lines() -> list[str]:
    """The lines of docs/configuration.md, as they must be: name, default, what is accepted, unit and meaning."""
    lines = []
    for name, known in Settings.model_json_schema(by_alias=True)["properties"].items():
        default = known.get("default")
        shown = "unset" if default in (None, "") else f"`{default}`"
        lines.append(f"| `{name}` | {shown} | {accepted(known)} | {known['description']} |")
    return lines


def test_every_setting_has_its_line_with_its_default():
    text = CONFIGURATION.read_text(encoding="utf-8").partition("\n# The controller\n")[2]
    assert sorted(line for line in text.splitlines() if line.startswith("| `")) == sorted(setting_lines())


def test_every_metric_has_its_line_with_type_and_labels():
    metrics = Metrics()
    metrics.watch_mirror(lambda: None)
    metrics.watch_ages(dict)
    metrics.watch_lead(lambda: True)
    known = (one for one in metrics.registry._collector_to_names if hasattr(one, "_labelnames"))
    labels = {one._name: one._labelnames for one in known}
    labels |= {"ocr_controller_mirror_notices": ("reason",), "ocr_controller_mirror_writes": ("verb",)}
    labels |= {"ocr_controller_watch_age_seconds": ("kind",)}
    expected = [
        (one.name + ("_total" if one.type == "counter" else ""), one.type, ", ".join(labels.get(one.name, ())))
        for one in metrics.registry.collect()
    ]
    assert columns(OPERATIONS, "## Controller: metrics", 3) == sorted(expected)


def log_messages() -> Iterator[str]:
    for module in (ROOT / "controller").rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name("log" | "logger")), args=[ast.Constant(str(text))]):
                    yield text


def test_every_log_line_has_its_line():
    assert columns(OPERATIONS, "## Controller: log lines") == sorted((text,) for text in log_messages())


def test_every_reason_for_not_being_ready_has_its_line():
    text = Path(health.__file__).read_text(encoding="utf-8")
    reasons = re.findall(r'Reason\("([a-z-]+)"', text)
    assert reasons
    assert health.__doc__
    assert columns(OPERATIONS, "## Controller: probes") == sorted((reason,) for reason in reasons)


def reasons_of_conditions() -> set[tuple[str, str]]:
    """Type and reason of every condition, as the code writes them."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in STATUS).replace("CONDITION,", '"IsolationEnforced",')
    found = set()
    for kind, given in re.findall(r'Condition\(\s*"(\w+)",\s*"\w+",\s*([^,]+),', text):
        found |= {(kind, reason) for reason in re.findall(r'"(\w+)"', given)}
    found |= {("Published", reason) for reason in re.findall(r'^    [A-Z_]+ = "(\w+)"$', text, re.MULTILINE)}
    found |= {("Mirrored", reason) for reason in re.findall(r'warning ?= ?\("(\w+)", ', text)}
    return found


def test_every_reason_of_a_condition_has_its_line():
    documented = {
        (kind, reason)
        for kind, reasons in columns(OPERATIONS, "## Controller: conditions", 2)
        for reason in reasons.split(", ")
    }
    assert len(reasons_of_conditions()) >= 20, "what this test looks for is no longer written so"
    assert documented >= reasons_of_conditions()
    written = "\n".join(path.read_text(encoding="utf-8") for path in STATUS)
    assert {reason for _, reason in documented if reason not in written} == set()


def test_every_command_has_its_line():
    commands = next(action.choices for action in _parser()._actions if action.dest == "command")
    documented = sorted(row[0].split()[0] for row in rows(COMMANDS, "## Controller"))
    assert documented == sorted(commands)


def test_what_is_seen_is_told_with_its_meaning_and_a_remedy():
    table = rows(OPERATIONS, "## Controller: what you see")
    assert len(table) >= 12
    assert all(len(row) == 3 and all(row) for row in table)


@pytest.mark.parametrize("path", sorted((ROOT / "manifests" / "samples").glob("*.yaml")), ids=lambda path: path.name)
def test_samples_are_valid(path):
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        metadata = document["metadata"] | {"namespace": "ocr", "uid": "u"}
        assert read_resource(document | {"metadata": metadata}).problem is None


def test_the_page_of_profiles_names_manifests_that_are_there():
    named = set(re.findall(r"manifests/[\w./-]+\.yaml", PROFILES.read_text(encoding="utf-8")))
    assert len(named) >= 3
    assert {name for name in named if not (ROOT / name).exists()} == set()
