"""Rows as read, and what they specify: an invalid one is refused with a sentence, the rest become specs. Pure.

The ranges are those of ``ProfileSpec``; what the rows add is NULL, decimals, four shapes of tags, and names.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from controller import names
from controller.resource.spec import MAX_NAME_CHARS, ProfileSpec
from sidecar.profiles.payload import (
    MAX_PROMPT_CHARS,
    PROFILE_NAME,
    SHOWN_VALUE_CHARS,
    check_system_prompt,
    fold_user_prompt,
)
from sidecar.validation import explain, explain_all

MAX_CONTEXT_CHARS = 65_536
"""200 tags of 64 characters need a quarter of it."""
MAX_MESSAGE_CHARS = 900
"""An event's text may have 1,024 bytes less its decoration; a condition's 32,768."""

Spec = Mapping[str, Any]


# ── what is read ──────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)  # read by name: the order of columns means nothing
class ProfileRow:
    """A row of ``ai_execution_profiles``. The types are those of the driver, or junk."""

    id: object
    profile_name: object
    canonical_model: object
    temperature: object
    top_p: object
    max_tokens: object
    num_ctx: object
    repeat_penalty: object
    keep_alive_seconds: object
    is_active: object


@dataclass(frozen=True, slots=True, kw_only=True)  # read by name: the order of columns means nothing
class PromptRow:
    """An active row of ``ai_prompts``. The types are those of the driver, or junk."""

    version_number: object
    template: object
    context_config: object


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Both tables at one moment."""

    profiles: tuple[ProfileRow, ...]
    prompts: tuple[PromptRow, ...]
    """The two highest active versions of the type; there ought to be one."""
    user_prompts: tuple[PromptRow, ...] = ()
    """Likewise those of the user prompt's type, where the settings name one."""
    has_profiles: bool = True
    """Whether the table holds any row at all, be it mirrored or not: an empty table is a restore, or a mistake."""
    has_prompts: bool = True


# ── what is wanted ────────────────────────────────────────────────────────────────────────────────────────────────


class JunkRow(ValueError):  # noqa: N818 - the row is junk, not an error of ours
    """A row that cannot become a resource; the text says which field, its value, and what is accepted."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a row specifies, without the prompt."""

    spec: Spec | None
    """None: the row is junk, the last good resource stays."""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class WantedPrompt:
    """What the active prompt specifies."""

    block: Spec | None
    """Its fields of ``spec.prompt``; None: there is no active prompt."""
    is_known: bool = True
    """False: the row is junk, the last good prompt stays."""
    warning: tuple[str, str] | None = None
    """Reason and message."""


def wanted_profiles(rows: Iterable[ProfileRow]) -> tuple[dict[str, Wanted], list[str]]:
    """Read the rows: what is wanted, by name, and a sentence for each row whose name is impossible for a resource."""
    wanted: dict[str, Wanted] = {}
    nameless = []
    for row in rows:
        try:
            name = _name(row)
        except JunkRow as exc:
            nameless.append(_cut(f"row {_shown(row.id)}: {exc}; it is not mirrored"))
            continue
        wanted[name] = _wanted(row) if name not in wanted else Wanted(None, "more than one row has this name")
    return wanted, nameless


def _name(row: ProfileRow) -> str:
    """Return the resource's name: that of the profile, or none.

    A name that no resource can have is refused rather than mapped: callers ask for the profile by the row's name, and
    would not find it under another.
    """
    name = _text(row.profile_name, "profile_name")
    if len(name) > MAX_NAME_CHARS or not re.fullmatch(PROFILE_NAME, name):
        raise JunkRow(
            f"profile_name is {_shown(name)}, accepted are lower-case letters, digits, '-' and '.', "
            "with a letter or digit at both ends"
        )
    return name


def _wanted(row: ProfileRow) -> Wanted:
    try:
        spec = spec_of_row(row)
    except JunkRow as exc:
        return Wanted(None, _cut(str(exc)))
    return Wanted(spec)


def spec_of_row(row: ProfileRow) -> dict[str, Any]:
    """Turn a row into a spec without a prompt. NULL is "not set": the model's own file decides.

    Raises:
        JunkRow: a value is of the wrong kind or outside its range.
    """
    spec = {
        "canonicalModel": _text(row.canonical_model, "canonical_model"),
        "isActive": _flag(row.is_active),
        "temperature": _number(row.temperature, "temperature"),
        "topP": _number(row.top_p, "top_p"),
        "repeatPenalty": _number(row.repeat_penalty, "repeat_penalty"),
        "maxTokens": _number(row.max_tokens, "max_tokens"),
        "numCtx": _number(row.num_ctx, "num_ctx"),
        "keepAliveSeconds": _number(row.keep_alive_seconds, "keep_alive_seconds") or 0,
    }
    _check_spec(spec)
    return spec


def wanted_prompt(
    rows: Sequence[PromptRow], prompt_type: str, parse: Callable[[PromptRow], Spec] | None = None
) -> WantedPrompt:
    """Read the active prompt: of two, the one with the higher version. It is parsed as a system prompt if not told."""
    if not rows:
        return WantedPrompt(None, warning=("NoActivePrompt", f"no prompt of type {prompt_type} is active"))
    try:
        block = parse(rows[0]) if parse else prompt_of_row(rows[0], prompt_type)
    except JunkRow as exc:
        message = f"the active prompt of type {prompt_type} is kept out: {exc}; the last good one stays"
        return WantedPrompt(None, is_known=False, warning=("PromptInvalid", _cut(message)))
    if len(rows) == 1:
        return WantedPrompt(block)
    versions = " and ".join(_shown(row.version_number) for row in rows)
    message = f"more than one prompt of type {prompt_type} is active, versions {versions} among them; the higher wins"
    return WantedPrompt(block, warning=("TwoActivePrompts", _cut(message)))


