"""What a knock at a port of a sidecar found, and whether an answer is that of our service. Pure.

A connection that is accepted tells nothing: in a mesh a proxy accepts every one, whoever may pass. Only an answer
tells who is behind the door.
"""

import json
from collections.abc import Mapping
from enum import Enum, auto

from controller import names
from controller.resource.sidecar_pod import parse_loaded

SERVICE = "ocr-sidecar"
"""The sidecar's name in the header ``Server``. A proxy may put its own there, so the body counts, too."""


class Door(Enum):
    """What a knock found."""

    SHUT = auto()
    """No connection: refused, unreachable, or no answer to its first packet."""
    OURS = auto()
    """The service answered."""
    OTHER = auto()
    """Something accepted the connection, and it was not the service that answered, or nobody did before it ended."""
    SILENT = auto()
    """Something accepted the connection, and said nothing in time. It may be the service."""


def is_api_answer(headers: Mapping[str, str], content: bytes, request_id: str) -> bool:
    """Return whether an answer to ``GET /health`` is that of a sidecar's API, ready or not.

    Args:
        headers: of the answer, names in any case.
        content: its body.
        request_id: what was sent as ``X-Request-Id``; the sidecar's errors name it.
    """
    if headers.get("Server") == SERVICE:
        return True
    body = _json_object(content)
    is_health = body.get("engine") == names.OCR_MODEL and "ocrEngine" in body
    return is_health or body.get("requestId") == request_id


def is_ops_answer(content: bytes) -> bool:
    """Return whether an answer to ``GET /profiles`` is that of a sidecar's ops port."""
    return parse_loaded(content) is not None


def _json_object(content: bytes) -> Mapping[str, object]:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}
