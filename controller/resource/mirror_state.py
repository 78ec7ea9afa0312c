"""What the mirror keeps in an annotation of each resource that it made. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from controller import names
from controller.clock import timestamp

STATE_ANNOTATION = f"{names.GROUP}/mirror"
"""JSON: ``rowGoneSince`` and ``promptsEmptySince`` (RFC 3339) while they are true, ``warnings`` as sentences.

Always there, ``{}`` when all is well: server-side apply gives back only what is sent, so a value that has to win over a
hand edit cannot be told by leaving it out.
"""


Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class State:
    """The annotation of a mirrored resource."""

    row_gone_since: datetime | None = None
    prompts_empty_since: datetime | None = None
    warnings: tuple[str, ...] = ()


def parse_state(body: Body, now: datetime) -> State:
    """Read the annotation; invalid values, or times in the future, count as absent."""
    annotations = body["metadata"].get("annotations") or {}
    try:
        state = json.loads(annotations.get(STATE_ANNOTATION) or "{}")
    except (ValueError, RecursionError):
        return State()
    if not isinstance(state, dict):
        return State()
    warnings = state.get("warnings")
    return State(
        _past(state.get("rowGoneSince"), now),
        _past(state.get("promptsEmptySince"), now),
        tuple(str(warning) for warning in warnings) if isinstance(warnings, list) else (),
    )


def _past(value: object, now: datetime) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo is not None and moment <= now else None
    except (ValueError, OverflowError):
        return None


def warnings_of(body: Body) -> tuple[tuple[str, str], ...]:
    """Return the problem of a mirrored resource as reason and message, for its condition."""
    warnings = parse_state(body, datetime.max.replace(tzinfo=UTC)).warnings if is_mirrored(body) else ()
    return tuple((reason, message) for reason, _, message in (warning.partition(": ") for warning in warnings))


def render_state(state: State) -> str:
    """Render the annotation: only what is true, in a fixed order."""
    content = {
        "rowGoneSince": state.row_gone_since and timestamp(state.row_gone_since),
        "promptsEmptySince": state.prompts_empty_since and timestamp(state.prompts_empty_since),
        "warnings": list(state.warnings),
    }
    return json.dumps({field: value for field, value in content.items() if value}, ensure_ascii=False)


def is_mirrored(body: Body) -> bool:
    """Return whether a resource is the mirror's, by its label."""
    return (body["metadata"].get("labels") or {}).get(names.MANAGED_BY) == names.MIRROR_MANAGER
