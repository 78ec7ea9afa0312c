"""Who wins: a request over a profile over the model's own file. Pure."""

from dataclasses import dataclass

from sidecar.profiles.payload import Profile, Retry, RuntimeParams

DEFAULT_TAGS = ("document_number", "document_date", "received_date")
"""What is tagged where neither request nor profile says anything. Kept from production."""


NOTHING_SET = RuntimeParams()


@dataclass(frozen=True, slots=True)
class ModelWish:
    """What a request says about the model. None is "not said"; no tags at all is an empty tuple."""

    single_fields: RuntimeParams = NOTHING_SET
    runtime_params: RuntimeParams = NOTHING_SET
    system_prompt: str | None = None
    tags: tuple[str, ...] | None = None

    @property
    def parameters(self) -> RuntimeParams:
        """The parameters that are said, the stronger of both places."""
        return self.single_fields.over(self.runtime_params)


@dataclass(frozen=True, slots=True)
class Instructions:
    """What every model call of one document is told, decided once at its start."""

    model: str
    system_prompt: str | None
    tags: tuple[str, ...]
    params: RuntimeParams
    retry: Retry
    keep_alive_cap_s: int
    """Longest residency the profile allows, in seconds; 0: the residency policy alone decides."""
    profile: Profile | None


def instruct(wish: ModelWish, profile: Profile | None, default_model: str) -> Instructions:
    """Apply the precedence, per parameter: single field > runtimeParams > profile > not sent."""
    return Instructions(
        model=(profile and profile.model) or default_model,
        system_prompt=wish.system_prompt or (profile.system_prompt if profile else None),
        tags=_tags(wish, profile),
        params=wish.parameters.over(profile.runtime_params) if profile else wish.parameters,
        retry=profile.retry if profile else Retry(),
        keep_alive_cap_s=profile.keep_alive_seconds if profile else 0,
        profile=profile,
    )


def _tags(wish: ModelWish, profile: Profile | None) -> tuple[str, ...]:
    if wish.tags is not None:
        return wish.tags
    if profile and profile.dms_tags is not None:
        return tuple(profile.dms_tags)
    return DEFAULT_TAGS
