"""What the service answers, as values. Pure.

Names are those of docs/api.md, in snake_case. A field that a newer service adds is kept, and one that an older service
lacks has a default, so that client and service need not be of one version.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from sidecar.client.failures import parse_error


class Answer(BaseModel):
    """Shared by all: camelCase on the wire, snake_case here; frozen."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow", frozen=True)

    def as_json(self) -> dict[str, Any]:
        """Return what the service sent, under the wire's names."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


# ── documents ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Residency(Answer):
    """How long the model may stay loaded, and why."""

    keep_alive_seconds: int | None = None
    """0: the model leaves the GPU after the call; None: the model server takes no such thing."""
    vram_headroom_mb: int = -1
    reason: str = ""


class Attempt(Answer):
    """One try of an engine at a page."""

    engine: str = ""
    duration_ms: int = 0
    verdict: str = ""
    error: str | None = None
    done_reason: str | None = None
    parameters: dict[str, Any] = {}
    residency: Residency | None = None
    first_token_ms: int | None = None


class TextLayer(Answer):
    """What was mended in a page's text layer."""

    repaired: list[str] = []


class Correction(Answer):
    """A piece of a page's text that was read once more and corrected."""

    read: str = ""
    corrected: str = ""


class Word(Answer):
    """A run of letters without white space; ``box`` is None where nobody saw it."""

    text: str = ""
    box: list[float] | None = None
    """Left, top, right and bottom edge in points, from the top left corner of the page as it is shown."""
    confidence: float | None = None
    """0 to 1."""
    source: str = ""
    joins: bool = False
    """Whether no white space stands between it and the word before."""


class Line(Answer):
    """A line of text; ``words`` is None where they were not asked for."""

    text: str = ""
    box: list[float] | None = None
    baseline: list[float] | None = None
    size_pt: float | None = None
    bold: bool = False
    words: list[Word] | None = None


class Cell(Answer):
    """A cell of a table; rows and columns count from 0."""

    row: int = 0
    column: int = 0
    row_span: int = 1
    column_span: int = 1
    header: bool = False
    box: list[float] | None = None
    lines: list[Line] = []


class Block(Answer):
    """A part of a page: a heading, a paragraph, a table, and so on."""

    kind: str = ""
    level: int | None = None
    box: list[float] | None = None
    lines: list[Line] = []
    cells: list[Cell] = []


class Image(Answer):
    """A page for people to look at, as a file in base64."""

    media_type: str = ""
    width_px: int = 0
    height_px: int = 0
    base64: str = ""


class PageReceipt(Answer):
    """What a page's text was made from, and by what."""

    model: str = ""
    model_digest: str | None = None
    recipe: str | None = None
    prompt_sha256: str | None = None
    picture_sha256: str | None = None
    parameters: dict[str, Any] = {}


class Receipt(Answer):
    """Of a document: the file that was read, the service that read it, and when."""

    document_sha256: str = ""
    document_bytes: int = 0
    service: str = ""
    read_at: datetime | None = None


class Disagreement(Answer):
    """What two readers of a page read differently; None: nothing is there."""

    mine: str | None = None
    other: str | None = None
    box: list[float] | None = None
    """Left, top, right and bottom edge in points."""


class Verification(Answer):
    """What came of holding a page against another engine's reading of it."""

    outcome: str = ""
    engine: str | None = None
    duration_ms: int = 0
    reason: str | None = None


class Quality(Answer):
    """How sure a page's text is, 0 to 1; ``verdict`` is ``high``, ``medium`` or ``low``."""

    score: float = 0
    origin: str = ""
    verdict: str = ""


class Page(Answer):
    """One page, with its number from 1; a page without text because of an error has its code in ``error``."""

    page: int
    text: str
    engine: str | None = None
    char_count: int = 0
    duration_ms: int = 0
    attempts: list[Attempt] = []
    done_reason: str | None = None
    blank: bool = False
    truncated: bool = False
    looped: bool = False
    echoed: bool = False
    fallback_from: str | None = None
    confidence: int | None = None
    rotation: float = 0
    text_layer: TextLayer | None = None
    corrections: list[Correction] = []
    numerals_doubtful: bool = False
    quality: Quality | None = None
    verification: Verification | None = None
    disagreements: list[Disagreement] = []
    second_opinion: str | None = None
    error: str | None = None
    width_pt: float | None = None
    height_pt: float | None = None
    blocks: list[Block] | None = None
    image: Image | None = None
    receipt: PageReceipt | None = None


@dataclass(frozen=True, slots=True)
class WrittenDocument:
    """A document in another format than JSON, and what the service's headers say of its reading."""

    content: bytes = field(repr=False)
    media_type: str = ""
    warnings: tuple[str, ...] = ()
    ignored_fields: tuple[str, ...] = ()
    engine_used: str = ""
    model_used: str | None = None
    page_count: int = 0
    """Pages that were read."""
    document_page_count: int = 0
    failed_pages: tuple[int, ...] = ()
    unread_pages: tuple[int, ...] = ()
    request_id: str = ""


