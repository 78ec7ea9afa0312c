"""What a page's text was made from, and by what: enough to trace it, and to read it again in the same way. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.ocr.engine import EngineModel
from sidecar.profiles import prompt
from sidecar.profiles.precedence import Instructions


@dataclass(frozen=True, slots=True)
class PageReceipt:
    """The picture, the reader and what it was told. ``model`` is the reader with its version, and its content.

    ``recipe`` and ``prompt_sha256`` are None where the reader takes no prompt, ``picture_sha256`` for a text layer.
    """

    model: EngineModel
    parameters: Mapping[str, object]
    picture_sha256: str | None = None
    recipe: str | None = None
    prompt_sha256: str | None = None


def prompted(instructions: Instructions) -> tuple[str, str]:
    """Return the recipe, and the SHA-256 of the prompt, of a reader that follows profiles."""
    return instructions.recipe.name, prompt.digest(instructions)
