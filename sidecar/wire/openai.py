"""OpenAI's convention: embeddings, the list of models. Pure."""

import base64
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator

from sidecar.errors import InvalidValueError
from sidecar.profiles.payload import NO_BOOL
from sidecar.retrieval.model import Vector
from sidecar.wire.body import IDS_REFUSED, MODEL, Form, Text
from sidecar.wire.common import OWNER


class EmbeddingsRequest(Form):
    """Body of ``POST /v1/embeddings``, OpenAI's."""

    input: Text | Annotated[list[Text], Field(min_length=1)] = Field(description="One text or several, no token ids.")
    model: str | None = Field(None, description=MODEL)
    encoding_format: Literal["float", "base64"] = Field("float", description="How vectors are written.")
    dimensions: Annotated[int, NO_BOOL] | None = Field(None, description="Refused, unless it is what the model has.")
    user: str | None = Field(None, description="Taken and ignored.")
    truncate: bool | Literal["NONE", "END"] = Field(
        True, description="Ours, and NVIDIA's: cut texts that are too long; else they are refused with 422."
    )

    @field_validator("input", mode="before")
    @classmethod
    def _is_text(cls, given: object) -> object:
        """Explain that token ids, which OpenAI's own service accepts, are refused."""
        if isinstance(given, list) and any(isinstance(one, int | list) for one in given):
            raise ValueError(IDS_REFUSED)
        return given

    @property
    def texts(self) -> list[str]:
        """The texts, also where there is but one."""
        return [self.input] if isinstance(self.input, str) else self.input

    @property
    def cuts(self) -> bool:
        """Whether texts that are too long are cut."""
        return self.truncate not in (False, "NONE")


def check_dimensions(wanted: int | None, there: int) -> None:
    """Refuse a vector length other than the model's.

    Raises:
        InvalidValueError: another one is requested.
    """
    if wanted is not None and wanted != there:
        raise InvalidValueError(f"dimensions is {wanted}, this model has {there} and cannot give fewer")


class UsageBody(BaseModel):
    """Tokens that were computed, the special ones included."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsItemBody(BaseModel):
    """One text's dense vector."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str = Field(description="Numbers, or base64 of little-endian float32.")
    truncated: bool


class EmbeddingsBody(BaseModel):
    """Answer of `POST /v1/embeddings`."""

    object: Literal["list"] = "list"
    data: list[EmbeddingsItemBody]
    model: str
    usage: UsageBody
    device: str
    reason: str


class ModelBody(BaseModel):
    """One model."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="Always 0.")
    owned_by: str


class ModelsBody(BaseModel):
    """Answer of `GET /v1/models`."""

    object: Literal["list"] = "list"
    data: list[ModelBody]


def models_body(names: list[str]) -> dict[str, Any]:
    """List models."""
    data = [{"id": name, "object": "model", "created": 0, "owned_by": OWNER} for name in names]
    return {"object": "list", "data": data}


def written(vector: Vector, encoding_format: str) -> object:
    """Return a vector as OpenAI's clients request it."""
    return base64.b64encode(vector.tobytes()).decode() if encoding_format == "base64" else vector


def usage(tokens: int) -> dict[str, int]:
    """Count as OpenAI does."""
    return {"prompt_tokens": tokens, "total_tokens": tokens}
