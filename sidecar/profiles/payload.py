"""A profile: the operators' settings of the model, in the ConfigMap's format. Pure.

Shared by both programs: the controller renders this payload, the sidecar parses it.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from sidecar.validation import explain, explain_all

REVISION_DIGITS = 12
MAX_PROMPT_CHARS = 10_000
MAX_TAGS = 200
TAG_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
PROFILE_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
"""RFC 1123 subdomain: what Kubernetes lets a resource be called."""
MAX_ATTEMPTS = 10
MAX_KEEP_ALIVE_S = 86_400
MAX_DEADLINE_S = 86_400
MAX_TEMPERATURE = 2
SHOWN_VALUE_CHARS = 80
PLACEHOLDER = re.compile(r"\{\{[^{}]{1,100}\}\}")
"""A name in double braces, as production's templates have it: ``{{ocr_text}}``. Braces inside are excluded, so that the
search takes linear time; the length is limited, so that no paragraph counts as a name."""


CanonicalModel = Literal["np-dms-ocr"]
CANONICAL_MODEL: CanonicalModel = "np-dms-ocr"
"""The model of the profiles, as production names it; the engine that runs it has the same name."""


LATER_FIELDS = ("deadlineSeconds", "format", "recipe", "userPrompt", "verify")
"""Fields added after the first release: a profile without them keeps its revision."""


AnswerFormat = Literal["json"]
"""What a model can be held to. Models that were trained to answer ``{"natural_text": "…"}`` are best held to JSON."""


VerifyName = Literal["none", "numbers", "all"]
"""What of a page is held against another engine's reading of it: nothing, its numbers, or every word."""


RecipeName = Literal[
    "generic",
    "typhoon-ocr-1.0",
    "typhoon-ocr-1.5",
    "glm-ocr",
    "dots.ocr",
    "deepseek-ocr",
    "olmocr-2",
    "qwen-vl",
]
"""The recipes that come with the sidecar, each a file in ``sidecar/profiles/recipes``."""
RECIPE_NAMES: tuple[RecipeName, ...] = get_args(RecipeName)


class ProfileError(ValueError):
    """A payload that is no profile; the text names field, value and what is accepted."""


def _refuse_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number is accepted")  # noqa: TRY004 - pydantic turns ValueError into its own
    return value


def check_system_prompt(value: object, *, max_chars: int = MAX_PROMPT_CHARS, otherwise: str = "the model's own") -> str:
    """Return a system prompt with LF as its line ends, and with the white space around it.

    ``otherwise`` says what is used where there is none.

    Raises:
        ValueError: it is no Unicode text, has nothing but white space, or more than ``max_chars`` characters.
    """
    if not isinstance(value, str) or not value.strip() or not _is_unicode(value):
        raise ValueError(f"systemPrompt is empty or no text; leave it out to use {otherwise}")
    folded = fold_lines(value)
    _check_length(folded, "systemPrompt", max_chars)
    return folded


def fold_user_prompt(value: object, *, max_chars: int = MAX_PROMPT_CHARS) -> str | None:
    """Return a user prompt with LF as its line ends and no white space around it; None if nothing is left of it.

    Forms send an empty field where nothing is set. Kept from production.

    Raises:
        ValueError: it is no Unicode text, or has more than ``max_chars`` characters.
    """
    if not isinstance(value, str) or not _is_unicode(value):
        raise ValueError("userPrompt is no text; leave it out to use the model's own")
    folded = fold_lines(value).strip()
    _check_length(folded, "userPrompt", max_chars)
    return folded or None


def fold_lines(text: str) -> str:
    """Return a text with LF as its line ends: forms send CR LF whatever was written, as the HTML standard asks."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _check_length(text: str, name: str, max_chars: int) -> None:
    if len(text) > max_chars:
        raise ValueError(f"{name} has {len(text)} characters, the limit is {max_chars}")


def _is_unicode(text: str) -> bool:
    """Return whether a string can be encoded: JSON can contain half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


NO_BOOL = BeforeValidator(_refuse_bool)
Temperature = Annotated[float, Field(ge=0, le=MAX_TEMPERATURE, allow_inf_nan=False), NO_BOOL]
TopP = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), NO_BOOL]
RepeatPenalty = Annotated[float, Field(ge=0.5, le=2, allow_inf_nan=False), NO_BOOL]
MaxTokens = Annotated[int, Field(ge=1, le=131_072), NO_BOOL]
NumCtx = Annotated[int, Field(ge=512, le=131_072), NO_BOOL]
SystemPrompt = Annotated[str, Field(min_length=1, max_length=MAX_PROMPT_CHARS), BeforeValidator(check_system_prompt)]
UserPrompt = Annotated[str | None, Field(max_length=MAX_PROMPT_CHARS), BeforeValidator(fold_user_prompt)]
"""The lengths stand here once more for the schemas that are generated."""


DeadlineSeconds = Annotated[float, Field(gt=0, le=MAX_DEADLINE_S, allow_inf_nan=False), NO_BOOL]


class RuntimeParams(BaseModel):
    """Parameters of the model. What is not set is not sent: the model's own file decides. Zero is a value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: Temperature | None = None
    top_p: TopP | None = None
    repeat_penalty: RepeatPenalty | None = None
    max_tokens: MaxTokens | None = None
    num_ctx: NumCtx | None = None

    def over(self, weaker: Self) -> Self:
        """Return these parameters; where one is not set, the weaker one's."""
        return weaker.model_copy(update=self.model_dump(exclude_none=True))


class _Payload(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, hide_input_in_errors=True
    )


