"""Builds a folder as `kustomize build` does, for the small part of kustomize that manifests/ uses.

It supports resources (files and folders), and JSON patches (RFC 6902) with a target of kind and name. Anything else is
refused, so that nothing is silently left out.
"""

import copy
from pathlib import Path
from typing import Any

import yaml

from tools.charts.rendering import Object, parse

HEAD = {"apiVersion", "kind"}


def build(folder: Path) -> list[Object]:
    """Return the objects of a folder with a kustomization.yaml."""
    said = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    assert said["apiVersion"] == "kustomize.config.k8s.io/v1beta1"
    assert set(said) <= {*HEAD, "resources", "patches"}, "not among what is understood here"
    objects: list[Object] = []
    for name in said["resources"]:
        path = folder / name
        assert path.is_dir() or path.parent == folder, "kustomize reads no file outside its folder"
        objects += build(path) if path.is_dir() else parse(path.read_text(encoding="utf-8"))
    for patch in said.get("patches", ()):
        assert set(patch) == {"target", "patch"}
        assert set(patch["target"]) == {"kind", "name"}
        _patch(objects, patch["target"], yaml.safe_load(patch["patch"]))
    return objects


def _patch(objects: list[Object], target: dict[str, str], steps: list[dict[str, Any]]) -> None:
    wanted = (target["kind"], target["name"])
    found = [one for one in objects if (one["kind"], one["metadata"]["name"]) == wanted]
    assert len(found) == 1, f"{wanted} is there {len(found)} times"
    for step in steps:
        _apply(found[0], step["op"], step["path"], step.get("value"))


def _apply(document: Any, operation: str, pointer: str, value: Any) -> None:
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    for part in parents:
        document = document[int(part)] if isinstance(document, list) else document[part]
    value = copy.deepcopy(value)
    match operation, document:
        case "add", list():
            document.insert(len(document) if last == "-" else int(last), value)
        case "add", dict():
            document[last] = value
        case "replace", list():
            document[int(last)] = value
        case "replace", dict():
            assert last in document, f"{pointer} is not there to be replaced"
            document[last] = value
        case "remove", dict():
            del document[last]
        case "remove", list():
            del document[int(last)]
        case _:
            raise AssertionError(f"{operation} is not understood here")
