"""The prompt of the model: system prompt, user prompt, fields to tag, and the anchors of the page's text. Pure."""

import hashlib
import json
import re
from collections.abc import Sequence

from sidecar.profiles.precedence import Instructions

TRIGGER = "Extract all text from this page."
"""A user message must not be empty: Ollama takes an empty one as a request to load the model, and answers nothing."""
TAGS_HEAD = "Additionally:"
TAGS_TAIL = "If a field is not found, omit the tag."

_WORD_BORDER = re.compile(r"_+|(?<=[a-z0-9])(?=[A-Z])")


ANCHORS = re.compile(r"(RAW_TEXT_START)\s*(RAW_TEXT_END)")
"""Where a user prompt wants the page's size and text layer, as the prompts that Typhoon OCR was trained with do."""


def wants_anchors(user_prompt: str | None) -> bool:
    """Return whether a user prompt has a place for the anchors of the page's text."""
    return ANCHORS.search(user_prompt or "") is not None


def tags_text(tags: Sequence[str]) -> str:
    """Return the instruction to tag fields: one line per tag; empty if there are none."""
    if not tags:
        return ""
    wishes = (f"- Wrap the {readable_name(tag)} with <{tag}>...</{tag}>" for tag in tags)
    return "\n".join((TAGS_HEAD, *wishes, TAGS_TAIL))


def readable_name(tag: str) -> str:
    """Spell a tag's name as words: ``documentNumber`` and ``document_number`` are "document number"."""
    return _WORD_BORDER.sub(" ", tag).strip().lower()


def messages(instructions: Instructions, image_base64: str, anchors: str = "") -> list[dict[str, object]]:
    """Compose the messages of one page for Ollama's ``/api/chat``.

    The instruction to tag fields ends the system prompt. Where there is none, it ends the user prompt: a system message
    of its own would replace that of the model's file.
    """
    tags = tags_text(instructions.tags)
    asked = ANCHORS.sub(lambda marks: f"{marks[1]}\n{anchors}\n{marks[2]}", instructions.user_prompt or TRIGGER)
    if not instructions.system_prompt:
        return [_user("\n".join(filter(None, (asked, tags))), image_base64)]
    system = "\n".join(filter(None, (instructions.system_prompt, tags)))
    return [{"role": "system", "content": system}, _user(asked, image_base64)]


def texts(instructions: Instructions) -> list[str]:
    """List the texts of a page's messages, without what belongs to the page itself."""
    return [str(message["content"]) for message in messages(instructions, "")]


def digest(instructions: Instructions) -> str:
    """Return the SHA-256 of a page's messages, in hex, without what belongs to the page itself."""
    said = [[str(one["role"]), str(one["content"])] for one in messages(instructions, "")]
    return hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest()


def _user(text: str, image_base64: str) -> dict[str, object]:
    return {"role": "user", "content": text, "images": [image_base64]}
