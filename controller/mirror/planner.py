"""Makes the mirror's plan: rows and live resources → which resources to apply or delete, which events to emit. Pure.

Level-triggered: the same rows and resources give the same plan, whatever happened before. What must survive a restart
(since when a row is gone) is kept in an annotation of the resource itself.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from controller import names
from controller.clock import timestamp
from controller.mirror.plan import Apply, Change, Delete, Notice, Plan
from controller.mirror.rows import (
    Snapshot,
    Spec,
    Wanted,
    WantedPrompt,
    user_prompt_of_row,
    wanted_profiles,
    wanted_prompt,
)
from controller.resource.mirror_state import STATE_ANNOTATION, Body, State, is_mirrored, parse_state, render_state

SCALARS = (
    "canonicalModel",
    "isActive",
    "temperature",
    "topP",
    "repeatPenalty",
    "maxTokens",
    "numCtx",
    "keepAliveSeconds",
)
SYSTEM_PROMPT_FIELDS = ("promptType", "versionNumber", "systemPrompt", "dmsTags")
USER_PROMPT_FIELDS = ("userPrompt",)
OTHERS_PROMPT_FIELDS = ("format",)
"""Fields of a prompt that no row has: a prompt is applied as a whole, so what somebody set is applied with it."""
PROMPT_FIELDS = SYSTEM_PROMPT_FIELDS + USER_PROMPT_FIELDS + OTHERS_PROMPT_FIELDS
MIRRORED = (*SCALARS, "prompt")
"""Fields of the spec that the database owns. The others (``model``, ``retry``) are anybody's."""


@dataclass(frozen=True, slots=True)
class MirrorRules:
    """What the settings say about mirroring."""

    namespace: str
    """Where the resources live."""
    models: tuple[str, ...] = (names.OCR_MODEL,)
    prompt_type: str = "ocr_extraction"
    user_prompt_type: str | None = None
    """None: the user prompt is not mirrored, and what a profile has as its own stays."""
    delete_after_s: float = 600


@dataclass(frozen=True, slots=True)
class Clock:
    """The time, and since when the database has answered without a break, as far as this process knows."""

    now: datetime
    up_since: datetime | None = None


def plan_mirror(snapshot: Snapshot, live: Iterable[Body], rules: MirrorRules, clock: Clock) -> Plan:
    """Decide what to do for every resource and row of the namespace.

    Args:
        snapshot: both tables at one moment.
        live: all OcrProfiles of the namespace, as the API server gave them.
        rules: the settings.
        clock: the time.
    """
    wanted, nameless = wanted_profiles(snapshot.profiles)
    notices = [Notice("", "RowInvalid", problem) for problem in nameless]
    planner = _Planner(snapshot, *_wanted_prompts(snapshot, rules), rules, clock)
    resources = {body["metadata"]["name"]: body for body in live}
    actions = []
    for name in sorted(wanted.keys() | resources.keys()):
        action, told = planner.plan_one(name, wanted.get(name), resources.get(name))
        notices += told
        if action is not None:
            actions.append(action)
    return Plan(tuple(actions), tuple(notices))


def _wanted_prompts(snapshot: Snapshot, rules: MirrorRules) -> tuple[WantedPrompt, WantedPrompt]:
    """Return what the active prompts specify: the system prompt with its tags, and the user prompt."""
    system = wanted_prompt(snapshot.prompts, rules.prompt_type)
    if rules.user_prompt_type is None:
        return system, WantedPrompt(None, is_known=False)
    return system, wanted_prompt(snapshot.user_prompts, rules.user_prompt_type, user_prompt_of_row)


Step = tuple[Apply | Delete | None, list[Notice]]


