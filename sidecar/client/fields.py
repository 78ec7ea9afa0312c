"""What a caller may say about how a document is read, and how it is written into a form. Pure.

The service checks the values; docs/api.md has their meaning.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from pydantic.alias_generators import to_camel


class ReadFields(TypedDict, total=False):
    """The fields of a request, in snake_case. One that is absent or None is not sent."""

    engine: str | None
    """``auto``, or the name of an engine."""
    pages: str | Iterable[int] | None
    """``"1-3,7"``, or numbers."""
    max_pages: int | None
    languages: str | Iterable[str] | None
    """``"tha+eng"``, or names."""
    profile: str | None
    active_profile: str | None
    deadline_seconds: float | None
    """The service's own deadline: what was read by then is the answer."""
    system_prompt: str | None
    user_prompt: str | None
    dms_tags: Mapping[str, Any] | list[str] | None
    runtime_params: Mapping[str, Any] | None
    temperature: float | None
    top_p: float | None
    repeat_penalty: float | None
    max_tokens: int | None
    verify: str | None
    """``"numbers"`` or ``"all"``: what of each page is held against another engine's reading; ``"none"``."""
    include: str | Iterable[str] | None
    """What the answer holds beside the text: ``"words"``, ``"blocks"``, ``"image"``, ``"receipt"``."""
    output: str | None
    """Of ``read_as`` alone: ``"text"``, ``"markdown"``, ``"html"``, ``"hocr"``, ``"alto"`` or ``"pdf"``."""
    keep_signature: bool | None
    """With ``output="pdf"``: refuse to add to a document whose signature would break."""


JSON = "json"

JOINED_BY = {"pages": ",", "languages": "+", "include": ","}


def render_fields(fields: ReadFields) -> dict[str, str]:
    """Render fields as a form has them.

    Raises:
        TypeError: there is no field of that name.
    """
    unknown = sorted(fields.keys() - ReadFields.__annotations__.keys())
    if unknown:
        raise TypeError(f"there is no field {unknown[0]!r}; there are {', '.join(ReadFields.__annotations__)}")
    return {to_camel(name): _render(name, value) for name, value in fields.items() if value is not None}


def render_json_fields(fields: ReadFields) -> dict[str, str]:
    """Render fields of a request whose answer is JSON.

    Raises:
        TypeError: there is no field of that name, or ``output`` names another format.
    """
    if fields.get("output") not in {None, JSON}:
        raise TypeError(f"output is {fields.get('output')!r}: read_as gives other formats than json")
    return render_fields(fields)


def render_other_fields(fields: ReadFields) -> dict[str, str]:
    """Render fields of a request whose answer is a file.

    Raises:
        TypeError: there is no field of that name, or ``output`` names no format other than JSON.
    """
    form = render_fields(fields)
    if form.get("output", JSON) == JSON:
        raise TypeError("read_as needs an output that is not json")
    return form


def _render(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if name in JOINED_BY and isinstance(value, Iterable):
        return JOINED_BY[name].join(map(str, value))
    return json.dumps(value, ensure_ascii=False)
