"""Mistral's OCR: a document as data URI or by a file's id, pages from 0, an answer with a page's Markdown. Pure.

Source: docs.mistral.ai, `POST /v1/ocr` and `POST /v1/files`, and the client `mistralai` 3.7.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from sidecar.errors import InvalidValueError
from sidecar.ocr.job import DocumentResult
from sidecar.profiles.payload import NO_BOOL
from sidecar.validation import explain, explain_all
from sidecar.wire.common import SHOWN_VALUE_CHARS, refuse_keep_alive
from sidecar.wire.dialects.data_uri import PLACEHOLDER
from sidecar.wire.json_text import parse_object

FILE_URL = "ocr-sidecar://files/"
"""How a URL begins that this service gave for a file; nothing is fetched from it."""
OCR = "ocr"
PageIndex = Annotated[int, Field(ge=0), NO_BOOL]
NOT_FETCHED = (
    "is a URL, and nothing is fetched here: send the document as data:…;base64,…, or upload it to /v1/files and send "
    "what /v1/files/{id}/url gives"
)


# ── requests ──────────────────────────────────────────────────────────────────────────────────────────────────────


class _Asked(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class ImageUrl(_Asked):
    """An image's URL as an object."""

    url: str


class OcrDocument(_Asked):
    """Where the document is: exactly one of three."""

    type: str | None = None
    document_url: str | None = Field(None, description="A data URI in base64, or the URL that was given for a file.")
    image_url: str | ImageUrl | None = Field(None, description="Likewise.")
    file_id: str | None = Field(None, description="The id of a file that was uploaded.")
    document_name: str | None = None

    @property
    def sources(self) -> list[tuple[str, str]]:
        """What is given of the three, by name."""
        image = self.image_url.url if isinstance(self.image_url, ImageUrl) else self.image_url
        given = {"document_url": self.document_url, "image_url": image, "file_id": self.file_id}
        return [(name, value) for name, value in given.items() if value is not None]


class OcrRequest(_Asked):
    """Body of `POST /v1/ocr`."""

    document: OcrDocument
    model: str | None = Field(None, description="Taken and ignored; the answer names what read.")
    id: str | None = Field(None, description="Taken and ignored.")
    pages: str | list[PageIndex] | None = Field(None, description="Pages from 0: a list, or text such as `0,2-4`.")


class FileRequest(BaseModel):
    """Body of `POST /v1/files`, a form."""

    file: bytes
    purpose: Literal["ocr"] = "ocr"


@dataclass(frozen=True, slots=True)
class OcrOrder:
    """What is asked: of the data URI in the body, or of a file; ``pages`` as `/ocr-upload` takes them."""

    file_id: str | None
    pages: str | None
    ignored: tuple[str, ...]


def parse_ocr(skeleton: bytes | bytearray, *, has_document: bool) -> OcrOrder:
    """Parse a body whose data URI was taken out, if it had one.

    Raises:
        MalformedBodyError: it is not a JSON object.
        InvalidValueError: not one document, a URL that would have to be fetched, or no list of pages.
    """
    values = parse_object(skeleton)
    refuse_keep_alive(values)
    try:
        asked = OcrRequest.model_validate(values)
    except ValidationError as exc:
        raise InvalidValueError(explain_all(exc, _explain)) from None
    file_id = _source(asked.document, has_document=has_document)
    return OcrOrder(file_id, _pages(asked.pages), _ignored(values, asked))


def _source(document: OcrDocument, *, has_document: bool) -> str | None:
    """Return the id of the file that is meant; None: the data URI."""
    if len(document.sources) != 1:
        raise InvalidValueError("document needs one of document_url, image_url and file_id")
    ((name, value),) = document.sources
    if name == "file_id":
        return value
    if value.startswith(FILE_URL):
        return value.removeprefix(FILE_URL)
    if value == PLACEHOLDER and has_document:
        return None
    if value[:5].lower() == "data:":
        raise InvalidValueError(f"document.{name} is a data URI whose first letters are escaped, which is not accepted")
    raise InvalidValueError(f"document.{name} {NOT_FETCHED}")


