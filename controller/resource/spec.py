"""An OcrProfile as stored in the cluster → the payload for the sidecars. Pure.

The CRD refuses most of what is refused here, but a resource may have passed an older CRD, so everything is checked.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from controller import names
from sidecar.profiles.payload import (
    MAX_ATTEMPTS,
    MAX_KEEP_ALIVE_S,
    PROFILE_NAME,
    AnswerFormat,
    DeadlineSeconds,
    MaxTokens,
    NumCtx,
    Profile,
    PromptSource,
    RecipeName,
    RepeatPenalty,
    Retry,
    RuntimeParams,
    SystemPrompt,
    Temperature,
    TopP,
    UserPrompt,
    VerifyName,
    check_tag_names,
    seal,
)
from sidecar.validation import explain, explain_all

MAX_NAME_CHARS = 253 - len(names.KEY_SUFFIX)
"""A ConfigMap key has at most 253 characters; one that is too long would be refused with the whole ConfigMap."""
MAX_VERSION_NUMBER = 2**31 - 1

TemperatureStep = Temperature
"""A step has the same range as the temperature."""


class InvalidSpec(ValueError):  # noqa: N818 - it is the spec that is invalid, not an error of ours
    """A spec that cannot be served; the text names the field's path, the problem and what is accepted."""


class _SpecModel(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=False, extra="forbid", frozen=True, hide_input_in_errors=True
    )


class PromptSpec(_SpecModel):
    """The prompt, and where it came from."""

    prompt_type: Annotated[str, Field(min_length=1, max_length=50)] | None = None
    version_number: Annotated[int, Field(ge=0, le=MAX_VERSION_NUMBER, strict=True)] | None = None
    system_prompt: SystemPrompt | None = None
    user_prompt: UserPrompt = None
    format: AnswerFormat | None = None
    dms_tags: dict[str, Annotated[bool, Field(strict=True)]] | None = None

    @field_validator("dms_tags")
    @classmethod
    def _tag_names(cls, tags: dict[str, bool] | None) -> dict[str, bool] | None:
        check_tag_names(list(tags or ()))
        return tags


class RetrySpec(_SpecModel):
    """One more attempt at a slightly higher temperature ends most loops. The defaults are the CRD's."""

    max_attempts: Annotated[int, Field(ge=1, le=MAX_ATTEMPTS, strict=True)] = 2
    temperature_step: TemperatureStep = 0.1


class ProfileSpec(_SpecModel):
    """The spec of the CRD, field by field."""

    canonical_model: Literal["np-dms-ocr", "np-dms-ai"]
    is_active: Annotated[bool, Field(strict=True)] = True
    temperature: Temperature | None = None
    top_p: TopP | None = None
    repeat_penalty: RepeatPenalty | None = None
    max_tokens: MaxTokens | None = None
    num_ctx: NumCtx | None = None
    keep_alive_seconds: Annotated[int, Field(ge=0, le=MAX_KEEP_ALIVE_S, strict=True)] = 0
    deadline_seconds: DeadlineSeconds | None = None
    verify: VerifyName | None = None
    model: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    recipe: RecipeName | None = None
    retry: RetrySpec = RetrySpec()
    prompt: PromptSpec | None = None


def parse_spec(body: Mapping[str, Any]) -> ProfileSpec:
    """Parse the spec of a resource; a null field counts as one that is not there.

    Raises:
        InvalidSpec: a field is unknown, missing or out of its range.
    """
    check_name(body["metadata"]["name"])
    try:
        spec = ProfileSpec.model_validate(_without_nulls(body.get("spec") or {}))
    except ValidationError as exc:
        raise InvalidSpec(explain_all(exc, _explain)) from None
    if spec.prompt and spec.prompt.prompt_type and not spec.prompt.system_prompt:
        raise InvalidSpec("spec.prompt.systemPrompt is required when spec.prompt.promptType is set")
    return spec


