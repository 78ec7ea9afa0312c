"""The workflows cannot run here: they are held to their schema, to actionlint, to the Makefile and to fixed actions."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.test_docs import ROOT

FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yaml"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z0-9-]+):", MAKEFILE, re.MULTILINE))
VARIABLES = set(re.findall(r"\$\((\w+)\)", MAKEFILE))
BIN = Path(sys.executable).parent


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in FILES:
        for name, job in read(path)["jobs"].items():
            yield f"{path.name}: {name}", job


def commands() -> Iterator[tuple[str, str, dict[str, str]]]:
    for title, job in jobs():
        yield from ((title, step["run"], step.get("env", {})) for step in job["steps"] if "run" in step)


def problem_of(command: str) -> str | None:
    """Say what keeps a command from being run elsewhere; None: nothing does."""
    words = shlex.split(command)
    words = words[1:] if words[0] == "sudo" else words
    if words[0] != "make" or not words[1:]:
        return "it is not make's"
    wrong = [word for word in words[1:] if word.partition("=")[0] not in (VARIABLES if "=" in word else TARGETS)]
    return f"the Makefile has no {wrong[0]}" if wrong else None


def test_every_command_is_a_target_of_the_makefile():
    found = [(title, command, problem_of(command)) for title, command, _ in commands()]
    assert len(found) > 10
    assert [one for one in found if one[2] is not None] == []


@pytest.mark.parametrize("command", ["make no-such-target", "make image NO_SUCH=1", "pytest", "make", "make check; ls"])
def test_another_command_is_told(command):
    assert problem_of(command) is not None


def test_what_a_step_sets_the_makefile_or_a_tool_reads():
    names = {name for _, _, env in commands() for name in env}
    assert names <= VARIABLES | {"GH_TOKEN"}


def test_every_action_is_a_commit_with_its_version_and_the_same_everywhere():
    used: dict[str, set[str]] = {}
    for path in FILES:
        for line in re.findall(r"uses: .*", path.read_text(encoding="utf-8")):
            match = re.fullmatch(r"uses: ([\w.-]+/[\w.-]+)@([0-9a-f]{40}) # v\d+\.\d+\.\d+", line)
            assert match, line
            used.setdefault(match[1], set()).add(match[2])
    assert {name for name, commits in used.items() if len(commits) > 1} == set()


def test_nothing_may_write_but_the_jobs_that_have_to():
    may = {title: {key for key, what in job.get("permissions", {}).items() if what == "write"} for title, job in jobs()}
    assert {title: what for title, what in may.items() if what} == {
        "release.yaml: images": {"packages", "id-token"},
        "release.yaml: chart": {"packages", "id-token"},
        "release.yaml: publish": {"contents"},
    }
    assert {path.name for path in FILES if "write" in read(path)["permissions"].values()} == {"updates.yaml"}


def test_a_release_is_checked_before_anything_is_pushed():
    needs = {name: job.get("needs") for name, job in read(FOLDER / "release.yaml")["jobs"].items()}
    assert needs == {"ready": None, "images": "ready", "chart": "images", "publish": "chart"}


def test_every_job_ends():
    assert [title for title, job in jobs() if "timeout-minutes" not in job] == []


def test_actionlint_finds_nothing():
    done = subprocess.run([BIN / "actionlint", *FILES], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_actionlint_finds_what_is_wrong(tmp_path):
    text = (FOLDER / "checks.yaml").read_text(encoding="utf-8")
    (tmp_path / "bad.yaml").write_text(text.replace("github.ref }}", "github.reff }}"), encoding="utf-8")
    done = subprocess.run([BIN / "actionlint", tmp_path / "bad.yaml"], capture_output=True, text=True, check=False)
    assert (done.returncode, "reff" in done.stdout) == (1, True)


@pytest.mark.parametrize(
    ("schema", "files"), [("github-workflows", FILES), ("dependabot", [ROOT / ".github" / "dependabot.yml"])], ids=str
)
def test_github_s_schemas_accept_them(schema, files):
    command = [BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def expanded(*arguments: str) -> str:
    """What make would run."""
    done = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_images_are_pushed_for_both_machines_with_their_bill_of_materials_and_provenance():
    said = expanded("image-push", "REGISTRY=registry.example/ocr/")
    builds = [line for line in said.splitlines() if line.startswith("docker buildx build")]
    assert len(builds) == 2
    for line in builds:
        words = shlex.split(line)
        assert {"--push", "linux/amd64,linux/arm64", "mode=max"} <= set(words)
        assert words[words.index("--sbom") + 1] == "true"
    assert re.findall(r"--tag (\S+):\S+", said) == [
        "registry.example/ocr/ocr-controller",
        "registry.example/ocr/ocr-sidecar",
    ]


def test_all_that_is_pushed_is_signed():
    said = expanded("image-sign", "chart-push", "REGISTRY=registry.example/ocr/")
    assert said.count("cosign sign --yes") == 2
    assert "for name in sidecar controller" in said
    assert "helm push build/ocr-sidecar-" in said
