"""A caller's JSON, parsed in one way wherever it stands in a request."""

import gc
import json
from typing import Any

import orjson

from sidecar.errors import MalformedBodyError
from sidecar.wire.json_size import check_size


def parse_object(body: bytes | bytearray) -> dict[str, Any]:
    """Parse a body that is a JSON object.

    Raises:
        MalformedBodyError: it is not JSON, or no object.
        InvalidValueError: it holds too many values; see :func:`parse_json`.
    """
    try:
        values = parse_json(bytes(body))
    except ValueError as exc:
        raise MalformedBodyError("the body is not JSON") from exc
    if not isinstance(values, dict):
        raise MalformedBodyError("the body must be a JSON object")
    return values


def parse_json(text: bytes) -> object:
    """Parse without the garbage collector: traversing millions of lists repeatedly would take seconds.

    Parsed JSON has no cycles, so there is nothing to collect; and what the collector calls would fail in the depth of
    nested lists.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
        InvalidValueError: in another encoding than UTF-8 it holds too many values.
    """
    gc.disable()
    try:
        return _parse(text)
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc
    finally:
        gc.enable()


def _parse(text: bytes) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass  # it refuses half surrogate pairs; the standard library accepts them, so that the field can be named
    decoded = text.decode(json.detect_encoding(text), "surrogatepass")  # it accepts UTF-16, too
    check_size(decoded.encode("utf-8", "surrogatepass"))
    return json.loads(decoded)
