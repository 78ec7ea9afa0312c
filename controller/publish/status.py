"""Observations → the status of a profile, and the events about its changes. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.publish.config_map import Entry, Publication
from controller.resource.condition import Condition, Truth
from controller.resource.event import Event, event_name
from controller.resource.sidecar_pod import Sidecar
from controller.resource.spec import Resource
from sidecar.profiles.payload import find_placeholders

SHOWN_NAMES = 5
MAX_MESSAGE_CHARS = 1024
WITHDRAWN = frozenset({Publication.INACTIVE, Publication.OTHER_MODEL, Publication.INVALID, Publication.TOO_LARGE})


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all profiles of a namespace share when their status is made."""

    config_map: str
    sidecars: Sequence[Sidecar]
    conflicts: Mapping[str, str]
    """By profile name, from ``find_reload_conflicts``."""
    mirrored: Mapping[str, Sequence[tuple[str, str]]]
    """The problem with a profile's row, as reason and message, by profile name; only for mirrored ones."""
    isolation: Condition | None
    """The latest proof; None: there is none yet."""
    is_fresh: bool
    """Whether that proof is not told yet. An old one is told only where none is: two replicas that see different things
    would otherwise correct each other forever."""
    now: str
    """RFC 3339, to the second."""


def find_reload_conflicts(
    resources: Iterable[Resource], entries: Mapping[str, Entry], default_model: str
) -> dict[str, str]:
    """Find the profiles that want different contexts of one model: each switch between them reloads it."""
    wishes: dict[str, dict[int, list[str]]] = {}
    for resource in resources:
        entry = entries.get(resource.name)
        if entry is None or entry.publication is not Publication.PUBLISHED or resource.payload is None:
            continue
        if (num_ctx := resource.payload.runtime_params.num_ctx) is not None:
            model = resource.payload.model or default_model
            wishes.setdefault(model, {}).setdefault(num_ctx, []).append(resource.name)
    return {
        name: _conflict(model, by_context)
        for model, by_context in wishes.items()
        if len(by_context) > 1
        for members in by_context.values()
        for name in members
    }


def _conflict(model: str, by_context: Mapping[int, Sequence[str]]) -> str:
    parts = [f"{num_ctx} ({_some(sorted(members))})" for num_ctx, members in sorted(by_context.items())]
    return f"active profiles want {len(by_context)} values of numCtx for {model}: {', '.join(parts[:SHOWN_NAMES])}"


