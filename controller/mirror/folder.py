"""Profiles as files, where there is no Kubernetes: what the mirror writes, a sidecar on the same host reads.

Each resource that the mirror makes is kept whole in a hidden folder, as the API server would keep it; beside it stands
the profile's payload, as the ConfigMap would hold it.
"""

import asyncio
import fcntl
import json
import os
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from controller import names
from controller.clock import timestamp, utc_now
from controller.errors import ConflictError, UnavailableError
from controller.mirror.planner import MIRRORED
from controller.resource.event import Event

RESOURCES = ".ocrprofiles"
"""The hidden folder; a sidecar reads no file below it."""
LOCK = ".mirror.lock"

Body = Mapping[str, Any]


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Make the folder, and keep other mirrors out of it during the block; the kernel frees it when a process ends.

    Raises:
        OSError: it cannot be written, or another mirror holds it (BlockingIOError).
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


class ProfileFolder:
    """The :class:`controller.mirror.mirror.ProfileResources` of one folder, which one mirror writes.

    A payload that the mirror did not make counts as a resource without its label: it is left alone. ``render`` writes
    the payloads of resources into a folder; see :func:`controller.publish.render.write_profiles`.
    """

    def __init__(self, folder: Path, render: Callable[[Iterable[Body], Path], object]) -> None:
        self._folder = folder
        self._render = render
        self._resources = folder / RESOURCES

    async def list_profiles(self, namespace: str) -> list[Body]:
        """List what the mirror made, and the payloads of others.

        Raises:
            UnavailableError: the folder cannot be read.
        """
        return await asyncio.to_thread(self._list, namespace)

    async def apply_profile(self, manifest: Body, manager: str) -> object:  # noqa: ARG002 - as the API client
        """Write a resource and its payload. What the mirror does not own in its spec stays.

        Raises:
            ConflictError: its ``metadata.resourceVersion`` is not the one that is stored.
            UnavailableError: the folder cannot be written.
        """
        return await asyncio.to_thread(self._apply, manifest)

    async def delete_profile(self, namespace: str, name: str, uid: str) -> None:  # noqa: ARG002 - as the API client
        """Delete the resource of this uid, and its payload; one that is gone is fine."""
        await asyncio.to_thread(self._delete, name, uid)

    async def emit_event(self, about: Body, event: Event, component: str, now: str) -> None:
        """Do nothing: the mirror logs its notices, and without Kubernetes there is no other place for events."""

    def _list(self, namespace: str) -> list[Body]:
        with _folder_errors("read", self._folder):
            ours = [_parsed(path) for path in sorted(self._resources.glob(f"*{names.KEY_SUFFIX}"))]
            known = {body["metadata"]["name"] for body in ours}
            others = {path.name.removesuffix(names.KEY_SUFFIX) for path in self._folder.glob(f"*{names.KEY_SUFFIX}")}
        return ours + [_of_somebody_else(name, namespace) for name in sorted(others - known)]

    def _apply(self, manifest: Body) -> Body:
        with _folder_errors("written", self._folder):
            self._resources.mkdir(parents=True, exist_ok=True)
            body = _applied(manifest, self._stored(manifest["metadata"]["name"]))
            self._render([body], self._folder)
            _replace(self._path(body["metadata"]["name"]), body)  # last: an interrupted apply is done again
        return body

    def _delete(self, name: str, uid: str) -> None:
        with _folder_errors("written", self._folder):
            stored = self._stored(name)
            if stored and stored["metadata"]["uid"] == uid:
                (self._folder / names.key_of(name)).unlink(missing_ok=True)
                self._path(name).unlink(missing_ok=True)

    def _stored(self, name: str) -> Body | None:
        try:
            return _parsed(self._path(name))
        except FileNotFoundError:
            return None

    def _path(self, name: str) -> Path:
        return self._resources / names.key_of(name)


@contextmanager
def _folder_errors(what: str, folder: Path) -> Iterator[None]:
    """Map errors of the file system; ``what`` could not be done."""
    try:
        yield
    except OSError as exc:
        raise UnavailableError(f"the folder {folder} cannot be {what}: {exc.strerror}") from exc


def _parsed(path: Path) -> Body:
    """Read a resource.

    Raises:
        UnavailableError: the file is not one that the mirror wrote.
    """
    try:
        body = json.loads(path.read_bytes())
        metadata = body["metadata"]
        if metadata["name"] == path.name.removesuffix(names.KEY_SUFFIX) and isinstance(body["spec"], dict):
            int(metadata["resourceVersion"])
            return {**body, "metadata": {**metadata, "uid": str(metadata["uid"])}}
    except (ValueError, KeyError, TypeError):
        pass
    raise UnavailableError(f"the file {path} was not written by the mirror: remove it")


def _applied(manifest: Body, stored: Body | None) -> dict[str, Any]:
    """Join a manifest with what is stored, as server-side apply does it for the owner of the mirrored fields."""
    metadata = dict(manifest["metadata"])
    version = metadata.pop("resourceVersion", None)
    before = stored["metadata"] if stored else {}
    if version is not None and version != before.get("resourceVersion"):
        raise ConflictError(f"{metadata['name']} has changed meanwhile")
    others = {field: value for field, value in (stored or {}).get("spec", {}).items() if field not in MIRRORED}
    spec = {**others, **manifest["spec"]}
    is_new_spec = not stored or spec != stored["spec"]
    kept = {
        "uid": before.get("uid") or str(uuid.uuid4()),
        "creationTimestamp": before.get("creationTimestamp") or timestamp(utc_now()),
        "generation": before.get("generation", 0) + is_new_spec,
        "resourceVersion": str(int(before.get("resourceVersion", 0)) + 1),
    }
    return {**manifest, "metadata": metadata | kept, "spec": spec}


def _of_somebody_else(name: str, namespace: str) -> Body:
    return {"metadata": {"name": name, "namespace": namespace, "uid": "", "resourceVersion": "", "generation": 0}}


def _replace(path: Path, body: Body) -> None:
    """Write a file whole or not at all."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", delete=False, encoding="utf-8") as file:
        json.dump(body, file, ensure_ascii=False, sort_keys=True)
    os.replace(file.name, path)  # noqa: PTH105 - the name is a text
