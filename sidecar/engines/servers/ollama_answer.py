"""What Ollama answers: the lines of a stream, its lists of models, its errors. Pure."""

import json
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from sidecar.engines.answers import model_answer
from sidecar.engines.servers.chat import Piece, sure_of
from sidecar.errors import EngineFailedError
from sidecar.gpu.vram import ResidentModel

MIB = 1024 * 1024
STRANGE = "the model server's answer is not what Ollama answers"


def parse_line(line: bytes) -> Piece:
    """Parse a line of the stream.

    Raises:
        ValueError: it is not one of Ollama's lines.
    """
    said = json.loads(line)
    if not isinstance(said, dict):
        raise ValueError("a line must be an object")  # noqa: TRY004 - as json raises for what is no JSON
    if "error" in said:
        return Piece(error=str(said["error"]))
    message = said.get("message")
    message = message if isinstance(message, dict) else {}
    done_reason = str(said.get("done_reason") or model_answer.CUT) if said.get("done") is True else None
    told = sure_of(said.get("logprobs"))
    return Piece(text_of(message, "content"), text_of(message, "thinking"), done_reason, sure_of=told)


def error_of(body: bytes) -> str | None:
    """Return the error text of a refusal; None if it has none."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return str(answer["error"]) if isinstance(answer, dict) and "error" in answer else None


def text_of(message: Mapping[str, object], name: str) -> str:
    """Return a text of an answer; empty where it is none."""
    text = message.get(name)
    return text if isinstance(text, str) else ""


def list_of(answer: object, key: str, strange: str = STRANGE) -> list[dict[str, Any]]:
    """Return the objects of a list in an answer.

    Raises:
        EngineFailedError: there is no such list.
    """
    found = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise EngineFailedError(strange)
    return found


def resident(model: Mapping[str, Any], date: str) -> ResidentModel:
    """Read a model of ``/api/ps``; ``date`` is the server's own time, as HTTP writes it.

    Raises:
        EngineFailedError: what it holds is no number of bytes.
    """
    size_vram, context = model.get("size_vram") or 0, model.get("context_length")
    if not isinstance(size_vram, int) or size_vram < 0:
        raise EngineFailedError(STRANGE)
    expires_at = text_of(model, "expires_at")
    return ResidentModel(
        str(model.get("name") or model.get("model")),
        size_vram // MIB,
        context if isinstance(context, int) else 0,
        expires_at,
        _remaining_s(expires_at, date),
    )


def _remaining_s(expires_at: str, date: str) -> float | None:
    """Return the seconds from the server's time to a time of its own, where both can be read: our clock may differ."""
    try:
        expires = datetime.fromisoformat(expires_at)
        return (expires - parsedate_to_datetime(date)).total_seconds()
    except (ValueError, TypeError):  # a time without its zone is no use either
        return None
