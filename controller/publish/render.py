"""OcrProfile manifests → the files that a sidecar on a laptop reads, as the ConfigMap would hold them."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from controller import names
from controller.publish.config_map import Publication, plan_entries
from controller.resource.spec import InvalidSpec, Resource, check_name, read_resource


class ManifestError(Exception):
    """A file that holds no OcrProfile manifests; the text names the file and what is wrong."""


def read_manifests(source: str, text: str) -> Iterator[Mapping[str, Any]]:
    """Read the OcrProfiles of a YAML stream; documents of other kinds are passed over.

    Raises:
        ManifestError: it is no YAML, or a profile has no name or one that cannot be.
    """
    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as exc:
        raise ManifestError(f"{source} is not YAML: {exc}") from exc
    for document in documents:
        if not isinstance(document, dict) or document.get("kind") != names.KIND:
            continue
        metadata = document.get("metadata")
        if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
            raise ManifestError(f"{source} holds an {names.KIND} without metadata.name")
        try:
            check_name(metadata["name"])  # it becomes the name of a file
        except InvalidSpec as exc:
            raise ManifestError(f"{source}: {exc}") from None
        yield {**document, "metadata": {"namespace": "", "uid": metadata["name"], "generation": 1, **metadata}}


def write_profiles(manifests: Iterable[Mapping[str, Any]], output: Path) -> list[str]:
    """Write one file per profile, remove those of withdrawn ones, and keep those of invalid ones.

    Returns:
        What is wrong, one sentence a profile that could not be written.

    Raises:
        OSError: the folder cannot be written.
    """
    resources = {body["metadata"]["name"]: read_resource(body) for body in manifests}
    desired = plan_entries(resources.values(), {})
    output.mkdir(parents=True, exist_ok=True)
    for name, entry in desired.entries.items():
        path = output / names.key_of(name)
        if entry.payload is not None:
            _write(path, entry.payload)
        elif entry.publication is not Publication.INVALID:
            path.unlink(missing_ok=True)
    return [_problem(resource) for resource in resources.values() if resource.problem is not None]


def _problem(resource: Resource) -> str:
    return f"{resource.name}: {resource.problem}"


def _write(path: Path, payload: str) -> None:
    """Write atomically: a sidecar that reads meanwhile sees the old file or the new one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(payload, encoding="utf-8")
    draft.replace(path)
