"""Reads recipes: those that come with the package, and one of the operator's own, in YAML."""

from functools import cache
from pathlib import Path

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sidecar.profiles.payload import RECIPE_NAMES
from sidecar.profiles.recipe import Recipe, RecipeBook
from sidecar.validation import explain, explain_all

FOLDER = Path(__file__).parent / "recipes"
MAX_FILE_BYTES = 65_536


class RecipeError(ValueError):
    """A recipe that there is not, or a file that is none; the text says which, and what is accepted."""


@cache
def shipped() -> RecipeBook:
    """Return the recipes of the package, in the order of their names in the payload."""
    return RecipeBook({name: _read(FOLDER / f"{name}.yaml", name) for name in RECIPE_NAMES})


def book_with(chosen: str | None) -> RecipeBook:
    """Return all recipes, with the operator's choice: a name, or the path of a file with a recipe.

    Raises:
        RecipeError: there is no such recipe, or the file holds none.
    """
    if not chosen:
        return shipped()
    recipes = shipped().recipes
    if "/" in chosen:
        return RecipeBook(recipes, _read(Path(chosen), Path(chosen).stem))
    if chosen not in recipes:
        raise RecipeError(f"OCR_RECIPE is {chosen}: accepted are {', '.join(recipes)}, or the path of a file")
    return RecipeBook(recipes, recipes[chosen])


def _read(file: Path, name: str) -> Recipe:
    try:
        text = _first_bytes(file, MAX_FILE_BYTES + 1)
        content = yaml.safe_load(text) if len(text) <= MAX_FILE_BYTES else None
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as exc:
        raise RecipeError(f"{file} cannot be read as YAML: {type(exc).__name__}") from exc
    if len(text) > MAX_FILE_BYTES:
        raise RecipeError(f"{file} is too large: at most {MAX_FILE_BYTES} bytes are accepted")
    if not isinstance(content, dict):
        raise RecipeError(f"{file} holds no recipe: an object is accepted")
    try:
        return Recipe.model_validate(content | {"name": name})
    except ValidationError as exc:
        raise RecipeError(f"{file} is no recipe: {explain_all(exc, _explain)}") from None


def _first_bytes(file: Path, count: int) -> bytes:
    with file.open("rb") as stream:
        return stream.read(count)


def _explain(problem: ErrorDetails) -> str:
    return explain(problem, ".".join(map(str, problem["loc"])))