def _some(members: Sequence[str]) -> str:
    more = len(members) - SHOWN_NAMES
    return ", ".join(members[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


# ── conditions ────────────────────────────────────────────────────────────────────────────────────────────────────


def accepted(resource: Resource) -> Condition:
    """State whether the spec can be served."""
    if resource.problem is None:
        return Condition("Accepted", "True", "Valid", "the spec is valid")
    return Condition("Accepted", "False", "Invalid", resource.problem)


def published(entry: Entry) -> Condition:
    """State whether, and with which revision, it is in the ConfigMap."""
    kind = entry.publication
    truth: Truth = "False" if kind in WITHDRAWN else "True"
    message = {
        Publication.PUBLISHED: f"revision {entry.revision} is in the ConfigMap",
        Publication.LAST_GOOD: f"the spec is invalid; the last good revision {entry.revision} is still served",
        Publication.INACTIVE: "isActive is false: it is withdrawn from the sidecars",
        Publication.OTHER_MODEL: "only np-dms-ocr profiles reach the sidecars",
        Publication.INVALID: "the spec is invalid and no good revision is known",
        Publication.TOO_LARGE: "the profiles have more than 900 KiB together; this one does not fit beside the others",
        Publication.CHANGE_TOO_LARGE: f"as changed, it does not fit beside the other profiles, which have 900 KiB "
        f"together; revision {entry.revision} is still served",
    }[kind]
    return Condition("Published", truth, kind.value, message)


def applied(name: str, entry: Entry, sidecars: Sequence[Sidecar]) -> tuple[Condition, int, int]:
    """State how many ready sidecars follow the ConfigMap; also return the number of ready ones and of those that do."""
    ready = [sidecar for sidecar in sidecars if sidecar.is_ready]
    done = [s for s in ready if s.loaded is not None and s.loaded.get(name) == entry.revision]
    return _applied(name, entry, ready, done), len(ready), len(done)


def _applied(name: str, entry: Entry, ready: Sequence[Sidecar], done: Sequence[Sidecar]) -> Condition:
    wanted = f"have revision {entry.revision}" if entry.revision else "are without it"
    counted = f"{len(done)} of {len(ready)} ready sidecars {wanted}"
    if not ready and entry.revision:
        return Condition("Applied", "False", "NoSidecars", "no sidecar is ready")
    if len(done) == len(ready):
        return Condition("Applied", "True", "AllSidecars" if entry.revision else "Withdrawn", counted)
    for sidecar in ready:
        if name in sidecar.refused:
            return Condition("Applied", "False", "Refused", f"{sidecar.name} refuses it: {sidecar.refused[name]}")
    silent = [sidecar.name for sidecar in ready if sidecar.loaded is None]
    if silent:
        return Condition("Applied", "False", "Unreachable", f"{counted}; no answer from {_some(silent)}")
    return Condition("Applied", "False", "Waiting", counted)


def is_ready(resource: Resource, entry: Entry, is_applied: Condition) -> Condition:
    """Sum up: do the sidecars follow the spec? A withdrawn profile is ready when none of them has it any more."""
    if resource.problem is not None and entry.publication not in (Publication.INACTIVE, Publication.OTHER_MODEL):
        return Condition("Ready", "False", "Invalid", "see the condition Accepted")
    if entry.publication in (Publication.TOO_LARGE, Publication.CHANGE_TOO_LARGE):
        return Condition("Ready", "False", "TooLarge", "see the condition Published")
    return Condition("Ready", is_applied.status, is_applied.reason, is_applied.message)


def prompt_clean(resource: Resource) -> Condition:
    """State whether the prompts still contain unfilled placeholders."""
    payload = resource.payload
    prompts = (payload.system_prompt, payload.user_prompt) if payload else ()
    if found := find_placeholders(*prompts):
        return Condition("PromptClean", "False", "Placeholders", f"the prompt still holds {_some(found)}")
    return Condition("PromptClean", "True", "Clean" if any(prompts) else "NoPrompt", "the prompt holds no placeholder")


def reload_conflict(name: str, conflicts: Mapping[str, str]) -> Condition:
    """State whether this profile and another make the model reload by turns."""
    if name in conflicts:
        return Condition("ReloadConflict", "True", "NumCtxDiffers", conflicts[name])
    return Condition("ReloadConflict", "False", "NoConflict", "no other active profile wants another numCtx")


def mirrored(warnings: Sequence[tuple[str, str]]) -> Condition:
    """State whether the resource agrees with its row."""
    if not warnings:
        return Condition("Mirrored", "True", "AsTheRow", "the resource is what its row says")
    messages = "; ".join(message for _, message in warnings)
    return Condition("Mirrored", "False", warnings[0][0], messages)


NOT_PROVED = Condition("IsolationEnforced", "Unknown", "NotProvedYet", "no proof has been made yet")


# ── the status as a whole ─────────────────────────────────────────────────────────────────────────────────────────


def next_status(resource: Resource, entry: Entry, around: Surroundings) -> dict[str, Any]:
    """Make the whole status; an unchanged condition keeps its time."""
    is_applied, ready, done = applied(resource.name, entry, around.sidecars)
    conditions = [
        accepted(resource),
        published(entry),
        is_applied,
        is_ready(resource, entry, is_applied),
        prompt_clean(resource),
        reload_conflict(resource.name, around.conflicts),
    ]
    if (warnings := around.mirrored.get(resource.name)) is not None:
        conditions.append(mirrored(warnings))
    before = conditions_of(resource.status)
    rendered = [_render(resource, condition, before, around.now) for condition in conditions]
    rendered.append(_isolation(resource, before, around))
    status: dict[str, Any] = {
        "observedGeneration": resource.generation,
        "configMap": around.config_map,
        "sidecars": {"ready": ready, "applied": done, "summary": f"{done}/{ready}"},
        "conditions": rendered,
    }
    if entry.revision is not None:
        status["revision"] = entry.revision
    return status


def conditions_of(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the conditions of a status by their type."""
    return {condition["type"]: condition for condition in status.get("conditions") or ()}


def _isolation(resource: Resource, before: Mapping[str, Mapping[str, Any]], around: Surroundings) -> dict[str, Any]:
    known = before.get(NOT_PROVED.type)
    has_none = known is None or known["reason"] == NOT_PROVED.reason
    condition = around.isolation or NOT_PROVED
    if known is not None and not has_none and not around.is_fresh:
        condition = Condition(NOT_PROVED.type, known["status"], known["reason"], known["message"])
    return _render(resource, condition, before, around.now)


def _render(
    resource: Resource, condition: Condition, before: Mapping[str, Mapping[str, Any]], now: str
) -> dict[str, Any]:
    known = before.get(condition.type)
    is_same = known is not None and known.get("status") == condition.status
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message[:MAX_MESSAGE_CHARS],
        "lastTransitionTime": known["lastTransitionTime"] if known is not None and is_same else now,
        "observedGeneration": resource.generation,
    }


def is_told(live: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """Return whether the cluster's status already contains all this; what others added is ignored."""
    mine = {name: value for name, value in status.items() if name != "conditions"}
    theirs = {name: live.get(name) for name in mine}
    known = conditions_of(live)
    is_stale = "revision" in live and "revision" not in status
    return not is_stale and mine == theirs and all(known.get(c["type"]) == c for c in status["conditions"])


OF_SIDECARS = frozenset({"Applied", "Ready"})


def is_only_of_sidecars(live: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """Return whether all sidecars followed, and only their number is another, or a new one does not follow yet.

    The revision is the same: who waits for an edit to arrive is told at once.
    """
    was_applied = conditions_of(live).get("Applied", {}).get("status") == "True"
    conditions = [one for one in status["conditions"] if one["type"] not in OF_SIDECARS]
    return was_applied and is_told({**live, "sidecars": status["sidecars"]}, {**status, "conditions": conditions})


# ── events ────────────────────────────────────────────────────────────────────────────────────────────────────────

GOOD = {"Accepted": "True", "Published": "True", "Applied": "True", "PromptClean": "True", "ReloadConflict": "False"}


def plan_events(resource: Resource, status: Mapping[str, Any]) -> list[Event]:
    """List the events for the change from the resource's status to the next one."""
    before, after = conditions_of(resource.status), conditions_of(status)
    is_new_revision = resource.status.get("revision") != status.get("revision")
    events = []
    for kind, good in GOOD.items():
        old, new = before.get(kind), after[kind]
        is_changed = old is None or (old["status"], old["reason"]) != (new["status"], new["reason"])
        if (is_changed or (kind == "Published" and is_new_revision)) and _is_news(kind, old, new, good):
            events.append(_event(resource, old, new, status.get("revision"), good))
    return events


def _is_news(kind: str, old: Mapping[str, Any] | None, new: Mapping[str, Any], good: str) -> bool:
    if kind == "Published":
        return True
    if kind == "Applied":  # waiting after every edit and at every rollout needs no event
        return new["reason"] in ("AllSidecars", "Refused")
    return new["status"] != good or (old is not None and old["status"] != good)


def _event(
    resource: Resource, old: Mapping[str, Any] | None, new: Mapping[str, Any], revision: str | None, good: str
) -> Event:
    since = old["lastTransitionTime"] if old else ""
    told = (resource.uid, str(resource.generation), new["type"], new["status"], new["reason"], str(revision), since)
    is_bad = new["status"] != good and new["reason"] not in (Publication.INACTIVE, Publication.OTHER_MODEL)
    is_bad = is_bad or new["reason"] in (Publication.LAST_GOOD, Publication.CHANGE_TOO_LARGE)
    return Event(
        name=event_name(resource.name, *told),
        type="Warning" if is_bad else "Normal",
        reason=new["reason"],
        message=new["message"],
    )
