"""All profiles of a namespace → the one ConfigMap that the sidecars mount. Pure."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from controller import names
from controller.resource.spec import Resource
from sidecar.profiles.payload import ProfileError, parse_profile, render_profile, revision_of

MAX_DATA_BYTES = 900 * 1024
"""Of keys and payloads together. The API server takes 1 MiB, with its own metadata."""
HASH_DIGITS = 16


class Publication(StrEnum):
    """A profile's outcome in the ConfigMap. The value is the reason in the condition ``Published``."""

    PUBLISHED = "Published"
    LAST_GOOD = "LastGoodPublished"
    INACTIVE = "Inactive"
    OTHER_MODEL = "OtherModel"
    INVALID = "Invalid"
    TOO_LARGE = "TooLarge"
    CHANGE_TOO_LARGE = "ChangeTooLarge"


@dataclass(frozen=True, slots=True)
class Entry:
    """One profile's entry in the ConfigMap; without a payload there is none."""

    publication: Publication
    payload: str | None = None
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class Desired:
    """The desired content of the ConfigMap, and why."""

    data: Mapping[str, str]
    entries: Mapping[str, Entry]

    @property
    def hash(self) -> str:
        """Hash of the data: as the pods' annotation it makes the kubelet refresh the files."""
        canonical = json.dumps(self.data, sort_keys=True, ensure_ascii=False).encode()
        return hashlib.sha256(canonical).hexdigest()[:HASH_DIGITS]


def plan_entries(resources: Iterable[Resource], served: Mapping[str, str]) -> Desired:
    """Decide for every profile which payload is served.

    Args:
        resources: all profiles of the namespace; those that are being deleted are left out.
        served: payloads by profile name, as they were last published. One is served on if its profile's spec is invalid
            now, or does not fit beside the others any more: a profile that grows takes no other's place.
    """
    oldest_first = sorted((r for r in resources if not r.is_going), key=lambda r: (r.created, r.name))
    wanted = {resource.name: _entry(resource, served.get(resource.name)) for resource in oldest_first}
    entries = _fit(wanted, served)
    data = {names.key_of(name): entry.payload for name, entry in sorted(entries.items()) if entry.payload is not None}
    return Desired(data, entries)


def _fit(wanted: Mapping[str, Entry], served: Mapping[str, str]) -> dict[str, Entry]:
    """Let in what fits: what is served has its room, then come changes of it, then what is new, oldest first."""
    entries = dict(wanted)
    staying = [name for name, entry in wanted.items() if entry.payload is not None and name in served]
    used = sum(_bytes_of(name, served[name]) for name in staying)
    for name in staying:
        grown = used - _bytes_of(name, served[name]) + _bytes_of(name, entries[name].payload or "")
        if grown > MAX_DATA_BYTES and grown > used:  # one that shrinks may always
            entries[name] = _still(Publication.CHANGE_TOO_LARGE, name, served[name])
        else:
            used = grown
    for name, entry in wanted.items():
        if entry.payload is not None and name not in served:
            used += _bytes_of(name, entry.payload)
            if used > MAX_DATA_BYTES:  # from here on all are refused: the newest, not merely the largest
                entries[name] = Entry(Publication.TOO_LARGE)
    return entries


def _bytes_of(name: str, payload: str) -> int:
    return len(names.key_of(name)) + len(payload.encode())


def _still(publication: Publication, name: str, payload: str) -> Entry:
    return Entry(publication, payload, parse_profile(payload.encode(), name).revision)


def _entry(resource: Resource, last_good: str | None) -> Entry:
    if resource.canonical_model == "np-dms-ai":
        return Entry(Publication.OTHER_MODEL)
    if not resource.is_active:
        return Entry(Publication.INACTIVE)
    if resource.payload is not None:
        return Entry(Publication.PUBLISHED, render_profile(resource.payload), resource.payload.revision)
    if last_good is not None:
        return _still(Publication.LAST_GOOD, resource.name, last_good)
    return Entry(Publication.INVALID)


def good_payload(resource: Resource, published: str | None) -> str | None:
    """Return the ConfigMap's payload of this profile, if this controller can have written it.

    Somebody may have edited the ConfigMap: the content must match its own revision and the one in the status.
    """
    if published is None:
        return None
    try:
        profile = parse_profile(published.encode(), resource.name)
    except ProfileError:
        return None
    known = resource.status.get("revision")
    is_ours = profile.revision == revision_of(profile) and known in (None, profile.revision)
    return published if is_ours else None


def render_config_map(namespace: str, desired: Desired) -> dict[str, Any]:
    """Render the whole manifest, as server-side apply wants it."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": names.CONFIG_MAP,
            "namespace": namespace,
            "labels": {names.MANAGED_BY: names.CONTROLLER_MANAGER},
            "annotations": {names.HASH_ANNOTATION: desired.hash},
        },
        "data": dict(desired.data),
    }


def is_in_place(live: Mapping[str, Any] | None, manifest: Mapping[str, Any]) -> bool:
    """Return whether the cluster has exactly this manifest; labels and annotations of others are ignored."""
    if live is None or live.get("immutable") or surplus_of(live, manifest):
        return False
    metadata, wanted = live["metadata"], manifest["metadata"]
    return (live.get("data") or {}) == manifest["data"] and all(
        (wanted[part].items() <= (metadata.get(part) or {}).items()) for part in ("labels", "annotations")
    )


def surplus_of(live: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merge patch that removes keys of others: server-side apply leaves what another manager owns."""
    foreign = sorted(set(live.get("data") or {}) - set(manifest["data"]))
    patch: dict[str, Any] = {"data": dict.fromkeys(foreign)} if foreign else {}
    if live.get("binaryData"):
        patch["binaryData"] = None
    return patch
