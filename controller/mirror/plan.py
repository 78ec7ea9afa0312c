"""A plan of the mirror: what is to be done to resources, what is to be reported, and the same as text. Pure."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from controller.resource.mirror_state import Body

PATIENT = ("RowGone", "TableEmpty")
"""Reasons of notices that time alone turns into actions."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to report while it is true. It becomes an event once, when it begins or changes."""

    name: str
    """The resource it is about; empty: no resource can have that name, or it is about the mirror itself."""
    reason: str
    message: str
    uid: str = ""
    """Of the resource; empty when there is none."""
    generation: int = field(default=0, compare=False)
    """Of the resource's spec, 0 when there is none: names the event, so that the same words later are another one."""


@dataclass(frozen=True, slots=True)
class Change:
    """One field, before and after. None: not set."""

    field: str
    before: object
    after: object


@dataclass(frozen=True, slots=True)
class Apply:
    """A resource to apply: all that the mirror owns of it."""

    name: str
    verb: Literal["create", "update", "withdraw"]
    body: Body
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Delete:
    """A resource to delete: the one of this uid, not a later one of its name."""

    name: str
    uid: str
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, and what is to be reported."""

    actions: tuple[Apply | Delete, ...] = ()
    notices: tuple[Notice, ...] = ()

    @property
    def is_settled(self) -> bool:
        """Whether the same rows and resources will give the same plan at any later time."""
        return not any(notice.reason in PATIENT for notice in self.notices)


def render_plan(plan: Plan) -> str:
    """Render what would be done, one line each; prompts are shown by their length only."""
    lines = [_line(action) for action in plan.actions]
    lines += [f"warning {told.reason} {told.name or '-'}: {told.message}" for told in plan.notices]
    if not plan.actions:
        lines.insert(0, "nothing would change")
    return "\n".join(lines)


VERBS = {"create": "would be created", "update": "would be changed", "withdraw": "would be set inactive"}


def _line(action: Apply | Delete) -> str:
    if isinstance(action, Delete):
        return f"{action.name} would be deleted: {action.why}"
    changes = ", ".join(_change(change, is_new=action.verb == "create") for change in action.changes)
    return f"{action.name} {VERBS[action.verb]}: {changes}"


def _change(change: Change, *, is_new: bool) -> str:
    before, after = (_brief(change.field, value) for value in (change.before, change.after))
    return f"{change.field} {after}" if is_new else f"{change.field} {before} → {after}"


def _brief(field: str, value: object) -> str:
    if value is None:
        return "unset"
    if field in ("prompt.systemPrompt", "prompt.userPrompt"):
        return f"({len(str(value))} characters)"
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value


def count_reasons(notices: Iterable[Notice]) -> dict[str, int]:
    """Count problems by reason, for the metric."""
    return dict(Counter(notice.reason for notice in notices))
