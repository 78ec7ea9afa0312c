"""Parses the JSON bodies of requests to embed and rerank: limits, spelling, unknown fields, sentences for errors. Pure.

No text of a caller is quoted in an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from sidecar.errors import InvalidValueError
from sidecar.profiles.payload import NO_BOOL
from sidecar.validation import explain, explain_all
from sidecar.wire.common import MAX_NAME_CHARS, SHOWN_VALUE_CHARS, fold_names, is_text, refuse_keep_alive
from sidecar.wire.json_size import check_size
from sidecar.wire.json_text import parse_object

Text = Annotated[str, Field(min_length=1)]
TopCount = Annotated[int, Field(ge=0), NO_BOOL]
"""Answer with the best so many; 0 is all, as clients in typed languages write what is not set."""
MAX_FIELDS = 32
"""Most fields of a body or of an object in it; the conventions know fewer than half as many."""
MODEL = "Which model, by its name in `/v1/models`; without `RETRIEVAL_MODELS` taken and ignored."
IDS_REFUSED = (
    "token ids are not taken, only texts: ids of another tokenizer would give wrong vectors; LangChain's "
    "OpenAIEmbeddings sends texts with check_embedding_ctx_length=False"
)


class Form(BaseModel):
    """A request in somebody's convention: snake_case; unknown fields are ignored, and named in a header.

    ``mark``: the field that tells it from the other forms that its route takes.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    mark: ClassVar[str] = ""


class OwnForm(Form):
    """A request in our own convention: camelCase or snake_case."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A request, and the names of its fields that nobody knows here."""

    asked: Form
    ignored: tuple[str, ...]


F = TypeVar("F", bound=Form)


def parse(form: type[F], body: bytes, max_items: int) -> F:
    """Parse a body of one form; as :func:`parse_any`."""
    asked = parse_any([form], body, max_items).asked
    assert isinstance(asked, form)
    return asked


def parse_any(forms: Sequence[type[Form]], body: bytes, max_items: int) -> Parsed:
    """Parse a body in the one of several forms that its fields tell; the first is meant if none does.

    Raises:
        MalformedBodyError: it is not a JSON object.
        InvalidValueError: a value outside its range, more texts than the limit, two forms in one, or too many values.
    """
    check_size(body)
    values = parse_object(body)
    _refuse_token_ids(values)
    objects = _small_objects(values, max_items)
    refuse_keep_alive([_names(one) for one in objects])
    values = {name: value for name, value in values.items() if value is not None}  # null means not set
    form = _form_of(forms, values)
    values = fold_names(values) if issubclass(form, OwnForm) else values
    known = {name: value for name, value in values.items() if name in form.model_fields}
    for name, value in known.items():
        _check_texts(name, value)
    try:
        return Parsed(form.model_validate(known), tuple(name for name in values if name not in known))
    except ValidationError as exc:
        raise InvalidValueError(explain_all(exc, _explain)) from None


def _form_of(forms: Sequence[type[Form]], values: dict[str, Any]) -> type[Form]:
    marked = [form for form in forms if form.mark and form.mark in values]
    if len(marked) > 1:
        raise InvalidValueError(f"{' or '.join(form.mark for form in marked)} is accepted, and not both")
    return marked[0] if marked else forms[0]


def _refuse_token_ids(values: dict[str, Any]) -> None:
    """Refuse what LangChain's and others' clients make of texts with a tokenizer that is not this model's."""
    for name in ("input", "inputs"):
        match values.get(name):
            case [int() | float() | [int(), *_], *_]:
                raise InvalidValueError(f"{name} is not accepted: {IDS_REFUSED}")


def _small_objects(values: dict[str, Any], max_items: int) -> list[dict[str, Any]]:
    """Return the body's object, those directly below it and those in its lists; deeper ones are not used.

    Refuse what would take long to check, by its size alone: the event loop checks it, and serves others, too.
    """
    if len(values) > MAX_FIELDS:
        raise InvalidValueError(f"the body has {len(values)} fields, the limit is {MAX_FIELDS}")
    objects = [values]
    for name, value in values.items():
        if isinstance(value, list) and len(value) > max_items:
            raise InvalidValueError(f"{name[:SHOWN_VALUE_CHARS]} has {len(value)} items, the limit is {max_items}")
        objects += [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]
        if len(objects) > max_items + MAX_FIELDS:
            raise InvalidValueError(f"the body has more objects than {max_items}, which is the limit")
    if (most := max(map(len, objects))) > MAX_FIELDS:
        raise InvalidValueError(f"an object in the body has {most} fields, the limit is {MAX_FIELDS}")
    return objects


def _names(values: dict[str, Any]) -> dict[str, None]:
    return dict.fromkeys(name[:MAX_NAME_CHARS] for name in values)


def _check_texts(name: str, value: object) -> None:
    """Refuse what is not text, before pydantic would quote it. No text is nested deeper."""
    if not isinstance(value, list):
        _check_text(name, value)
        return
    for place, one in enumerate(value):
        _check_text(f"{name}.{place}", one.get("text") if isinstance(one, dict) else one)


def _check_text(name: str, value: object) -> None:
    if isinstance(value, str) and not is_text(value):
        raise InvalidValueError(f"{name[:SHOWN_VALUE_CHARS]} is not Unicode text")


def _explain(problem: ErrorDetails) -> str:
    name = ".".join(str(part) for part in problem["loc"] if not _is_variant(str(part)))[:SHOWN_VALUE_CHARS]
    match problem["type"]:
        case "string_too_short":
            return f"{name} is empty, a text is accepted"
        case "too_short":
            return f"{name} is empty, at least one text is accepted"
    shown = problem["input"]
    if isinstance(shown, str | list | dict):
        return explain(problem, name, " is not accepted")
    return explain(problem, name, f" is {str(shown)[:SHOWN_VALUE_CHARS]}, accepted")


def _is_variant(part: str) -> bool:
    """Return whether it is pydantic's name for a union's member in an error's location, not a field."""
    return part in {"str", "bool", "RerankDocument"} or part.startswith(("constrained-", "list["))
