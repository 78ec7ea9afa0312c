"""Reads compose.yaml as Compose does, as far as the file goes: anchors, ``${NAME:-default}``, env_file, ``!reset``."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.unit.test_dockerfile import only, variables
from tests.unit.test_docs import ROOT

FILE = ROOT / "compose.yaml"
WITHOUT_GPU = ROOT / "examples" / "compose" / "without-gpu.yaml"
VARIABLE = re.compile(r"\$\$|\$\{(\w+)(?::-([^{}]*))?\}")
TARGETS = {"ocr-sidecar": "sidecar", "ocr-mirror": "controller"}
"""The image of each service of ours, by its stage of the Dockerfile."""


class Loader(yaml.SafeLoader):
    """YAML with Compose's own tag for "take this away"."""


Loader.add_constructor("!reset", lambda *_: None)


def parse(path: Path = FILE) -> dict[str, Any]:
    """Read a file without interpolation."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader)


def interpolate(value: Any, environ: Mapping[str, str]) -> Any:
    """Replace variables: the default stands for what is unset or empty."""
    match value:
        case str():
            return VARIABLE.sub(lambda m: "$" if m[0] == "$$" else environ.get(m[1]) or m[2] or "", value)
        case dict():
            return {key: interpolate(one, environ) for key, one in value.items()}
        case list():
            return [interpolate(one, environ) for one in value]
    return value


def load(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Read compose.yaml with what ``.env`` says."""
    return interpolate(parse(), environ or {})


def env_file(path: Path) -> dict[str, str]:
    """Read a file of settings: one a line, comments left out."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def environment(name: str, service: Mapping[str, Any], files: Path) -> dict[str, str]:
    """What a container of ours is given: the image's environment, then the files', then the service's own."""
    told = {key: value for key, value in variables(TARGETS[name]).items() if key != "HF_HOME"}
    for one in service.get("env_file", ()):
        path = files / one["path"]
        if path.exists() or one["required"]:
            told |= env_file(path)
    return told | {key: str(value) for key, value in service.get("environment", {}).items()}


def command(name: str, service: Mapping[str, Any]) -> list[str]:
    """What a container of ours runs below its init."""
    init, dashes, *program = json.loads(only(TARGETS[name], "ENTRYPOINT"))
    assert (init, dashes) == ("tini", "--")
    return [*program, *service.get("command", json.loads(only(TARGETS[name], "CMD")))]


def mounts(service: Mapping[str, Any]) -> dict[str, str]:
    """Folders of the container, by the volumes that lie there."""
    return dict(one.split(":")[:2] for one in service["volumes"])


def mebibytes(size: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([gm])", size).groups()
    return int(number) * (1024 if unit == "g" else 1)
