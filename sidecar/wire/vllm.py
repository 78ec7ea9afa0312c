"""vLLM's own routes beside OpenAI's: scores of pairs, tokens of a text. Pure."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, Field, model_validator

from sidecar.wire.body import MODEL, Form, Text
from sidecar.wire.openai import UsageBody

Texts = Text | Annotated[list[Text], Field(min_length=1)]


class ScoreRequest(Form):
    """Body of ``POST /score``: one text against one or several, or as many against as many."""

    text_1: Texts = Field(description="The query, or as many queries as there are texts.")
    text_2: Texts = Field(description="The text or texts.")
    model: str | None = Field(None, description=MODEL)
    truncate: bool = Field(True, description="Ours: cut texts that are too long; else they are refused with 422.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if isinstance(self.text_1, list) and (isinstance(self.text_2, str) or len(self.text_1) != len(self.text_2)):
            raise ValueError("text_1 is one text, or as many as text_2")
        return self

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The pairs to score."""
        texts = [self.text_2] if isinstance(self.text_2, str) else self.text_2
        queries = [self.text_1] * len(texts) if isinstance(self.text_1, str) else self.text_1
        return list(zip(queries, texts, strict=True))


class PromptRequest(Form):
    """Body of ``POST /tokenize``."""

    mark: ClassVar[str] = "prompt"

    prompt: Text = Field(description="The text.")
    model: str | None = Field(None, description=MODEL)
    add_special_tokens: bool = Field(True, description="With the first and the last token.")


class ScoreItemBody(BaseModel):
    """One pair's score."""

    index: int
    object: Literal["score"] = "score"
    score: float = Field(description="0 to 1: the sigmoid of the model's number.")


class ScoreBody(BaseModel):
    """Answer of `POST /score`."""

    id: str
    object: Literal["list"] = "list"
    model: str
    data: list[ScoreItemBody]
    usage: UsageBody


class TokensBody(BaseModel):
    """Answer of `POST /tokenize` to `prompt`."""

    count: int
    max_model_len: int
    tokens: list[int]