def check_name(name: str) -> None:
    """Refuse a name that the API server would not take, or that leaves no room for the key.

    Raises:
        InvalidSpec: it is too long, or not an RFC 1123 subdomain.
    """
    if len(name) > MAX_NAME_CHARS:
        raise InvalidSpec(f"metadata.name has {len(name)} characters, the limit is {MAX_NAME_CHARS}")
    if not re.fullmatch(PROFILE_NAME, name):
        raise InvalidSpec(f"metadata.name is {name!r}, accepted are lower-case letters, digits, '-' and '.'")


def _without_nulls(spec: object) -> object:
    if isinstance(spec, Mapping):
        return {name: _without_nulls(value) for name, value in spec.items() if value is not None}
    return spec


def _explain(problem: ErrorDetails) -> str:
    """Name the field, and not its value: a condition is no place for a prompt."""
    return explain(problem, ".".join(("spec", *map(str, problem["loc"]))))


def payload_of(name: str, generation: int, spec: ProfileSpec) -> Profile:
    """Turn a spec into the payload, sealed with its revision. A tag that is set to false is left out."""
    prompt = spec.prompt or PromptSpec()
    has_source = prompt.prompt_type is not None or prompt.version_number is not None
    return seal(
        Profile(
            name=name,
            revision="",
            generation=generation,
            model=spec.model,
            recipe=spec.recipe,
            runtime_params=RuntimeParams(
                temperature=spec.temperature,
                top_p=spec.top_p,
                repeat_penalty=spec.repeat_penalty,
                max_tokens=spec.max_tokens,
                num_ctx=spec.num_ctx,
            ),
            keep_alive_seconds=spec.keep_alive_seconds,
            deadline_seconds=spec.deadline_seconds,
            verify=spec.verify,
            retry=Retry(max_attempts=spec.retry.max_attempts, temperature_step=spec.retry.temperature_step),
            system_prompt=prompt.system_prompt,
            user_prompt=prompt.user_prompt,
            format=prompt.format,
            dms_tags=None if prompt.dms_tags is None else {tag: True for tag, on in prompt.dms_tags.items() if on},
            prompt=PromptSource(prompt_type=prompt.prompt_type, version_number=prompt.version_number)
            if has_source
            else None,
        )
    )


@dataclass(frozen=True, slots=True)
class Resource:
    """What the controller needs to know of one OcrProfile, be it valid or not."""

    name: str
    namespace: str
    uid: str
    generation: int
    created: str
    """RFC 3339 in UTC, so that text order is time order."""
    canonical_model: str
    is_active: bool
    is_going: bool
    """Deleted, and kept only by a finalizer: counts as gone."""
    payload: Profile | None
    """What its spec says, active or not; None: it is invalid."""
    problem: str | None
    """What is wrong with it, with the field's path; None: nothing."""
    status: Mapping[str, Any]

    def with_rest_of(self, body: Mapping[str, Any]) -> "Resource":
        """Take over what may change without the generation."""
        is_going = bool(body["metadata"].get("deletionTimestamp"))
        return replace(self, status=body.get("status") or {}, is_going=is_going)


def read_resource(body: Mapping[str, Any]) -> Resource:
    """Read a resource; an invalid one has a ``problem``, and raises no error."""
    metadata = body["metadata"]
    spec = body.get("spec")
    spec = spec if isinstance(spec, Mapping) else {}
    payload, problem = None, None
    try:
        payload = payload_of(metadata["name"], metadata.get("generation", 0), parse_spec(body))
    except InvalidSpec as exc:
        problem = str(exc)
    return Resource(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        created=metadata.get("creationTimestamp") or "",
        canonical_model=str(spec.get("canonicalModel")),
        is_active=spec.get("isActive") is not False,
        is_going=bool(metadata.get("deletionTimestamp")),
        payload=payload,
        problem=problem,
        status=body.get("status") or {},
    )
