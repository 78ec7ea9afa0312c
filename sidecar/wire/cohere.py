"""Cohere's and Jina's convention of reranking. Pure."""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sidecar.wire.body import MODEL, Form, Text, TopCount
from sidecar.wire.openai import UsageBody


class RerankDocument(BaseModel):
    """A document in its long form; other fields are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    text: Text


class RerankV1Request(Form):
    """Body of ``POST /v1/rerank`` and ``/v2/rerank``, Cohere's and Jina's."""

    mark: ClassVar[str] = "documents"

    query: Text = Field(description="What is looked for.")
    documents: list[RerankDocument] = Field(description="The texts to rank, each as it is or as `{text}`.")
    model: str | None = Field(None, description=MODEL)
    top_n: TopCount | None = Field(None, description="Answer with the best so many; 0: all.")
    top_k: TopCount | None = Field(None, description="Voyage's word for `top_n`: the answer has `data`, too.")
    return_documents: bool = Field(False, description="Repeat each document in its result.")
    rank_fields: list[Literal["text"]] | None = Field(None, description="Only the text of a document can be ranked.")
    max_tokens_per_doc: TopCount | None = Field(None, description="Taken and ignored: see `truncate`.")
    max_chunks_per_doc: TopCount | None = Field(None, description="Taken and ignored: no document is divided.")
    priority: int | None = Field(None, description="Taken and ignored: small requests come first.")
    truncate: bool | Literal["NONE", "END"] = Field(
        True, description="Ours, and NVIDIA's: cut texts that are too long; else they are refused with 422."
    )

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

    @property
    def most(self) -> int | None:
        """How many to answer with."""
        return self.top_n if self.top_k is None else self.top_k

    @property
    def cuts(self) -> bool:
        """Whether texts that are too long are cut."""
        return self.truncate not in (False, "NONE")


class RerankResultBody(BaseModel):
    """One document's place."""

    index: int
    relevance_score: float = Field(description="0 to 1: the sigmoid of the score.")
    document: RerankDocument | None = None


class VoyageResultBody(BaseModel):
    """One document's place, as Voyage writes it."""

    index: int
    relevance_score: float
    document: str | None = None


class RerankV1Body(BaseModel):
    """Answer of `POST /v1/rerank`."""

    id: str
    model: str
    results: list[RerankResultBody] = Field(description="The best first.")
    data: list[VoyageResultBody] | None = Field(None, description="The same as Voyage writes it, with `top_k`.")
    usage: UsageBody
    device: str
    reason: str
    truncated: bool
