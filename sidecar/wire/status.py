"""Answers about the service itself: its health, and the applied profiles. Pure."""

from datetime import datetime

from pydantic import Field

from sidecar.wire.common import Wire


class LearnedNeedBody(Wire):
    """What the OCR model was seen to take of the GPU."""

    model: str = Field(description="The model's digest, or its name where the model server tells none.")
    num_ctx: int = Field(description="Tokens; 0 where no request or profile sets it.")
    longest_side: int = Field(description="Of the pictures, in pixels.")
    idle_mb: int | None = Field(description="While loaded and not reading, in MiB.")
    need_mb: dict[int, int] = Field(description="By the number of calls at a time, in MiB.")


class HealthBody(Wire):
    """Answer of `GET /health`."""

    status: str
    engine: str = Field(description="The model that profiles are for, as callers in production expect.")
    ocr_model: str
    ollama_url: str | None
    model_api: str = Field(description="How the model server is talked to: `ollama` or `openai`.")
    model_urls: list[str] = Field(description="Scheme, host and port of the model servers that are used.")
    ocr_engine: str = Field(description="What `auto` falls to.")
    version: str
    reasons: list[str] = Field([])
    learned_needs: list[LearnedNeedBody] = Field([])


class LoadedProfileBody(Wire):
    """One profile that is applied."""

    name: str
    revision: str
    content_revision: str = Field(description="Computed from what was loaded; another one after a hand edit.")
    generation: int
    loaded_at: datetime


class RefusedProfileBody(Wire):
    """One file that is no profile; its last good version, if there was one, is still applied."""

    file: str
    reason: str


class ProfilesBody(Wire):
    """Answer of `GET /profiles`."""

    profiles: list[LoadedProfileBody]
    refused: list[RefusedProfileBody]


class BgeStateBody(Wire):
    """Answer of `POST /bge/load` and `POST /bge/unload`."""

    status: str = Field(description="`loaded`, `unloaded`, or `unloading`: calls that came before still use a model.")
    bge_loaded: bool = Field(description="Whether the embedder is in memory.")
    reranker_loaded: bool


class BgeStatusBody(Wire):
    """Answer of `GET /bge/status`."""

    bge_loaded: bool = Field(description="Whether the embedder is in memory.")
    reranker_loaded: bool
    keep_alive_seconds: float = Field(description="`BGE_KEEP_ALIVE_SECONDS`; 0: for ever.")
    idle_seconds: float | None = Field(description="Since a model that is in memory was used; null: none is.")
    auto_unload_in: float | None = Field(description="Seconds until both have left, if nobody calls; null: never.")
