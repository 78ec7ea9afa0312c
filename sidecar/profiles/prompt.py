"""The prompt of the model: the system prompt, and the fields to tag. Pure."""

import re
from collections.abc import Sequence

TRIGGER = "Extract all text from this page."
"""A user message must not be empty: Ollama takes an empty one as a request to load the model, and answers nothing."""
TAGS_HEAD = "Additionally:"
TAGS_TAIL = "If a field is not found, omit the tag."

_WORD_BORDER = re.compile(r"_+|(?<=[a-z0-9])(?=[A-Z])")


def user_text(tags: Sequence[str]) -> str:
    """Return the text sent with the page's picture: the instruction to read, and one line per tag."""
    if not tags:
        return TRIGGER
    wishes = (f"- Wrap the {readable_name(tag)} with <{tag}>...</{tag}>" for tag in tags)
    return "\n".join((TRIGGER, TAGS_HEAD, *wishes, TAGS_TAIL))


def readable_name(tag: str) -> str:
    """Spell a tag's name as words: ``documentNumber`` and ``document_number`` are "document number"."""
    return _WORD_BORDER.sub(" ", tag).strip().lower()


def messages(system_prompt: str | None, tags: Sequence[str], image_base64: str) -> list[dict[str, object]]:
    """Compose the messages of one page for Ollama's ``/api/chat``; without a system prompt the Modelfile's stands."""
    user: dict[str, object] = {"role": "user", "content": user_text(tags), "images": [image_base64]}
    return [{"role": "system", "content": system_prompt}, user] if system_prompt else [user]