@dataclass(frozen=True, slots=True)
class _Planner:
    snapshot: Snapshot
    system_prompt: WantedPrompt
    user_prompt: WantedPrompt
    rules: MirrorRules
    clock: Clock

    def plan_one(self, name: str, wanted: Wanted | None, live: Body | None) -> Step:
        if live is not None and not is_mirrored(live):
            return self._foreign(name, wanted, live)
        if live is not None and live["metadata"].get("deletionTimestamp"):
            return None, []  # nothing can be done to it; a later pass creates it again
        if wanted is None:
            return (None, []) if live is None else self._gone(name, live)
        if wanted.spec is None:
            return self._junk(name, wanted, live)
        return self._present(name, wanted.spec, live)

    @staticmethod
    def _foreign(name: str, wanted: Wanted | None, live: Body) -> Step:
        if wanted is None:
            return None, []
        message = f"a database row has this name, but the resource lacks the label {names.MANAGED_BY}: "
        message += f"{names.MIRROR_MANAGER}; it is left alone, and the row is not mirrored"
        return None, [_notice(name, live, "NameClash", message)]

    def _junk(self, name: str, wanted: Wanted, live: Body | None) -> Step:
        kept = "the last good values stay" if live else "it is not mirrored"
        warning = ("RowInvalid", f"{wanted.problem}; {kept}")
        if live is None:
            return None, [_notice(name, live, *warning)]
        return self._apply(name, mirrored_part(live), live, State(), [warning])

    def _present(self, name: str, spec: Spec, live: Body | None) -> Step:
        warnings = [one.warning for one in (self.system_prompt, self.user_prompt) if one.warning]
        last = mirrored_part(live).get("prompt") if live else None
        since = self._prompts_empty_since(live) if last else None
        if since is None:
            return self._apply(name, {**spec, "prompt": self._prompt(_object(last))}, live, State(), warnings)
        warning = ("TableEmpty", f"ai_prompts is empty since {timestamp(since)}; the last prompt stays for a while")
        return self._apply(name, {**spec, "prompt": last}, live, State(prompts_empty_since=since), [warning])

    def _prompt(self, last: Spec) -> Spec | None:
        """Join what both prompts specify; the last good fields stay where one is junk, or is not mirrored."""
        system = self.system_prompt.block if self.system_prompt.is_known else _fields(last, SYSTEM_PROMPT_FIELDS)
        user = self.user_prompt.block if self.user_prompt.is_known else _fields(last, USER_PROMPT_FIELDS)
        return {**(system or {}), **(user or {}), **_fields(last, OTHERS_PROMPT_FIELDS)} or None

    def _prompts_empty_since(self, live: Body | None) -> datetime | None:
        """Since when there has been no prompt at all; None: there are some, or it lasts long enough to be meant."""
        if self.snapshot.has_prompts or live is None:
            return None
        since = parse_state(live, self.clock.now).prompts_empty_since or self.clock.now
        return None if self._is_over(since, self.clock.up_since) else since

    def _gone(self, name: str, live: Body) -> Step:
        since = parse_state(live, self.clock.now).row_gone_since or self.clock.now
        stamp = timestamp(since)
        if self.snapshot.has_profiles:
            if self._is_over(since):
                return self._delete(name, live, f"its row is gone since {stamp}")
            due = timestamp(since + timedelta(seconds=self.rules.delete_after_s))
            warning = ("RowGone", f"its row is gone since {stamp}; inactive now, to be deleted at {due}")
            spec = {**mirrored_part(live), "isActive": False}
            return self._apply(name, spec, live, State(row_gone_since=since), [warning])
        if self._is_over(since, self.clock.up_since):
            return self._delete(name, live, f"ai_execution_profiles is empty since {stamp}")
        warning = ("TableEmpty", f"ai_execution_profiles is empty since {stamp}; the last values stay for a while")
        return self._apply(name, mirrored_part(live), live, State(row_gone_since=since), [warning])

    def _is_over(self, since: datetime, up_since: datetime | None = None) -> bool:
        """Return whether the time is over. An outage hides changes: after it an empty table's time starts again."""
        begun = max(since, up_since or since)
        return (self.clock.now - begun).total_seconds() >= self.rules.delete_after_s

    @staticmethod
    def _delete(name: str, live: Body, why: str) -> Step:
        return Delete(name, _uid(live), why), []

    def _apply(self, name: str, spec: Spec, live: Body | None, state: State, warnings: list[tuple[str, str]]) -> Step:
        """Apply if anything differs, and report the warnings, which the resource also carries."""
        state = replace(state, warnings=tuple(f"{reason}: {message}" for reason, message in warnings))
        notices = [_notice(name, live, *warning) for warning in warnings]
        changes = _changes(spec, state, live)
        if not changes:
            return None, notices
        verb: Literal["create", "update", "withdraw"] = "update" if live else "create"
        if live and state.row_gone_since and any(change.field == "isActive" for change in changes):
            verb = "withdraw"
        return Apply(name, verb, self._body(name, spec, state, live), changes), notices

    def _body(self, name: str, spec: Spec, state: State, live: Body | None) -> dict[str, Any]:
        """Build what is applied: everything the mirror owns, because it loses ownership of fields left out."""
        metadata: dict[str, Any] = {
            "name": name,
            "namespace": self.rules.namespace,
            "labels": {names.MANAGED_BY: names.MIRROR_MANAGER},
            "annotations": {STATE_ANNOTATION: render_state(state)},
        }
        if live and (version := live["metadata"].get("resourceVersion")):
            metadata["resourceVersion"] = version  # refuse to overwrite what changed since, above all the label
        return {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": metadata,
            "spec": _sent(spec, mirrored_part(live) if live else {}),
        }


def _uid(live: Body | None) -> str:
    return str(live["metadata"].get("uid", "")) if live else ""


def _notice(name: str, live: Body | None, reason: str, message: str) -> Notice:
    generation = live["metadata"].get("generation", 0) if live else 0
    return Notice(name, reason, message, _uid(live), generation)


def mirrored_part(live: Body) -> dict[str, Any]:
    """Return what the database owns of a live spec."""
    spec = _object(live.get("spec"))
    return {field: spec[field] for field in MIRRORED if spec.get(field) is not None}


def _fields(block: Spec, names_of: Iterable[str]) -> dict[str, Any]:
    return {name: block[name] for name in names_of if block.get(name) is not None}


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _changes(spec: Spec, state: State, live: Body | None) -> tuple[Change, ...]:
    before, after = _flat(mirrored_part(live) if live else {}), _flat(spec)
    changes = [Change(field, before[field], after[field]) for field in after if before[field] != after[field]]
    told = ((live["metadata"].get("annotations") or {}) if live else {}).get(STATE_ANNOTATION)
    if told != render_state(state):
        changes.append(Change(STATE_ANNOTATION, told, render_state(state)))
    return tuple(changes)


def _flat(spec: Spec) -> dict[str, Any]:
    """Return every field by its path. None where it is not set: null and absent mean the same in this resource."""
    prompt = _object(spec.get("prompt"))
    return {field: spec.get(field) for field in SCALARS} | {f"prompt.{f}": prompt.get(f) for f in PROMPT_FIELDS}


def _sent(spec: Spec, before: Spec) -> dict[str, Any]:
    """Include an unset field only if it must lose a value: leaving it out would keep that of a hand edit."""
    sent = {f: spec.get(f) for f in SCALARS if spec.get(f) is not None or before.get(f) is not None}
    prompt = {f: value for f, value in _object(spec.get("prompt")).items() if value is not None}
    if prompt or before.get("prompt"):
        sent["prompt"] = prompt
    return sent
