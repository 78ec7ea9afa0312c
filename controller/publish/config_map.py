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


def plan_entries(resources: Iterable[Resource], last_good: Mapping[str, str]) -> Desired:
    """Decide for every profile which payload is served.

    Args:
        resources: all profiles of the namespace; those that are being deleted are left out.
        last_good: payloads by profile name, for those whose spec is invalid now.
    """
    oldest_first = sorted((r for r in resources if not r.is_going), key=lambda r: (r.created, r.name))
    entries: dict[str, Entry] = {}
    data: dict[str, str] = {}
    used = 0
    for resource in oldest_first:
        entry = _entry(resource, last_good.get(resource.name))
        if (payload := entry.payload) is not None:
            used += len(names.key_of(resource.name)) + len(payload.encode())
            if used > MAX_DATA_BYTES:  # from here on all are refused: the newest, not merely the largest
                entry = Entry(Publication.TOO_LARGE)
            else:
                data[names.key_of(resource.name)] = payload
        entries[resource.name] = entry
    return Desired(dict(sorted(data.items())), entries)


def _entry(resource: Resource, last_good: str | None) -> Entry:
    if resource.canonical_model == "np-dms-ai":
        return Entry(Publication.OTHER_MODEL)
    if not resource.is_active:
        return Entry(Publication.INACTIVE)
    if resource.payload is not None:
        return Entry(Publication.PUBLISHED, render_profile(resource.payload), resource.payload.revision)
    if last_good is not None:
        return Entry(Publication.LAST_GOOD, last_good, parse_profile(last_good.encode(), resource.name).revision)
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
