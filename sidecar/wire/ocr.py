"""Requests to read a document, and their answers; the models that parse also describe (``/openapi.json``). Pure.

Field names are camelCase on the wire; both spellings are accepted in requests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BeforeValidator, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from sidecar.errors import (
    BadFieldJsonError,
    BadTagError,
    InvalidValueError,
    SystemPromptError,
    UnknownEngineError,
    UserPromptError,
)
from sidecar.evidence.layout import Source
from sidecar.evidence.page import BlockKind
from sidecar.ocr.engine import AUTO, RequestedOptions
from sidecar.ocr.job import Wanted
from sidecar.outputs.formats import PLACED, Output
from sidecar.profiles.payload import (
    NO_BOOL,
    DeadlineSeconds,
    MaxTokens,
    RepeatPenalty,
    RuntimeParams,
    Temperature,
    TopP,
    VerifyName,
    check_system_prompt,
    check_tag_names,
    fold_user_prompt,
)
from sidecar.validation import explain_all, explain_value
from sidecar.wire.common import SHOWN_VALUE_CHARS, Box, ErrorBody, Wire, fold_names, refuse_keep_alive
from sidecar.wire.json_text import parse_json, parse_object
from sidecar.wire.receipts.receipt import PageReceiptBody, ReceiptBody
from sidecar.wire.receipts.sureness import DisagreementBody, QualityBody, VerificationBody


def _listed(value: object) -> object:
    """Split a list that is text, as a form has it, at its commas."""
    if isinstance(value, str):
        return [one.strip() for one in value.split(",") if one.strip()]
    if isinstance(value, list):
        return value
    raise ValueError(f"should be a list of {', '.join(INCLUDABLE)}")


Includable = Literal["words", "blocks", "image", "receipt"]
INCLUDABLE = get_args(Includable)
Included = Annotated[list[Includable], Field(max_length=16), BeforeValidator(_listed)]
PageCount = Annotated[int, Field(ge=0), NO_BOOL]


# ── requests ──────────────────────────────────────────────────────────────────────────────────────────────────────


class ReadRequest(Wire):
    """What a caller may say about how a document is read."""

    engine: str = Field(AUTO, description="`auto` takes usable text layers and falls to the service's engine.")
    max_pages: PageCount | None = Field(None, description="Read the first so many pages; 0 means all.")
    pages: str | None = Field(None, max_length=4096, description="Page numbers and ranges from 1, such as `1-3,7`.")
    languages: str | None = Field(None, max_length=256, description="Languages to read, such as `tha+eng`.")
    system_prompt: str | None = Field(None, description="Replaces the profile's system prompt.")
    user_prompt: str | None = Field(None, description="Replaces the profile's user prompt; empty means not set.")
    dms_tags: dict[str, Any] | list[str] | None = Field(
        None, description="Fields to tag: an object whose keys name them (values are ignored), or a list of names."
    )
    runtime_params: RuntimeParams = RuntimeParams()
    temperature: Temperature | None = Field(None, description="Stronger than runtimeParams.")
    top_p: TopP | None = Field(None, description="Stronger than runtimeParams.")
    repeat_penalty: RepeatPenalty | None = Field(None, description="Stronger than runtimeParams.")
    max_tokens: MaxTokens | None = Field(None, description="Stronger than runtimeParams.")
    profile: str | None = Field(None, max_length=253, description="Name of an OcrProfile.")
    deadline_seconds: DeadlineSeconds | None = Field(
        None, description="How long the document may take; what was read by then is the answer."
    )
    active_profile: str | None = Field(None, max_length=253, description="The LLM profile in use, for residency.")
    verify: VerifyName | None = Field(
        None, description="What of each page is held against another engine's reading of it."
    )
    include: Included | None = Field(
        None,
        description="What the answer holds beside the text, as a list or with commas: `words`, `blocks`, `image`, "
        "`receipt`.",
    )

    output: Output | None = Field(None, description="The format of the answer; without it `Accept` decides.")
    keep_signature: bool | None = Field(
        None, description="With `output=pdf`: refuse to add to a document whose signature would break."
    )

    @property
    def wanted(self) -> Wanted:
        """Return what is wanted beside the text: for the answer, or to write it from."""
        if self.output not in (None, Output.JSON):
            return Wanted(words=self.output in PLACED, blocks=True)
        return Wanted(**dict.fromkeys(self.include or (), True))

    @property
    def parameters(self) -> RuntimeParams:
        """Return the parameters that are set: single fields win over runtimeParams."""
        single = RuntimeParams(
            temperature=self.temperature,
            top_p=self.top_p,
            repeat_penalty=self.repeat_penalty,
            max_tokens=self.max_tokens,
        )
        return single.over(self.runtime_params)

    @property
    def tags(self) -> tuple[str, ...] | None:
        """Return the tags' names; None if the request does not mention tags."""
        return None if self.dms_tags is None else tuple(self.dms_tags)

    @property
    def requested_options(self) -> RequestedOptions:
        """Return the options that are set and that not every engine supports."""
        return RequestedOptions(
            prompt=any(one is not None for one in (self.system_prompt, self.user_prompt, self.dms_tags)),
            parameters=self.parameters != RuntimeParams(),
            profile=self.profile is not None,
            residency=self.active_profile is not None,
        )


