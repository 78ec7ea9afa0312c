"""The wire format of embedding and reranking, in both directions: our own routes, OpenAI's and Cohere's. Pure.

No text of a caller is quoted in an error.
"""

import base64
import gc
import json
import math
from typing import Annotated, Any, Literal, Self, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from sidecar.errors import InvalidValueError, MalformedBodyError
from sidecar.profiles.payload import NO_BOOL
from sidecar.retrieval.model import Embedding, Vector
from sidecar.validation import explain, explain_all
from sidecar.wire.common import MAX_NAME_CHARS, SHOWN_VALUE_CHARS, Wire, fold_names, is_text, refuse_keep_alive

TopCount = Annotated[int, Field(ge=1), NO_BOOL]
Text = Annotated[str, Field(min_length=1)]
MAX_FIELDS = 32
"""Most fields of a body or of an object in it; the conventions know fewer than half as many."""


# ── requests ──────────────────────────────────────────────────────────────────────────────────────────────────────


class EmbedRequest(Wire):
    """Body of ``POST /embed``: one text or several."""

    text: Text | None = Field(None, description="One text.")
    texts: list[Text] | None = Field(None, min_length=1, description="Several texts, instead of one.")
    truncate: bool = Field(True, description="Cut texts that are too long; else they are refused with 422.")

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.text is None) == (self.texts is None):
            raise ValueError("either text or texts is needed, and not both")
        return self


class RerankRequest(Wire):
    """Body of ``POST /rerank``."""

    query: Text = Field(description="What is looked for.")
    chunks: list[Text] = Field(description="The texts to rank.")
    top_n: TopCount | None = Field(None, description="Rank only the best so many; all have their score.")
    truncate: bool = Field(True, description="Cut texts that are too long; else they are refused with 422.")


class Convention(BaseModel):
    """Shared by requests in others' conventions: snake_case, nothing unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = Field(None, description="Taken and ignored: the answer names the model there is.")


class EmbeddingsRequest(Convention):
    """Body of ``POST /v1/embeddings``, OpenAI's."""

    input: Text | Annotated[list[Text], Field(min_length=1)] = Field(description="One text or several, no token ids.")
    encoding_format: Literal["float", "base64"] = Field("float", description="How vectors are written.")
    dimensions: Annotated[int, NO_BOOL] | None = Field(None, description="Refused, unless it is what the model has.")
    user: str | None = Field(None, description="Taken and ignored.")
    truncate: bool = Field(True, description="Ours: cut texts that are too long; else they are refused with 422.")

    @field_validator("input", mode="before")
    @classmethod
    def _is_text(cls, given: object) -> object:
        """Explain that token ids, which OpenAI's own service accepts, are refused."""
        if isinstance(given, list) and any(isinstance(one, int | list) for one in given):
            raise ValueError("token ids are not taken, only texts")
        return given

    @property
    def texts(self) -> list[str]:
        """The texts, also where there is but one."""
        return [self.input] if isinstance(self.input, str) else self.input


class RerankDocument(BaseModel):
    """A document in its long form; other fields are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    text: Text


class RerankV1Request(Convention):
    """Body of ``POST /v1/rerank`` and ``/v2/rerank``, Cohere's and Jina's."""

    query: Text = Field(description="What is looked for.")
    documents: list[RerankDocument] = Field(description="The texts to rank, each as it is or as `{text}`.")
    top_n: TopCount | None = Field(None, description="Answer with the best so many.")
    return_documents: bool = Field(False, description="Repeat each document in its result.")
    rank_fields: list[Literal["text"]] | None = Field(None, description="Only the text of a document can be ranked.")
    max_tokens_per_doc: TopCount | None = Field(None, description="Taken and ignored: see `truncate`.")
    max_chunks_per_doc: TopCount | None = Field(None, description="Taken and ignored: no document is divided.")
    priority: int | None = Field(None, description="Taken and ignored: small requests come first.")
    truncate: bool = Field(True, description="Ours: cut texts that are too long; else they are refused with 422.")

    @field_validator("documents", mode="before")
    @classmethod
    def _in_one_form(cls, documents: object) -> object:
        """Convert all to the long form, so that an error names the document and not its form."""
        if not isinstance(documents, list):
            return documents
        return [{"text": one} if isinstance(one, str) else one for one in documents]

    @property
    def texts(self) -> list[str]:
        """The documents' texts."""
        return [one.text for one in self.documents]


Q = TypeVar("Q", bound=BaseModel)


def parse(model: type[Q], body: bytes, max_items: int) -> Q:
    """Parse a body.

    Raises:
        MalformedBodyError: it is not a JSON object.
        InvalidValueError: a value outside its range, more texts than the limit, or a field that is not known.
    """
    values = _parse_json(body)
    if not isinstance(values, dict):
        raise MalformedBodyError("the body must be a JSON object")
    objects = _small_objects(values, max_items)
    refuse_keep_alive([_names(one) for one in objects])
    values = {name: value for name, value in values.items() if value is not None}  # null means not set
    values = fold_names(values) if issubclass(model, Wire) else values
    for name, value in values.items():
        _check_texts(name, value)
    try:
        return model.model_validate(values)
    except ValidationError as exc:
        raise InvalidValueError(explain_all(exc, _explain)) from None


def _parse_json(body: bytes) -> object:
    """Parse without the garbage collector: traversing millions of lists repeatedly would take seconds.

    Parsed JSON has no cycles, so there is nothing to collect.
    """
    gc.disable()
    try:
        return _parse(body)
    finally:
        gc.enable()


