"""Shared by all bodies on the wire: spelling, limits, the shape of errors, refusal of keep_alive. Pure."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel, to_snake

from sidecar.errors import (
    InvalidValueError,
    KeepAliveRefusedError,
)

JSON = "application/json"
NDJSON = "application/x-ndjson"
CONVENTION_PATHS = ("/v1/", "/v2/", "/embeddings", "/models", "/score", "/info")
"""How the paths begin whose clients (OpenAI's, Cohere's) show only the field ``error`` of an error."""
IGNORED_HEADER = "X-Ignored-Fields"
"""Names what of a request in somebody else's convention means nothing here."""
WARNINGS_HEADER = "X-Ocr-Warnings"
"""The warnings of a document, where the body has no room for them, and in dialects always."""
OWNER = "ocr-sidecar"
"""How this service calls itself, without a version."""
MAX_NAME_CHARS = 100
"""Longest name of a field that is respelt or shown."""
MAX_NAMES_CHARS = 2000
"""Longest list of names in a header: many proxies take 4 kB of headers altogether."""
MAX_FILENAME_CHARS = 255
"""As most file systems have it."""
SHOWN_VALUE_CHARS = 80
Box = Annotated[list[float], Field(min_length=4, max_length=4)]
"""Left, top, right and bottom edge in points, from the top left corner of the page as it is shown. No tuple: clients
that are made from the schema by openapi-fetch do not compile with one."""


class Wire(BaseModel):
    """Shared by all: camelCase outside, snake_case inside, nothing unknown."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


def refuse_keep_alive(request: object) -> None:
    """Refuse keep_alive in any spelling and at any depth: only the residency policy decides it."""
    todo: list[object] = [request]
    while todo:
        value = todo.pop()
        if isinstance(value, Mapping):
            for name in value:
                _refuse_name(str(name))
            todo.extend(value.values())
        elif isinstance(value, list):
            todo.extend(value)


def _refuse_name(name: str) -> None:
    if "keepalive" in re.sub(r"[^a-z]", "", name.lower()):
        raise KeepAliveRefusedError(
            f"{name[:SHOWN_VALUE_CHARS]} is refused: how long a model stays loaded is decided by the residency policy"
        )


def fold_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert field names to snake_case; refuse one that is given in both spellings."""
    folded: dict[str, Any] = {}
    for name, value in values.items():
        if not is_text(name):
            raise InvalidValueError("the name of a field is not Unicode text")
        # No field has so long a name; respelling it would take time that grows with its square.
        snake = to_snake(name) if len(name) <= MAX_NAME_CHARS else name
        if snake in folded:
            raise InvalidValueError(f"{to_camel(snake)} is given twice, in both spellings")
        folded[snake] = value
    return folded


def is_text(value: str) -> bool:
    """Return whether a string is Unicode text; JSON and headers can contain half a surrogate pair."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def names_in_header(names: Iterable[str]) -> str:
    """Return names that a caller wrote as the value of a header: visible ASCII, with commas between them.

    Where they are too many for a header, which proxies and clients bound, the first ones, and "...".
    """
    shown = ", ".join(re.sub(r"[^!-+\--~]", "?", name[:MAX_NAME_CHARS]) or "?" for name in names)
    return shown if len(shown) <= MAX_NAMES_CHARS else shown[:MAX_NAMES_CHARS].rpartition(", ")[0] + ", ..."


def shown_name(name: str) -> str:
    """Return the name of a caller's file, without what cannot be shown."""
    return "".join(char if char.isprintable() else "?" for char in name[:MAX_FILENAME_CHARS])


class ErrorObject(BaseModel):
    """An error as OpenAI's clients show it."""

    message: str
    type: str
    code: str


class ErrorBody(Wire):
    """Every error, whatever its status."""

    detail: str
    code: str
    request_id: str


class ProblemBody(BaseModel):
    """What is wrong with a request, as FastAPI's services write it."""

    loc: list[str]
    msg: str
    type: str = Field(description="The code.")


class ConventionErrorBody(ErrorBody):
    """The same on the routes of OpenAI and Cohere, whose clients show nothing but ``error``."""

    error: ErrorObject


class ListedErrorBody(Wire):
    """The same with 422 where clients read it as FastAPI's services write it, and fail over a `detail` that is text."""

    detail: list[ProblemBody]
    code: str
    request_id: str
    error: ErrorObject


def error_body(status: int, code: str, detail: str, request_id: str) -> ConventionErrorBody:
    """Return an error as the clients of OpenAI and Cohere want it."""
    error = ErrorObject(message=detail, type=error_type(status), code=code)
    return ConventionErrorBody(detail=detail, code=code, request_id=request_id, error=error)


def listed(body: ConventionErrorBody) -> ListedErrorBody:
    """Return the same error with its detail in a list."""
    problem = ProblemBody(loc=["body"], msg=body.detail, type=body.code)
    return ListedErrorBody(detail=[problem], code=body.code, request_id=body.request_id, error=body.error)


def error_type(status: int) -> str:
    """Return OpenAI's word for a kind of error."""
    match status:
        case 401 | 403:
            return "authentication_error"
        case 429:
            return "rate_limit_error"
    return "invalid_request_error" if status < 500 else "server_error"


def render(body: BaseModel) -> bytes:
    """Render one body as UTF-8 JSON."""
    return body.model_dump_json(by_alias=True).encode()
