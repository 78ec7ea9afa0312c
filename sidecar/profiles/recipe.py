"""Recipes: what a model needs to read well, as its makers say, where neither request nor profile says it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from sidecar.profiles.payload import AnswerFormat, RuntimeParams, SystemPrompt, UserPrompt

AnswerForm = Literal["text", "front-matter"]
"""How the page's text stands in an answer. ``text`` includes ``{"natural_text": …}``, which is known by itself.

``front-matter``: after a YAML block between two lines of three dashes.
"""
GENERIC_NAME = "generic"


class Recipe(BaseModel):
    """One recipe. ``models``: patterns of names, with or without tag, in lower case; ``source``: who says so."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    source: str = Field(min_length=1)
    models: tuple[str, ...] = ()
    user_prompt: UserPrompt = None
    system_prompt: SystemPrompt | None = None
    tags: bool = True
    """Whether the model may be asked to tag fields, though nobody named any."""
    format: AnswerFormat | None = None
    answer: AnswerForm = "text"
    stop: Annotated[tuple[str, ...], Field(max_length=4)] = ()
    """Texts at which the model stops; OpenAI's API takes four."""
    longest_side: Annotated[int, Field(ge=256, le=8192)] | None = None
    """Of the page's picture, in pixels; None: as the settings say."""
    params: RuntimeParams = RuntimeParams()

    def is_for(self, model: str) -> bool:
        """Return whether a model of this name is one that the recipe is for."""
        name = model.lower()
        return any(fnmatchcase(one, pattern) for one in (name, name.partition(":")[0]) for pattern in self.models)


GENERIC = Recipe(name=GENERIC_NAME, source="this project")


@dataclass(frozen=True, slots=True)
class RecipeBook:
    """All recipes by name; ``default`` is the operator's, for models that no recipe is for and for all others alike."""

    recipes: Mapping[str, Recipe]
    default: Recipe | None = None

    def choose(self, named: str | None, model: str) -> Recipe:
        """Return the profile's recipe, else the operator's, else the one for the model, else the generic one."""
        if named:
            return self.recipes[named]
        return self.default or next((one for one in self.recipes.values() if one.is_for(model)), GENERIC)


NO_RECIPES = RecipeBook({})