def prompt_of_row(row: PromptRow, prompt_type: str) -> dict[str, Any]:
    """Turn an active prompt into ``spec.prompt``. ``{{placeholders}}`` are passed on: a condition reports them.

    Raises:
        JunkRow: the template is empty or too long, or the context is no JSON or names impossible tags.
    """
    block = {
        "promptType": prompt_type,
        "versionNumber": _number(row.version_number, "version_number"),
        "systemPrompt": _template(row.template),
        "dmsTags": tags_of(row.context_config),
    }
    if block["versionNumber"] is None:
        raise JunkRow("version_number is NULL, a whole number is accepted")
    _check_spec({"canonicalModel": names.OCR_MODEL, "prompt": block})
    return block


def user_prompt_of_row(row: PromptRow) -> dict[str, Any]:
    """Turn an active prompt into the user prompt of ``spec.prompt``; its version and its context say nothing there.

    Raises:
        JunkRow: the template is empty or too long.
    """
    template = _template(row.template)
    _check_spec({"canonicalModel": names.OCR_MODEL, "prompt": {"userPrompt": template}})
    return {"userPrompt": fold_user_prompt(template)}


def _template(value: object) -> str:
    """Return the template if it can be a system prompt. The payload decides; the words are ours: the text is cut."""
    template = _text(value, "template")
    try:
        return check_system_prompt(template)
    except ValueError:
        if len(template) > MAX_PROMPT_CHARS:
            raise JunkRow(f"template has more than {MAX_PROMPT_CHARS} characters, which is the limit") from None
        raise JunkRow("template is empty, text is accepted") from None


def tags_of(context_config: object) -> dict[str, bool] | None:
    """Read ``dmsTags`` from a context: names as keys of an object, whatever its values, or as a list.

    Returns:
        Each name with True; None where the context says nothing.

    Raises:
        JunkRow: it is not JSON, not an object, or ``dmsTags`` is neither object nor list of names.
    """
    if context_config is None:
        return None
    text = _text(context_config, "context_config")
    if len(text) > MAX_CONTEXT_CHARS:
        raise JunkRow(f"context_config has more than {MAX_CONTEXT_CHARS} characters, which is the limit")
    try:
        context = json.loads(text)
    except (ValueError, RecursionError):
        raise JunkRow("context_config is not JSON, a JSON object or NULL is accepted") from None
    if context is None:
        return None
    if not isinstance(context, dict):
        raise JunkRow(f"context_config is a JSON {type(context).__name__}, an object or NULL is accepted")
    return _tags(context.get("dmsTags"))


def _tags(tags: object) -> dict[str, bool] | None:
    if tags is None:
        return None
    if not isinstance(tags, dict | list) or not all(isinstance(name, str) for name in tags):
        raise JunkRow("context_config.dmsTags is neither an object nor a list of names")
    return dict.fromkeys(tags, True)


def _text(value: object, field: str) -> str:
    try:
        text = value.decode() if isinstance(value, bytes) else value
        if not isinstance(text, str):
            raise JunkRow(f"{field} is {_shown(value)}, text is accepted")
        text.encode()
    except UnicodeError:
        raise JunkRow(f"{field} is not UTF-8") from None
    return text


def _flag(value: object) -> bool:
    if not isinstance(value, int) or value not in (0, 1):
        raise JunkRow(f"is_active is {_shown(value)}, 0 or 1 is accepted")
    return value == 1


def _number(value: object, field: str) -> int | float | None:
    """Return the exact number: a decimal becomes the float with the same digits, a whole one an integer."""
    if value is None:
        return None
    if not isinstance(value, int | float | Decimal):
        raise JunkRow(f"{field} is {_shown(value)}, a number is accepted")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise JunkRow(f"{field} is {_shown(value)}, a finite number is accepted")
    return int(number) if number.is_integer() else number


def _check_spec(spec: Spec) -> None:
    try:
        ProfileSpec.model_validate({field: value for field, value in spec.items() if value is not None})
    except ValidationError as exc:
        raise JunkRow(explain_all(exc, lambda problem: _explain(problem, spec))) from None


def _explain(problem: ErrorDetails, spec: Spec) -> str:
    field, *_ = path = [str(part) for part in problem["loc"]]
    if field == "prompt":  # a prompt's content is only for the model
        return explain(problem, ".".join(path))
    return explain(problem, field, f" is {_shown(spec.get(field))}")


def _shown(value: object) -> str:
    """Show a value in an event: short, on one line, and valid UTF-8."""
    if value is None:
        return "NULL"
    if isinstance(value, str | bytes):
        return ascii(value[:SHOWN_VALUE_CHARS])
    try:
        return str(value)[:SHOWN_VALUE_CHARS] if isinstance(value, int | float | Decimal) else type(value).__name__
    except ValueError:  # an integer of more than 4,300 digits
        return "endless"


def _cut(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE_CHARS else message[: MAX_MESSAGE_CHARS - 1] + "…"