def written_document(content: bytes, headers: Mapping[str, str]) -> WrittenDocument:
    """Read what the headers say; what an older service does not say is empty."""
    read, _, count = headers.get("X-Ocr-Pages", "").partition("/")
    return WrittenDocument(
        content,
        headers.get("Content-Type", "").partition(";")[0].strip(),
        warnings=_listed(headers, "X-Ocr-Warnings"),
        ignored_fields=_listed(headers, "X-Ignored-Fields"),
        engine_used=headers.get("X-Ocr-Engine", ""),
        model_used=headers.get("X-Ocr-Model"),
        page_count=int(read) if read.isdigit() else 0,
        document_page_count=int(count) if count.isdigit() else 0,
        failed_pages=_numbers(headers, "X-Ocr-Failed-Pages"),
        unread_pages=_numbers(headers, "X-Ocr-Unread-Pages"),
        request_id=headers.get("X-Request-Id", ""),
    )


def _listed(headers: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in headers.get(name, "").split(",") if one.strip())


def _numbers(headers: Mapping[str, str], name: str) -> tuple[int, ...]:
    return tuple(int(one) for one in _listed(headers, name) if one.isdigit())


class ProfileUsed(Answer):
    """The profile that was applied."""

    name: str = ""
    revision: str = ""


class Summary(Answer):
    """The answer less its pages: what the last event of a stream tells."""

    text: str
    page_count: int
    ocr_used: bool = False
    char_count: int = 0
    engine_used: str = ""
    document_page_count: int = 0
    unread_pages: list[int] = []
    request_id: str = ""
    processing_time_ms: int = 0
    model_used: str | None = None
    model_digest: str | None = None
    profile: ProfileUsed | None = None
    recipe: str | None = None
    parameters: dict[str, Any] = {}
    residency: Residency | None = None
    warnings: list[str] = []
    ignored_fields: list[str] = []
    receipt: Receipt | None = None


class Document(Summary):
    """A document that was read."""

    pages: list[Page]


class Opened(Answer):
    """The first event of a stream: the document is open, its pages will follow."""

    request_id: str = ""
    kind: str = ""
    page_count: int
    document_page_count: int = 0


Event = Opened | Page | Summary
"""What a stream yields: one ``Opened``, each ``Page`` in order, one ``Summary``."""


# ── texts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class SparseVector(Answer):
    """Weights of token ids, the ids ascending."""

    indices: list[int]
    values: list[float]


class Embedding(Answer):
    """One text's vectors: ``dense`` has length 1; ``sparse`` is None with a model that gives none."""

    dense: list[float]
    sparse: SparseVector | None = None
    truncated: bool = False


class Embeddings(Answer):
    """The texts' vectors, in their order, and where they were computed."""

    embeddings: list[Embedding]
    device: str = ""
    reason: str = ""


class Ranking(BaseModel):
    """Scores in the texts' order, and the texts' places, the best first."""

    model_config = ConfigDict(extra="allow", frozen=True)

    scores: list[float]
    ranked_indices: list[int]
    device: str = ""
    reason: str = ""
    truncated: bool = False


# ── the service ───────────────────────────────────────────────────────────────────────────────────────────────────


class Health(Answer):
    """What the service says of itself; ``status`` is ``ok``, ``loading`` or ``unavailable``, ``reasons`` say why."""

    status: str
    engine: str = ""
    ocr_model: str = ""
    ollama_url: str | None = None
    model_api: str = "ollama"
    model_urls: list[str] = []
    ocr_engine: str = ""
    version: str = ""
    reasons: list[str] = []


class Reader(Answer):
    """One that reads pages now, with what it would be told."""

    engine: str = ""
    model: str = ""
    model_digest: str | None = None
    recipe: str | None = None
    prompt_sha256: str | None = None
    languages: str | None = None


class Provenance(Answer):
    """How a page would be read now: what its receipt would say."""

    service: str
    profile: str | None = None
    revision: str | None = None
    readers: list[Reader]


class Model(Answer):
    """One model."""

    id: str


class Models(Answer):
    """The models of embed and rerank that there are."""

    data: list[Model]


# ── parsing ───────────────────────────────────────────────────────────────────────────────────────────────────────


_EVENTS: dict[str, type[Event]] = {"document": Opened, "page": Page, "done": Summary}


class NotOursError(ValueError):
    """It is not what the service would write."""


A = TypeVar("A", bound=BaseModel)


def parse(kind: type[A], body: bytes) -> A:
    """Parse a whole answer.

    Raises:
        NotOursError: it is something else.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as exc:
        raise NotOursError from exc


def parse_line(line: bytes) -> Event | None:
    """Parse one line of a streamed answer; None: an event that this version does not know.

    Raises:
        NotOursError: it is no event.
        ServiceError: it says that the document failed.
    """
    try:
        values = json.loads(line)
        name = values.pop("event")
        if name == "error":
            raise parse_error(int(values["status"]), line)
        return _EVENTS[name].model_validate(values) if name in _EVENTS else None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as exc:
        raise NotOursError from exc