class OcrPathRequest(ReadRequest):
    """Body of ``POST /ocr``."""

    pdf_path: str = Field(description="Absolute path of a file inside the service's upload folder.")


JSON_FIELDS = frozenset({"dms_tags", "runtime_params"})
NEVER_EMPTY = frozenset({"system_prompt"})
"""An empty form field is how a form says "unset"; an empty prompt is refused, because production refuses it."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the service accepts beyond what the models say: the longest prompt, and the names of its engines."""

    max_prompt_chars: int
    engines: Sequence[str]


def parse_form(fields: Mapping[str, str], accepted: Accepted) -> tuple[ReadRequest, list[str]]:
    """Parse the fields of a multipart body; also list the fields that mean nothing here.

    Raises:
        BadRequestError: keep_alive in any spelling, bad JSON, an unknown engine, a bad prompt or tag name.
        InvalidValueError: a value outside its range.
    """
    refuse_keep_alive(fields)
    folded = fold_names(fields)
    unknown = sorted(name for name in folded if name not in ReadRequest.model_fields)
    values: dict[str, Any] = {
        name: value if name in NEVER_EMPTY else value.strip() or None
        for name, value in folded.items()
        if name not in unknown
    }
    for name in JSON_FIELDS & values.keys():
        values[name] = _parse_json_field(name, values[name])
    refuse_keep_alive(values)
    return _parse(ReadRequest, values, accepted), [to_camel(name[:SHOWN_VALUE_CHARS]) for name in unknown]


def parse_body(body: bytes, accepted: Accepted) -> OcrPathRequest:
    """Parse the JSON body of ``POST /ocr``.

    Raises:
        MalformedBodyError: it is not a JSON object.
        BadRequestError, InvalidValueError: as for the form; a field that means nothing here is named.
    """
    values = parse_object(body)
    refuse_keep_alive(values)
    return _parse(OcrPathRequest, fold_names(values), accepted)


def check_max_pages(max_pages: int | None, page_limit: int) -> int | None:
    """Return maxPages as it is.

    Raises:
        InvalidValueError: it is over the limit.
    """
    if (max_pages or 0) > page_limit:
        raise InvalidValueError(f"maxPages is {max_pages}, the limit is {page_limit}")
    return max_pages


R = TypeVar("R", bound=ReadRequest)


def _parse_json_field(name: str, text: str | None) -> object:
    if text is None:
        return None
    try:
        return parse_json(text.encode("utf-8", "surrogatepass"))
    except ValueError as exc:
        raise BadFieldJsonError(f"{to_camel(name)} is not JSON") from exc


def _parse(model: type[R], values: dict[str, Any], accepted: Accepted) -> R:
    given = {name: value for name, value in values.items() if value is not None or name not in model.model_fields}
    if isinstance(given.get("runtime_params"), dict):
        given["runtime_params"] = fold_names(given["runtime_params"])
    if "engine" in given:
        given["engine"] = _check_engine(given["engine"], (AUTO, *accepted.engines))
    if "system_prompt" in given:
        given["system_prompt"] = _check_prompt(given["system_prompt"], accepted.max_prompt_chars)
    if "user_prompt" in given:
        given["user_prompt"] = _fold_user_prompt(given["user_prompt"], accepted.max_prompt_chars)
    if "dms_tags" in given:
        _check_tags(given["dms_tags"])
    try:
        return model.model_validate(given)
    except ValidationError as exc:
        raise InvalidValueError(explain_all(exc, _explain)) from None