def _pages(given: str | list[int] | None) -> str | None:
    """Count from 1 instead of from 0; a list becomes the ranges in it."""
    if isinstance(given, str):
        return ",".join("-".join(_one_more(end) for end in part.split("-")) for part in given.split(","))
    return ranges(number + 1 for number in given) if given else None


def _one_more(number: str) -> str:
    digits = number.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 6):
        raise InvalidValueError(f"pages holds {digits[:40]!r}, accepted are numbers from 0 and ranges such as 0,2-4")
    return str(int(digits) + 1)


def ranges(numbers: Iterable[int]) -> str:
    """Write page numbers as ranges, such as ``1-3,7``."""
    found: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in found)


def _ignored(values: Mapping[str, Any], asked: BaseModel) -> tuple[str, ...]:
    """Name the options that are set and mean nothing here."""
    return tuple(name for name, value in values.items() if value and name not in type(asked).model_fields)


def _explain(problem: ErrorDetails) -> str:
    name = ".".join(str(part) for part in problem["loc"])[:SHOWN_VALUE_CHARS]
    return explain(problem, name, f" is {str(problem['input'])[:SHOWN_VALUE_CHARS]!r}, accepted")


def check_purpose(purposes: list[str]) -> None:
    """Refuse a file for anything but OCR.

    Raises:
        InvalidValueError: it is for something else.
    """
    if other := [one for one in purposes if one != OCR]:
        raise InvalidValueError(f"purpose is {other[0][:SHOWN_VALUE_CHARS]!r}, accepted is {OCR}")


# ── responses ─────────────────────────────────────────────────────────────────────────────────────────────────────


class OcrPageBody(BaseModel):
    """One page."""

    index: int = Field(description="Its number, from 0.")
    markdown: str = Field(description="Its text; empty if it could not be read.")
    images: list[Any] = Field(default=[], description="Always empty: none are cut out.")
    dimensions: None = Field(default=None, description="Always null.")


class UsageInfoBody(BaseModel):
    """What was done."""

    pages_processed: int = Field(description="Pages that were read.")
    doc_size_bytes: int


class OcrBody(BaseModel):
    """Answer of `POST /v1/ocr`."""

    pages: list[OcrPageBody] = Field(description="The pages that were read, in page order.")
    model: str = Field(description="As `modelUsed` of `/ocr-upload`; `fast-path` if no engine was called.")
    document_annotation: None = Field(default=None, description="Always null.")
    usage_info: UsageInfoBody


def render_ocr(result: DocumentResult, markdown: Sequence[str], size_bytes: int) -> OcrBody:
    """Render what was read of a document with so many bytes; ``markdown`` is each page's."""
    return OcrBody(
        pages=[
            OcrPageBody(index=page.page - 1, markdown=text) for page, text in zip(result.pages, markdown, strict=True)
        ],
        model=result.model.model.name if result.model else result.engine_used,
        usage_info=UsageInfoBody(pages_processed=len(result.pages), doc_size_bytes=size_bytes),
    )


class FileBody(BaseModel):
    """Answer of `POST /v1/files`."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int = Field(description="Seconds since 1970.")
    expires_at: int = Field(description="When the file is removed, likewise: `OCR_FILE_SECONDS` later.")
    filename: str
    purpose: Literal["ocr"] = "ocr"
    sample_type: Literal["ocr_input"] = "ocr_input"
    source: Literal["upload"] = "upload"


class FileUrlBody(BaseModel):
    """Answer of `GET /v1/files/{id}/url`."""

    url: str = Field(description="What `document_url` accepts; it leads nowhere else.")


class FileDeletedBody(BaseModel):
    """Answer of `DELETE /v1/files/{id}`."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True
