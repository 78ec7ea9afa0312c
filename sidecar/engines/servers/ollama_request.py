"""What Ollama is sent for a page. Pure."""

from collections.abc import Mapping

from sidecar.engines.servers.chat import PageCall
from sidecar.profiles import prompt

OPTION_NAMES = {"max_tokens": "num_predict"}
"""Ollama's name of a parameter, where it differs from ours."""


def options(wanted: Mapping[str, object]) -> dict[str, object]:
    """Return Ollama's options: only what was set, under Ollama's names."""
    return {OPTION_NAMES.get(name, name): value for name, value in wanted.items()}


def compose(call: PageCall) -> dict[str, object]:
    """Compose what Ollama is sent for one page; without ``format`` it answers in any form."""
    held_to = {"format": call.instructions.format} if call.instructions.format else {}
    certainty = {"logprobs": True} if call.wants_certainty else {}
    return (
        held_to
        | certainty
        | {
            "model": call.instructions.model,
            "messages": prompt.messages(call.instructions, call.picture.png_base64, call.picture.anchors),
            "stream": True,
            "keep_alive": call.keep_alive_s,
            "options": call.sent,
            "think": False,
            "truncate": False,
            "shift": False,
        }
    )