class Retry(_Payload):
    """How often a truncated, looping or empty page is tried, and by how much each further try's temperature rises."""

    max_attempts: Annotated[int, Field(ge=1, le=MAX_ATTEMPTS), NO_BOOL] = 1
    temperature_step: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False), NO_BOOL] = 0


class PromptSource(_Payload):
    """Which active prompt the system prompt came from."""

    prompt_type: str | None = Field(None, max_length=253)
    version_number: int | None = None


class Profile(_Payload):
    """The payload: one key ``<name>.json`` of the ConfigMap."""

    name: str = Field(max_length=253, pattern=PROFILE_NAME)
    revision: str = Field("", max_length=64)
    generation: Annotated[int, Field(ge=0), NO_BOOL] = 0
    canonical_model: CanonicalModel = CANONICAL_MODEL
    model: str | None = Field(None, min_length=1, max_length=253)
    recipe: RecipeName | None = None
    """What the model is asked, and how, where the profile does not say it; None: the recipe for the model's name."""
    runtime_params: RuntimeParams = RuntimeParams()
    keep_alive_seconds: Annotated[int, Field(ge=0, le=MAX_KEEP_ALIVE_S), NO_BOOL] = 0
    deadline_seconds: DeadlineSeconds | None = None
    """How long a document may take, in seconds; what was read by then is the answer."""
    retry: Retry = Retry()
    system_prompt: SystemPrompt | None = None
    user_prompt: UserPrompt = None
    """The text beside the page's picture."""
    format: AnswerFormat | None = None
    """The form that the model is held to; None: text as it likes."""
    verify: VerifyName | None = None
    """What of each page is held against a second reading; None: nothing."""
    dms_tags: dict[str, bool] | None = None
    """The tags' names; what a payload has as their values says nothing, and is not kept."""
    prompt: PromptSource | None = None

    @model_validator(mode="before")
    @classmethod
    def _null_is_unset(cls, payload: object) -> object:
        """Let null stand for "not set" in every field, so that a renderer need not leave keys out."""
        return {k: v for k, v in payload.items() if v is not None} if isinstance(payload, Mapping) else payload

    @field_validator("dms_tags", mode="before")
    @classmethod
    def _names_as_keys(cls, tags: object) -> object:
        if not isinstance(tags, dict | list):
            raise ValueError("an object whose keys name the tags, or a list of names is accepted")  # noqa: TRY004
        check_tag_names(list(tags))
        return dict.fromkeys(tags, True)


def check_tag_names(tags: Sequence[object]) -> None:
    """Check a list of tag names.

    Raises:
        ValueError: too many, or one outside the syntax; the text says which.
    """
    if len(tags) > MAX_TAGS:
        raise ValueError(f"dmsTags names {len(tags)} tags, the limit is {MAX_TAGS}")
    for name in tags:
        if not isinstance(name, str) or not TAG_NAME.fullmatch(name):
            raise ValueError(
                f"dmsTags holds {str(name)[:SHOWN_VALUE_CHARS]!r}, accepted are a letter, then up to 63 letters, "
                "digits and underscores"
            )


def find_placeholders(*prompts: str | None) -> list[str]:
    """List the placeholders of templates, sorted and each once: ``{{ocr_text}}``, ``{{ date }}``."""
    found = {name for prompt in prompts for name in PLACEHOLDER.findall(prompt or "")}
    return sorted(name for name in found if name.strip("{}").strip())


# ── the payload as text ───────────────────────────────────────────────────────────────────────────────────────────


def parse_profile(content: bytes, name: str) -> Profile:
    """Parse one payload. A missing ``name`` becomes this one, a missing ``revision`` that of its content.

    Raises:
        ProfileError: it is not JSON, names another profile, or a field is unknown or outside its range.
    """
    try:
        payload = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise ProfileError("it is not JSON") from exc
    if not isinstance(payload, dict):
        raise ProfileError("it is not a JSON object")
    if payload.get("name") is None:
        payload["name"] = name
    try:
        profile = Profile.model_validate(payload)
    except ValidationError as exc:
        raise ProfileError(explain_all(exc, _explain)) from None
    if profile.name != name:
        raise ProfileError(f"name is {profile.name!r}, the file is that of {name!r}")
    return profile if profile.revision else seal(profile)


def _explain(problem: ErrorDetails) -> str:
    """Name the field, its value and what is accepted; a prompt is not shown, as it may end up in a log."""
    field = ".".join(map(str, problem["loc"]))[:SHOWN_VALUE_CHARS]
    if field in ("systemPrompt", "userPrompt") or isinstance(problem["input"], dict | list):
        return explain(problem, field)
    return explain(problem, field, f" is {str(problem['input'])[:SHOWN_VALUE_CHARS]!r}, accepted")


def seal(profile: Profile) -> Profile:
    """Return the profile with the revision of its content."""
    return profile.model_copy(update={"revision": revision_of(profile)})


def revision_of(profile: Profile) -> str:
    """First 12 hex digits of SHA-256 over the canonical JSON of all but ``revision`` and ``generation``."""
    rest = profile.model_dump(by_alias=True, mode="json", exclude={"revision", "generation"})
    for later in LATER_FIELDS:
        if rest[later] is None:
            del rest[later]
    return hashlib.sha256(_canonical(rest).encode()).hexdigest()[:REVISION_DIGITS]


def render_profile(profile: Profile) -> str:
    """Render the payload as canonical JSON: keys sorted, no spaces, Unicode as it is, null where nothing is set."""
    return _canonical(profile.model_dump(by_alias=True, mode="json"))


def _canonical(payload: object) -> str:
    return json.dumps(payload, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