def _check_engine(value: object, names: Sequence[str]) -> str:
    engine = str(value).strip().lower() or AUTO
    if engine not in names:
        raise UnknownEngineError(f"engine is {str(value)[:SHOWN_VALUE_CHARS]!r}, accepted are {', '.join(names)}")
    return engine


def _check_prompt(value: object, max_chars: int) -> str:
    """Return a prompt without the white space around it, which forms add."""
    try:
        prompt = value.strip() if isinstance(value, str) else value
        return check_system_prompt(prompt, max_chars=max_chars, otherwise="the profile's")
    except ValueError as exc:
        raise SystemPromptError(str(exc)) from None


def _fold_user_prompt(value: object, max_chars: int) -> str | None:
    try:
        return fold_user_prompt(value, max_chars=max_chars)
    except ValueError as exc:
        raise UserPromptError(str(exc)) from None


def _check_tags(tags: object) -> None:
    if not isinstance(tags, dict | list):
        raise BadTagError("dmsTags must be an object whose keys name the tags, or a list of names")
    try:
        check_tag_names(list(tags))
    except ValueError as exc:
        raise BadTagError(str(exc)) from None


def _explain(problem: ErrorDetails) -> str:
    """Name what was wrong, its value, and what is accepted."""
    first, *inner = problem["loc"]
    name = ".".join([to_camel(str(first)[:SHOWN_VALUE_CHARS]), *map(str, inner)])[:SHOWN_VALUE_CHARS]
    return explain_value(problem, name)


EVIDENCE = {"width_pt", "height_pt", "blocks", "image"}
"""Fields of a page that workers write: see :mod:`sidecar.wire.answers.blocks`."""


# ── responses ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _is_unset(value: object) -> bool:
    """Return whether a field is left out: those that `include` asks for are, where nobody asked."""
    return value is None


class ResidencyBody(Wire):
    """How long the model may stay loaded, and why."""

    keep_alive_seconds: int | None
    vram_headroom_mb: int
    reason: str


class AttemptBody(Wire):
    """One try at one page."""

    engine: str
    duration_ms: int
    verdict: str
    error: str | None = None
    done_reason: str | None = None
    parameters: dict[str, Any] = Field({}, description="What was really sent to the engine.")
    residency: ResidencyBody | None = None
    first_token_ms: int | None = Field(None, description="From the call to the first token: mostly loading.")


class TextLayerBody(Wire):
    """What was done to the text layer that a page's text comes from."""

    repaired: list[str] = Field(description="What was mended in it, such as `marks-reordered`.")


class CorrectionBody(Wire):
    """A piece of a page's text, between white space, that was corrected."""

    read: str = Field(description="As the engine first read it.")
    corrected: str = Field(description="As it stands in the text.")


class WordBody(Wire):
    """A run of letters without white space."""

    text: str
    box: Box | None = Field(description="Null where nobody saw it.")
    confidence: float | None = Field(description="0 to 1; null where its reader tells none.")
    source: str = Field(description=f"Who read it: {', '.join(f'`{one}`' for one in Source)}.")
    joins: bool = Field(description="Whether no white space stands between it and the word before.")


class LineBody(Wire):
    """A line of text."""

    text: str
    box: Box | None
    baseline: Box | None = Field(description="Its two ends, from left to right: x, y, x, y.")
    size_pt: float | None = Field(description="Size of its letters.")
    bold: bool = Field(description="Whether the font says so.")
    words: list[WordBody] | None = Field(description="Null where `include` has no `words`.")


class CellBody(Wire):
    """A cell of a table; rows and columns count from 0."""

    row: int
    column: int
    row_span: int
    column_span: int
    header: bool
    box: Box | None
    lines: list[LineBody]


class BlockBody(Wire):
    """A part of a page, in reading order."""

    kind: str = Field(description=f"One of {', '.join(kind.value for kind in BlockKind)}.")
    level: int | None = Field(description="Of a heading, or how deep an item of a list lies, from 1.")
    box: Box | None
    lines: list[LineBody]
    cells: list[CellBody]


