"""What a server of the OpenAI-compatible API is sent for a page. Pure."""

from collections.abc import Mapping
from enum import StrEnum

from sidecar.engines.servers.chat import PageCall
from sidecar.profiles import prompt


class ServerKind(StrEnum):
    """Servers that name a parameter differently, or differ in what they answer."""

    LLAMA_CPP = "llama.cpp"
    VLLM = "vllm"
    GENERIC = "generic"


PENALTY = {ServerKind.LLAMA_CPP: "repeat_penalty", ServerKind.VLLM: "repetition_penalty"}
"""The name of ``repeat_penalty``. Others have none: a field that they do not know passes in silence."""
COMMON = ("temperature", "top_p", "max_tokens", "seed", "stop")
CERTAINTY: Mapping[str, object] = {"logprobs": True, "top_logprobs": 1}
"""Asks for the probability of each token; llama.cpp's server would tell those of twenty others besides."""
NO_THINKING = {"chat_template_kwargs": {"enable_thinking": False}}
"""A page needs no thoughts. Servers of other kinds may refuse what they do not know."""


def parameters(wanted: Mapping[str, object], kind: ServerKind) -> dict[str, object]:
    """Return the parameters as this kind of server names them; what it has no name for is left out."""
    names = {name: name for name in COMMON}
    if kind in PENALTY:
        names["repeat_penalty"] = PENALTY[kind]
    return {names[name]: value for name, value in wanted.items() if name in names}


def left_out(wanted: Mapping[str, object], kind: ServerKind) -> tuple[str, ...]:
    """Name the parameters that this kind of server cannot be sent: its context is fixed when it starts."""
    takes = {*COMMON, *(["repeat_penalty"] if kind in PENALTY else [])}
    return tuple(name for name in wanted if name not in takes)


def compose(call: PageCall, kind: ServerKind) -> dict[str, object]:
    """Compose what is sent for one page, whose picture is a PNG: llama.cpp's server takes no WebP."""
    held_to = {"response_format": {"type": "json_object"}} if call.instructions.format else {}
    unthinking = NO_THINKING if kind in PENALTY else {}
    asked = prompt.messages(call.instructions, call.picture.png_base64, call.picture.anchors)
    request: dict[str, object] = {"model": call.instructions.model, "messages": [_message(one) for one in asked]}
    certainty = dict(CERTAINTY) if call.wants_certainty else {}
    return request | {"stream": True} | held_to | unthinking | certainty | dict(call.sent)


def authorization(key: str) -> dict[str, str]:
    """Return the header for a key, as its file has it.

    Raises:
        ValueError: it is none.
    """
    key = key.strip()
    if not key.isprintable() or not key or " " in key:
        raise ValueError("a key is one line without spaces")
    return {"Authorization": f"Bearer {key}"}


def _message(message: Mapping[str, object]) -> dict[str, object]:
    """Write a message with pictures in parts, the picture first; one without stays as it is."""
    images = message.get("images")
    if not isinstance(images, list):
        return dict(message)
    pictures = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}} for image in images]
    return {"role": message["role"], "content": [*pictures, {"type": "text", "text": message["content"]}]}
