"""docling-serve's conversion, at once or as a task: options of a form, and a document in the formats asked for. Pure.

Source: docling-serve's `docs/usage.md` and its OpenAPI description of version 1.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from sidecar.errors import InvalidValueError
from sidecar.jobs.record import State
from sidecar.jobs.view import JobView
from sidecar.ocr.job import DocumentResult
from sidecar.outputs.writing import Texts
from sidecar.validation import accepting, explain_all, explain_value
from sidecar.wire.common import OWNER, SHOWN_VALUE_CHARS, refuse_keep_alive
from sidecar.wire.dialects import docling_formats
from sidecar.wire.dialects.data_uri import PLACEHOLDER
from sidecar.wire.dialects.mistral import ranges
from sidecar.wire.json_text import parse_object

Format = Literal["md", "json", "html", "text", "doctags"]
LAST_PAGE = 999_999
"""Further pages than any document has; docling's clients write a number of 63 bits for "all"."""
LONGEST_DEADLINE_S = 86_400
"""Longer deadlines mean none; docling's clients send a week by default."""
LISTS = frozenset({"to_formats", "page_range", "ocr_lang"})
FORM_NAMES = {"pages": "page_range", "languages": "ocr_lang"}
"""What fields of `/ocr-upload` are called here."""
JSON_NAMES = {ours: f"options.{name}" for ours, name in FORM_NAMES.items()}
FILE_FIELD = "files"
"""Where the document is in a form."""
BASE64_FIELD = "base64_string"
"""Whose value the document is in a body of JSON."""
NOT_FETCHED = (
    "nothing is fetched here: sources must hold one file, as kind file with base64_string, or send it to "
    "/v1/convert/file"
)


def _refuse_descending(given: list[int]) -> list[int]:
    if given[0] > given[1]:
        raise ValueError("the last page comes before the first")
    return given


PageRange = Annotated[
    list[Annotated[int, Field(ge=1)]],
    Field(min_length=2, max_length=2),
    AfterValidator(_refuse_descending),
    accepting("the first page and the last one, from 1"),
]


# ── requests ──────────────────────────────────────────────────────────────────────────────────────────────────────


class ConvertForm(BaseModel):
    """Body of `POST /v1/convert/file`, a form; a list is a field given several times, or text with commas."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    files: bytes = Field(b"", description="The document: exactly one.")
    to_formats: list[Format] = Field(["md"], description="Formats of the answer.")
    page_range: PageRange = Field([1, LAST_PAGE], description="First and last page, from 1; cut at the document's end.")
    force_ocr: bool = Field(default=False, description="Let the engine read every page.")
    do_ocr: bool = Field(default=True, description="False is ignored: pages without a text layer are read.")
    ocr_lang: list[str] = Field([], description="Languages by Tesseract's names.")
    document_timeout: float = Field(
        LONGEST_DEADLINE_S, gt=0, description="Seconds that the document may take; a day and more: any time."
    )
    md_page_break_placeholder: str = Field("", description="Stands between pages in Markdown.")
    target_type: Literal["inbody"] = "inbody"


@dataclass(frozen=True, slots=True)
class Conversion:
    """What is asked, and the names of fields that mean nothing here."""

    form: ConvertForm
    ignored: tuple[str, ...]

    def fields(self, default_engine: str) -> dict[str, str]:
        """Return the fields that `/ocr-upload` would be sent. Pages may lie beyond the document's end."""
        first, last = (min(number, LAST_PAGE) for number in self.form.page_range)
        wanted = {
            "engine": default_engine if self.form.force_ocr else "",
            "pages": "" if (first, last) == (1, LAST_PAGE) else f"{first}-{last}",
            "languages": "+".join(self.form.ocr_lang),
            "deadline_seconds": str(self.form.document_timeout) if self.has_deadline else "",
        }
        return {name: value for name, value in wanted.items() if value}

    @property
    def has_deadline(self) -> bool:
        """Whether the document may take so long and no longer."""
        return self.form.document_timeout < LONGEST_DEADLINE_S


def parse_form(fields: Mapping[str, list[str]]) -> Conversion:
    """Parse a form's fields.

    Raises:
        InvalidValueError: a value that is not accepted, or a field given twice that is no list.
    """
    known = {name: values for name, values in fields.items() if name in ConvertForm.model_fields and any(values)}
    for name, values in known.items():
        if name not in LISTS and len(values) > 1:
            raise InvalidValueError(f"{name} is given twice")
    given = {name: _items(values) if name in LISTS else values[0] for name, values in known.items()}
    return _conversion(given, [name for name in fields if name not in ConvertForm.model_fields])


def _conversion(given: Mapping[str, Any], unknown: Sequence[str], names: Callable[[str], str] = str) -> Conversion:
    """Check the options that are known; ``names`` tells how the caller wrote one of them."""
    try:
        form = ConvertForm.model_validate(given)
    except ValidationError as exc:
        raise InvalidValueError(explain_all(exc, lambda problem: _explain(problem, names))) from None
    return Conversion(form, tuple(unknown if form.do_ocr else [*unknown, "do_ocr"]))


