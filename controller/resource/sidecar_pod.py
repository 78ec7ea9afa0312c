"""A sidecar pod, as the cluster and the sidecar itself describe it. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller import names

SHOWN_REASON_CHARS = 200


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A sidecar pod, and what it says it has loaded."""

    name: str
    uid: str
    address: str
    is_ready: bool
    stamped: str | None
    """The hash in its annotation."""
    loaded: Mapping[str, str] | None = None
    """Revision by profile name; None: it has not been asked, or did not answer."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Reason by profile name, where its file did not parse."""


def read_pod(body: Mapping[str, Any]) -> Sidecar | None:
    """Read what matters of a pod; None if it is being deleted, or has ended."""
    metadata, status = body["metadata"], body.get("status") or {}
    if metadata.get("deletionTimestamp") or status.get("phase") in ("Succeeded", "Failed"):
        return None
    conditions = {one["type"]: one["status"] for one in status.get("conditions") or ()}
    address = status.get("podIP") or ""
    return Sidecar(
        name=metadata["name"],
        uid=metadata["uid"],
        address=address,
        is_ready=bool(address) and conditions.get("Ready") == "True",
        stamped=(metadata.get("annotations") or {}).get(names.HASH_ANNOTATION),
    )


def parse_loaded(content: bytes) -> tuple[dict[str, str], dict[str, str]] | None:
    """Parse the answer of ``/profiles``: revisions and reasons of refusal, by profile name; None if it is no answer.

    If the sidecar reports the revision of the content that it really loaded, that one counts.
    """
    try:
        answer = json.loads(content)
        loaded = {str(one["name"]): str(one.get("contentRevision") or one["revision"]) for one in answer["profiles"]}
        refused = [one for one in answer.get("refused") or () if isinstance(one, dict)]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return loaded, {_subject(one): _reason(one) for one in refused}


def _subject(refused: Mapping[str, Any]) -> str:
    return str(refused.get("name") or refused.get("file") or "").removesuffix(names.KEY_SUFFIX)


def _reason(refused: Mapping[str, Any]) -> str:
    reason = str(refused.get("reason") or refused.get("error") or "no reason given")[:SHOWN_REASON_CHARS]
    return reason.encode(errors="replace").decode()  # half a surrogate pair would come back from the cluster as another
