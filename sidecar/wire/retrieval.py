"""Our own routes of embedding and reranking on the wire, in both directions. Pure."""

import math
from typing import Any, Self

import orjson
from pydantic import BaseModel, Field, model_validator

from sidecar.retrieval.model import Embedding
from sidecar.wire.body import MODEL, OwnForm, Text, TopCount
from sidecar.wire.common import Wire

# ── requests ──────────────────────────────────────────────────────────────────────────────────────────────────────


class EmbedRequest(OwnForm):
    """Body of ``POST /embed``: one text or several."""

    text: Text | None = Field(None, description="One text.")
    texts: list[Text] | None = Field(None, min_length=1, description="Several texts, instead of one.")
    model: str | None = Field(None, description=MODEL)
    truncate: bool = Field(True, description="Cut texts that are too long; else they are refused with 422.")

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.text is None) == (self.texts is None):
            raise ValueError("either text or texts is needed, and not both")
        return self


class RerankRequest(OwnForm):
    """Body of ``POST /rerank``."""

    query: Text = Field(description="What is looked for.")
    chunks: list[Text] = Field(description="The texts to rank.")
    model: str | None = Field(None, description=MODEL)
    top_n: TopCount | None = Field(None, description="Rank only the best so many, 0: all; all have their score.")
    truncate: bool = Field(True, description="Cut texts that are too long; else they are refused with 422.")


# ── responses ─────────────────────────────────────────────────────────────────────────────────────────────────────


class SparseBody(Wire):
    """A sparse vector: weights of token ids, the ids ascending."""

    indices: list[int]
    values: list[float]


class EmbeddingBody(Wire):
    """One text's vectors."""

    dense: list[float] = Field(description="1024 numbers with BGE-M3; the vector has length 1.")
    sparse: SparseBody | None = Field(description="Null where the model gives none.")
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


def render(body: object) -> bytes:
    """Render a body; vectors are written as the model's library stores them."""
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def embedding_body(embedding: Embedding, *, truncated: bool) -> dict[str, Any]:
    """Return one text's vectors."""
    weights = {"indices": embedding.indices, "values": embedding.values}
    sparse = None if embedding.indices is None else weights
    return {"dense": embedding.dense, "sparse": sparse, "truncated": truncated}


def ranked(scores: list[float], top_n: int | None) -> list[int]:
    """Return indices, the best score first; of equal ones the earlier. 0 as None: all."""
    return sorted(range(len(scores)), key=lambda place: -scores[place])[: top_n or None]


def relevance(score: float) -> float:
    """Map a score to 0 to 1: the sigmoid, without overflow."""
    if score >= 0:
        return 1 / (1 + math.exp(-score))
    power = math.exp(score)
    return power / (1 + power)