class ConvertSource(BaseModel):
    """A document in a body of JSON."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: Literal["file"] = "file"
    base64_string: str
    filename: str = ""


class ConvertSourceRequest(BaseModel):
    """Body of `POST /v1/convert/source`; options as in the form of `POST /v1/convert/file`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    sources: Annotated[list[ConvertSource], Field(min_length=1, max_length=1)] = Field(description="One file.")
    options: dict[str, Any] = Field({}, description="The fields of `POST /v1/convert/file`.")
    target: dict[str, Any] = Field({}, description="`kind` is `inbody`, the default.")


def parse_source(skeleton: bytes | bytearray, *, has_document: bool) -> tuple[Conversion, str]:
    """Parse a body of JSON whose document was taken out; return what is asked, and the file's name.

    Raises:
        MalformedBodyError: it is not a JSON object.
        InvalidValueError: not one file, or a value that is not accepted.
    """
    values = parse_object(skeleton)
    refuse_keep_alive(values)
    match values.get("sources"):
        case [{"base64_string": str(held)}] if held == PLACEHOLDER and has_document:
            pass
        case _:
            raise InvalidValueError(NOT_FETCHED)
    try:
        asked = ConvertSourceRequest.model_validate(
            {name: value for name, value in values.items() if value is not None}
        )
    except ValidationError as exc:
        raise InvalidValueError(explain_all(exc, _explain)) from None
    options = {name: value for name, value in asked.options.items() if value is not None and name != "files"}
    options["target_type"] = asked.target.get("kind", "inbody")
    unknown = [name for name in options if name not in ConvertForm.model_fields]
    unknown += [name for name in values if name not in ConvertSourceRequest.model_fields]
    return _conversion(options, unknown, _in_json), asked.sources[0].filename


def _in_json(name: str) -> str:
    """Return where an option of the form stands in a body of JSON."""
    return "target.kind" if name == "target_type" else f"options.{name}"


def _items(values: list[str]) -> list[str]:
    """Return a list's items; some clients write it as JSON, or with commas."""
    parts = [part.strip("[]\"' ") for value in values for part in value.split(",")]
    return [part for part in parts if part]


def _explain(problem: ErrorDetails, names: Callable[[str], str] = str) -> str:
    name = names(".".join(map(str, problem["loc"])))[:SHOWN_VALUE_CHARS]
    return explain_value(problem, name)


# ── responses ─────────────────────────────────────────────────────────────────────────────────────────────────────


class ConvertedBody(BaseModel):
    """A document in the formats that were asked for; the others are null."""

    filename: str
    md_content: str | None
    json_content: dict[str, Any] | None
    html_content: str | None
    text_content: str | None
    doctags_content: str | None


class ConvertProblemBody(BaseModel):
    """What could not be done."""

    component_type: Literal["pipeline"] = "pipeline"
    module_name: str = OWNER
    error_message: str = Field(description="Which page, and the code of its error.")


class ConvertBody(BaseModel):
    """Answer of `POST /v1/convert/file`."""

    document: ConvertedBody
    status: Literal["success", "partial_success"]
    errors: list[ConvertProblemBody]
    processing_time: float = Field(description="Seconds from the end of the request's body.")
    timings: dict[str, Any] = Field(description="Always empty.")


class TaskBody(BaseModel):
    """Answer of the routes for tasks: how far a conversion is that is fetched later."""

    task_id: str
    task_type: Literal["convert"] = "convert"
    task_status: Literal["pending", "started", "success", "failure"]
    task_position: int | None = Field(None, description="Its place among those that wait, from 1.")
    error_message: str | None = None


def render_task(view: JobView) -> TaskBody:
    """Render how far a job is, in docling's words."""
    record = view.record
    waiting: dict[State, Literal["pending", "started"]] = {State.QUEUED: "pending", State.RUNNING: "started"}
    ended: Literal["success", "failure"] = "success" if record.state in (State.DONE, State.PARTIAL) else "failure"
    failure = record.failure.detail if record.failure else None
    return TaskBody(
        task_id=record.order.ref.id,
        task_status=waiting.get(record.state, ended),
        task_position=None if view.ahead is None else view.ahead + 1,
        error_message="the job was cancelled" if record.state is State.CANCELLED else failure,
    )


def render_conversion(
    result: DocumentResult, texts: Texts, form: ConvertForm, filename: str, took_s: float
) -> ConvertBody:
    """Render what was read in the formats that are asked for."""
    pages = [(page.page, page.text) for page in result.pages]
    writers: dict[str, Callable[[], object]] = {
        "md": lambda: docling_formats.as_markdown(texts.markdown, form.md_page_break_placeholder),
        "json": lambda: docling_formats.as_docling_document(pages, filename),
        "html": lambda: texts.html,
        "text": lambda: texts.text,
        "doctags": lambda: docling_formats.as_doctags(pages),
    }
    assert writers.keys() == set(get_args(Format))
    contents = {f"{name}_content": write() if name in form.to_formats else None for name, write in writers.items()}
    errors = [ConvertProblemBody(error_message=problem) for problem in _problems(result)]
    return ConvertBody(
        document=ConvertedBody.model_validate({"filename": filename} | contents),
        status="partial_success" if errors else "success",
        errors=errors,
        processing_time=round(took_s, 3),
        timings={},
    )


def _problems(result: DocumentResult) -> Iterator[str]:
    for page in result.pages:
        if page.error:
            yield f"page {page.page}: {page.error.code}"
    if result.unread:
        yield f"pages {ranges(result.unread)}: deadline_exceeded"
