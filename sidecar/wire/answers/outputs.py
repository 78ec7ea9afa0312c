"""In which format an answer is wanted: by the field ``output``, or by ``Accept`` as RFC 9110 has it, 12.5.1. Pure."""

from collections.abc import Iterator
from typing import TypeVar

from sidecar.errors import InvalidValueError
from sidecar.outputs.formats import MEDIA_TYPES, Output
from sidecar.wire.common import NDJSON
from sidecar.wire.ocr import ReadRequest

OFFERED = (NDJSON, *MEDIA_TYPES.values())
"""In the order in which they are taken where a caller wants several alike."""
ANYTHING = ("*/*", "*")
MAX_RANGES = 100
"""Most ranges of an Accept that are looked at."""


R = TypeVar("R", bound=ReadRequest)


def with_output(asked: R, accept: str) -> R:
    """Return a request with the format that is wanted: the field decides, without it the header.

    A header that names nothing of what there is means JSON, as it always has.

    Raises:
        InvalidValueError: the header wants a stream, or ``include`` something, and the format has no place for it.
    """
    best = preferred(accept)
    output = asked.output or next((one for one, name in MEDIA_TYPES.items() if name == best), Output.JSON)
    if output is not Output.JSON and best == NDJSON:
        raise InvalidValueError(f"output is {output}, which is not streamed: Accept must not be {NDJSON}")
    if output is not Output.JSON and asked.include:
        raise InvalidValueError(f"output is {output}, include is accepted with json alone")
    return asked.model_copy(update={"output": output})


def wants_stream(accept: str) -> bool:
    """Return whether a header wants an answer line by line."""
    return preferred(accept) == NDJSON


def preferred(accept: str) -> str | None:
    """Return the media type that a header wants most; None where it names nothing that is offered, which means JSON.

    So it is where the header takes anything, as the headers of browsers and of Java's client do: they name types that
    their callers never thought of. Only a stream is then wanted all the same.
    """
    ranges = list(_ranges(accept))
    named = [(-quality, OFFERED.index(name), name) for name, quality in ranges if name in OFFERED and quality]
    wanted = min(named, default=(0.0, 0, None))[2]
    takes_anything = any(name in ANYTHING and quality for name, quality in ranges)
    return None if takes_anything and wanted != NDJSON else wanted


def _ranges(accept: str) -> Iterator[tuple[str, float]]:
    for one in accept.split(",")[:MAX_RANGES]:
        name, *parameters = (part.strip().lower() for part in one.split(";"))
        yield name, next((_quality(part[2:]) for part in parameters if part.startswith("q=")), 1.0)


def _quality(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 <= value <= 1 else 0.0