class ImageBody(Wire):
    """A page for people to look at."""

    media_type: str
    width_px: int
    height_px: int
    base64: str


class PageBody(Wire):
    """One page of the answer; `page` counts from 1."""

    page: int
    text: str
    engine: str | None = Field(description="Who read the page; null when nobody could.")
    char_count: int
    duration_ms: int
    attempts: list[AttemptBody]
    done_reason: str | None = None
    blank: bool = False
    truncated: bool = False
    looped: bool = False
    echoed: bool = Field(False, description="Whether the model answered with its own prompt; that text is left out.")
    fallback_from: str | None = None
    confidence: int | None = Field(None, description="Mean word confidence, 0 to 100, where the engine tells it.")
    rotation: float = Field(
        0, description="Degrees by which the page was turned clockwise to read upright; negative: counter-clockwise."
    )
    text_layer: TextLayerBody | None = Field(None, description="Set where the page's text layer had to be mended.")
    corrections: list[CorrectionBody] = Field([], description="Thai numerals that were read once more and put right.")
    numerals_doubtful: bool = Field(False, description="Whether a Thai numeral of the text is a guess.")
    quality: QualityBody | None = Field(None, description="How sure the text is; null where nothing is known.")
    verification: VerificationBody | None = Field(None, description="Where `verify` was asked for.")
    disagreements: list[DisagreementBody] = Field([], description="What another engine read differently.")
    second_opinion: str | None = Field(
        None, description="The engine that read a doubtful page once more; `engine` names whose text this is."
    )
    error: str | None = Field(None, description="Why the page could not be read: a code of the error list.")
    width_pt: float | None = Field(None, description="As the page is shown; null where blocks are, or is not known.")
    height_pt: float | None = None
    blocks: list[BlockBody] | None = Field(None, description="Null where `include` has neither `words` nor `blocks`.")
    image: ImageBody | None = Field(None, description="Null where `include` has no `image`, or it cannot be drawn.")
    receipt: PageReceiptBody | None = Field(
        None, exclude_if=_is_unset, description="With `include=receipt`: what the text was made from."
    )


class ProfileBody(Wire):
    """The profile that was applied."""

    name: str
    revision: str


class SummaryBody(Wire):
    """The answer less its pages, as the last line of a stream holds it."""

    text: str
    ocr_used: bool
    page_count: int = Field(description="Pages that were read.")
    char_count: int
    engine_used: str = Field(description="`fast-path` for text layers, an engine's name, or `mixed`.")
    document_page_count: int = Field(description="Pages that the document has.")
    unread_pages: list[int] = Field([], description="Pages that the deadline left unread; they can be sent as `pages`.")
    request_id: str
    processing_time_ms: int
    model_used: str | None
    model_digest: str | None = Field(None, description="SHA-256 of that model, where the model server tells it.")
    profile: ProfileBody | None
    recipe: str | None = Field(None, description="The recipe by which the model was asked.")
    parameters: dict[str, Any] = Field(description="What was really sent to the engine.")
    residency: ResidencyBody | None
    warnings: list[str]
    ignored_fields: list[str] = Field([], description="Form fields that mean nothing here.")
    receipt: ReceiptBody | None = Field(
        None, exclude_if=_is_unset, description="With `include=receipt`: of the document, and the service."
    )


class DocumentBody(SummaryBody):
    """Answer of `POST /ocr-upload` and `POST /ocr`."""

    pages: list[PageBody]


class _DocumentName(Wire):
    event: Literal["document"] = "document"


class _PageName(Wire):
    event: Literal["page"] = "page"


class _DoneName(Wire):
    event: Literal["done"] = "done"


class _ErrorName(Wire):
    event: Literal["error"] = "error"


# The last base's fields come first on the wire: a reader of the stream sees at once what a line is.


class DocumentEvent(_DocumentName):
    """First line of a streamed answer."""

    request_id: str
    kind: str
    page_count: int
    document_page_count: int


class PageEvent(PageBody, _PageName):
    """One line of a streamed answer for each page, in page order."""


class DoneEvent(SummaryBody, _DoneName):
    """Last line of a streamed answer."""


class ErrorEvent(ErrorBody, _ErrorName):
    """Last line of a streamed answer that failed."""

    status: int
