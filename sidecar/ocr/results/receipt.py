"""What a page's text was made from, and by what: enough to trace it, and to read it again in the same way. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.ocr.engine import EngineModel, OcrEngine, ReadOrder
from sidecar.profiles import prompt


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


def receipt_of(
    engine: OcrEngine, order: ReadOrder, parameters: Mapping[str, object], picture_sha256: str | None = None
) -> PageReceipt:
    """Return the receipt of a page that this engine read, with what was sent."""
    told = order.instructions
    recipe, prompt_sha256 = (told.recipe.name, prompt.digest(told)) if engine.traits.takes_prompt else (None, None)
    return PageReceipt(engine.model(order), parameters, picture_sha256, recipe, prompt_sha256)
