"""What a server of the OpenAI-compatible API answers: events of a stream, the list of models, errors. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sidecar.engines.answers.model_answer import STOP
from sidecar.engines.servers.chat import Piece, sure_of
from sidecar.engines.servers.ollama_answer import text_of
from sidecar.engines.servers.openai_request import ServerKind

STRANGE = "the model server's answer is not what the OpenAI API answers"
DONE = b"[DONE]"
STOPS = dict.fromkeys(("eos_token", "stop_sequence"), STOP)
"""How older text-generation-inference says that the model stopped by itself."""
OWNERS = {"llamacpp": ServerKind.LLAMA_CPP, "vllm": ServerKind.VLLM}
"""What these servers write into ``owned_by`` of each model."""


def parse_line(line: bytes) -> Piece | None:
    """Parse a line of a stream of server-sent events; None where it says nothing of the page.

    Nothing are comments, names of events, and an event without a choice, which has the usage.

    Raises:
        ValueError: it is no such line, as HTML is not, or not one of this API.
    """
    field, colon, value = line.strip().partition(b":")
    if field != b"data":
        if colon and field in (b"", b"event", b"id", b"retry"):
            return None
        if field == b"error":  # as llama.cpp's server said it until 2025
            return Piece(error=value.decode(errors="replace"))
        return _error_alone(line)
    if value.strip() == DONE:
        return Piece(is_end=True)
    return _parse_event(json.loads(value))


def _error_alone(line: bytes) -> Piece:
    """Parse a line that is no event: an error may be the whole answer, with status 200."""
    said = json.loads(line)
    if isinstance(said, dict) and said.get("error"):
        return Piece(error=_words(said))
    raise ValueError("a line of a stream must be an event")


def _parse_event(said: object) -> Piece | None:
    if not isinstance(said, dict):
        raise ValueError("an event must be an object")  # noqa: TRY004 - as json raises for what is no JSON
    if said.get("error"):
        return Piece(error=_words(said))
    choices = said.get("choices")
    if not isinstance(choices, list):
        raise ValueError("an event must have choices")  # noqa: TRY004 - likewise
    if not choices or not isinstance(choices[0], dict):
        return None
    delta = choices[0].get("delta")
    delta = delta if isinstance(delta, dict) else {}
    thinking = text_of(delta, "reasoning_content") or text_of(delta, "reasoning")
    logprobs = choices[0].get("logprobs")
    told = sure_of(logprobs.get("content")) if isinstance(logprobs, dict) else ()
    return Piece(text_of(delta, "content"), thinking, _done_reason(choices[0]), sure_of=told)


def _done_reason(choice: Mapping[str, Any]) -> str | None:
    said = text_of(choice, "finish_reason")
    return STOPS.get(said, said) or None


def error_of(body: bytes) -> str | None:
    """Return what a refusal says, with its figures, as JSON; None if it is none of this API's."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    is_error = isinstance(answer, dict) and (answer.get("error") or answer.get("object") == "error")
    return _words(answer) if is_error else None


def _words(answer: Mapping[str, Any]) -> str:
    error = answer.get("error") or answer
    return error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)


def kind_of(models: Sequence[Mapping[str, Any]]) -> ServerKind:
    """Tell which server lists these models."""
    owners = [OWNERS.get(str(one.get("owned_by"))) for one in models]
    return next((kind for kind in owners if kind), ServerKind.GENERIC)