def _parse(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass  # it refuses half surrogate pairs; the standard library accepts them, so that the field can be named
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise MalformedBodyError("the body is not JSON") from exc


def _small_objects(values: dict[str, Any], max_items: int) -> list[dict[str, Any]]:
    """Return the body's object, those directly below it and those in its lists; deeper ones are not used.

    Refuse what would take long to check, by its size alone: the event loop checks it, and serves others, too.
    """
    if len(values) > MAX_FIELDS:
        raise InvalidValueError(f"the body has {len(values)} fields, the limit is {MAX_FIELDS}")
    objects = [values]
    for name, value in values.items():
        if isinstance(value, list) and len(value) > max_items:
            raise InvalidValueError(f"{name[:SHOWN_VALUE_CHARS]} has {len(value)} items, the limit is {max_items}")
        objects += [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]
        if len(objects) > max_items + MAX_FIELDS:
            raise InvalidValueError(f"the body has more objects than {max_items}, which is the limit")
    if (most := max(map(len, objects))) > MAX_FIELDS:
        raise InvalidValueError(f"an object in the body has {most} fields, the limit is {MAX_FIELDS}")
    return objects


def _names(values: dict[str, Any]) -> dict[str, None]:
    return dict.fromkeys(name[:MAX_NAME_CHARS] for name in values)


def _check_texts(name: str, value: object) -> None:
    """Refuse what is not text, before pydantic would quote it. No text is nested deeper."""
    if not isinstance(value, list):
        _check_text(name, value)
        return
    for place, one in enumerate(value):
        _check_text(f"{name}.{place}", one.get("text") if isinstance(one, dict) else one)


def _check_text(name: str, value: object) -> None:
    if isinstance(value, str) and not is_text(value):
        raise InvalidValueError(f"{name[:SHOWN_VALUE_CHARS]} is not Unicode text")


def _explain(problem: ErrorDetails) -> str:
    name = ".".join(str(part) for part in problem["loc"] if not _is_variant(str(part)))[:SHOWN_VALUE_CHARS]
    match problem["type"]:
        case "string_too_short":
            return f"{name} is empty, a text is accepted"
        case "too_short":
            return f"{name} is empty, at least one text is accepted"
    shown = problem["input"]
    if isinstance(shown, str | list | dict):
        return explain(problem, name, " is not accepted")
    return explain(problem, name, f" is {str(shown)[:SHOWN_VALUE_CHARS]}, accepted")


def _is_variant(part: str) -> bool:
    """Return whether it is pydantic's name for a union's member in an error's location, not a field."""
    return part in {"str", "RerankDocument"} or part.startswith(("constrained-", "list["))


def check_dimensions(wanted: int | None, there: int) -> None:
    """Refuse a vector length other than the model's.

    Raises:
        InvalidValueError: another one is requested.
    """
    if wanted is not None and wanted != there:
        raise InvalidValueError(f"dimensions is {wanted}, this model has {there} and cannot give fewer")


# ── responses ─────────────────────────────────────────────────────────────────────────────────────────────────────


class SparseBody(Wire):
    """A sparse vector: weights of token ids, the ids ascending."""

    indices: list[int]
    values: list[float]


class EmbeddingBody(Wire):
    """One text's vectors."""

    dense: list[float] = Field(description="1024 numbers with BGE-M3; the vector has length 1.")
    sparse: SparseBody
    truncated: bool = Field(description="Whether the text was cut.")


class EmbedBody(EmbeddingBody):
    """Answer of `POST /embed` to one text."""

    device: str = Field(description="`cpu` or `cuda`.")
    reason: str = Field(description="Why there.")


class EmbedManyBody(Wire):
    """Answer of `POST /embed` to several texts."""

    embeddings: list[EmbeddingBody]
    device: str
    reason: str


class RerankBody(BaseModel):
    """Answer of `POST /rerank`."""

    scores: list[float] = Field(description="In the chunks' order: any number, larger for what fits better.")
    ranked_indices: list[int] = Field(description="Places of the chunks, from 0, the best first.")
    rankedIndices: list[int] = Field(description="The same.")  # noqa: N815 - the wire's name
    device: str = Field(description="`cpu` or `cuda`.")
    reason: str = Field(description="Why there.")
    truncated: bool = Field(description="Whether a text was cut.")


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


class RerankResultBody(BaseModel):
    """One document's place."""

    index: int
    relevance_score: float = Field(description="0 to 1: the sigmoid of the score.")
    document: RerankDocument | None = None


class RerankV1Body(BaseModel):
    """Answer of `POST /v1/rerank`."""

    id: str
    model: str
    results: list[RerankResultBody] = Field(description="The best first.")
    usage: UsageBody
    device: str
    reason: str
    truncated: bool


def render(body: dict[str, Any]) -> bytes:
    """Render a body; vectors are written as the model's library stores them."""
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def embedding_body(embedding: Embedding, *, truncated: bool) -> dict[str, Any]:
    """Return one text's vectors."""
    sparse = {"indices": embedding.indices, "values": embedding.values}
    return {"dense": embedding.dense, "sparse": sparse, "truncated": truncated}


def written(vector: Vector, encoding_format: str) -> object:
    """Return a vector as OpenAI's clients request it."""
    return base64.b64encode(vector.tobytes()).decode() if encoding_format == "base64" else vector


def usage(tokens: int) -> dict[str, int]:
    """Count as OpenAI does."""
    return {"prompt_tokens": tokens, "total_tokens": tokens}


def ranked(scores: list[float], top_n: int | None) -> list[int]:
    """Return indices, the best score first; of equal ones the earlier."""
    return sorted(range(len(scores)), key=lambda place: -scores[place])[:top_n]


def relevance(score: float) -> float:
    """Map a score to 0 to 1: the sigmoid, without overflow."""
    if score >= 0:
        return 1 / (1 + math.exp(-score))
    power = math.exp(score)
    return power / (1 + power)
