"""The convention of Hugging Face's text-embeddings-inference. Pure.

Its answers are plain arrays: what else there is to tell, device and reason, stands in a header.
"""

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field, RootModel

from sidecar.retrieval.model import Embedding, Piece
from sidecar.wire.body import MODEL, Form, Text, TopCount

Inputs = Text | Annotated[list[Text], Field(min_length=1)]


class _InputsForm(Form):
    mark: ClassVar[str] = "inputs"

    inputs: Inputs = Field(description="One text or several, no token ids.")
    model: str | None = Field(None, description=MODEL)

    @property
    def texts(self) -> list[str]:
        """The texts, also where there is but one."""
        return [self.inputs] if isinstance(self.inputs, str) else self.inputs


class InputsRequest(_InputsForm):
    """Body of ``POST /embed``, ``/embed_sparse`` and ``/embed_all``."""

    truncate: bool = Field(True, description="Cut texts that are too long; else they are refused with 422.")


class TextsRerankRequest(Form):
    """Body of ``POST /rerank``."""

    mark: ClassVar[str] = "texts"

    query: Text = Field(description="What is looked for.")
    texts: list[Text] = Field(description="The texts to rank.")
    top_n: TopCount | None = Field(None, description="Not TEI's, but LiteLLM's: the best so many.")
    model: str | None = Field(None, description=MODEL)
    raw_scores: bool = Field(False, description="Answer with the model's own numbers, not with 0 to 1.")
    return_text: bool = Field(False, description="Repeat each text.")
    truncate: bool = Field(True, description="Cut texts that are too long; else they are refused with 422.")


class TokenizeRequest(_InputsForm):
    """Body of ``POST /tokenize``."""

    add_special_tokens: bool = Field(True, description="With the first and the last token.")


class VectorsBody(RootModel[list[list[float]]]):
    """Answer of `POST /embed` to `inputs`: a vector for each text."""


class SparseEntryBody(BaseModel):
    """A weight above 0."""

    index: int
    value: float


class SparseVectorsBody(RootModel[list[list[SparseEntryBody]]]):
    """Answer of `POST /embed_sparse`: the weights of each text."""


class TokenVectorsBody(RootModel[list[list[list[float]]]]):
    """Answer of `POST /embed_all`: a vector for each token of each text, without the first special one."""


class RankBody(BaseModel):
    """One text's place."""

    index: int
    score: float
    text: str | None = None


class RanksBody(RootModel[list[RankBody]]):
    """Answer of `POST /rerank` to `texts`: the best first."""


class PieceBody(BaseModel):
    """A token."""

    id: int
    text: str
    special: bool
    start: int | None = Field(description="Where it begins in the text, in characters.")
    stop: int | None


class PiecesBody(RootModel[list[list[PieceBody]]]):
    """Answer of `POST /tokenize` to `inputs`."""


class InfoBody(BaseModel):
    """Answer of `GET /info`."""

    model_id: str
    model_type: dict[str, Any] = Field(description="What kind of model it is.")
    max_input_length: int | None = Field(description="Most tokens of a text; null while there is no model.")
    max_client_batch_size: int = Field(description="Most texts of a request.")
    max_concurrent_requests: int = Field(description="Texts that may wait or be computed at a time.")
    auto_truncate: bool = Field(description="Whether texts that are too long are cut if a request says nothing.")
    reranker_id: str = Field(description="The model that reranks.")
    backend: str | None = Field(description="What computes on the CPU; null until the model was loaded once.")
    version: str


def sparse_entries(embedding: Embedding) -> list[dict[str, Any]]:
    """Return a text's weights."""
    assert embedding.indices is not None
    assert embedding.values is not None
    pairs = zip(embedding.indices.tolist(), embedding.values.tolist(), strict=True)
    return [{"index": index, "value": value} for index, value in pairs]


def piece_body(piece: Piece) -> dict[str, Any]:
    """Return a token."""
    start, stop = (None, None) if piece.special else (piece.start, piece.stop)
    return {"id": piece.id, "text": piece.text, "special": piece.special, "start": start, "stop": stop}
