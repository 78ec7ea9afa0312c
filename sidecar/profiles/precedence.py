"""Precedence: a request over a profile over the model's own file. Pure."""

from dataclasses import dataclass

from sidecar.evidence.agreement import Verify
from sidecar.profiles.payload import AnswerFormat, Profile, Retry, RuntimeParams
from sidecar.profiles.recipe import GENERIC, NO_RECIPES, Recipe, RecipeBook

DEFAULT_TAGS = ("document_number", "document_date", "received_date")
"""The tags if neither request nor profile names any. Kept from production."""


NOTHING_SET = RuntimeParams()


@dataclass(frozen=True, slots=True)
class Instructions:
    """What all calls for one document send to an engine that follows profiles."""

    model: str
    system_prompt: str | None
    user_prompt: str | None
    """The text beside the page's picture; None: the service's own."""
    format: AnswerFormat | None
    tags: tuple[str, ...]
    params: RuntimeParams
    retry: Retry
    deadline_s: float | None
    """How long the document may take, in seconds; None: as the settings say."""
    keep_alive_cap_s: int
    """Longest residency the profile allows, in seconds; 0: the residency policy alone decides."""
    profile: Profile | None
    verify: Verify = Verify.NONE
    """What of each page is held against a second reading."""
    recipe: Recipe = GENERIC
    asked: RuntimeParams = NOTHING_SET
    """Of ``params`` those that request and profile set, without the recipe's."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """What a request says itself. None: it does not say; ``tags`` of (): no tags."""

    params: RuntimeParams = NOTHING_SET
    system_prompt: str | None = None
    user_prompt: str | None = None
    tags: tuple[str, ...] | None = None
    deadline_s: float | None = None
    verify: Verify | None = None


NO_OVERRIDES = Overrides()


def instruct(
    profile: Profile | None,
    default_model: str,
    request: Overrides = NO_OVERRIDES,
    recipes: RecipeBook = NO_RECIPES,
) -> Instructions:
    """Apply the precedence, per parameter: request > profile > the model's recipe > not sent."""
    model = (profile and profile.model) or default_model
    recipe = recipes.choose(profile.recipe if profile else None, model)
    params = request.params.over(profile.runtime_params) if profile else request.params
    return Instructions(
        model=model,
        system_prompt=request.system_prompt or (profile.system_prompt if profile else None) or recipe.system_prompt,
        user_prompt=request.user_prompt or (profile.user_prompt if profile else None) or recipe.user_prompt,
        format=(profile.format if profile else None) or recipe.format,
        tags=_tags(request.tags, profile, recipe),
        params=params.over(recipe.params),
        retry=profile.retry if profile else Retry(),
        deadline_s=request.deadline_s or (profile.deadline_seconds if profile else None),
        keep_alive_cap_s=profile.keep_alive_seconds if profile else 0,
        profile=profile,
        verify=request.verify or Verify((profile and profile.verify) or Verify.NONE),
        recipe=recipe,
        asked=params,
    )


def _tags(asked: tuple[str, ...] | None, profile: Profile | None, recipe: Recipe) -> tuple[str, ...]:
    if asked is not None:
        return asked
    if profile and profile.dms_tags is not None:
        return tuple(profile.dms_tags)
    return DEFAULT_TAGS if recipe.tags else ()
