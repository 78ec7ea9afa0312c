"""What a model's answer to one page is worth: its text, and the verdict on it. Pure."""

import json
import re
from dataclasses import dataclass

from sidecar.ocr.engine import PageVerdict

INNER_TEXT = "natural_text"
STOP, LENGTH = "stop", "length"
"""How a stream ended, in Ollama's words."""
CUT, LOOP, DEADLINE, BROKEN, TOO_LONG = "cut", "loop", "deadline", "error", "too-long"
"""Likewise, in ours, for ends that Ollama does not tell."""

_JSON_START = re.compile(r'(?:```(?:json)?\s*)?(?=\{\s*(?:$|"[^"\n]{0,64}(?:$|"\s*(?::|$))))')
"""An object with its first key, or as much of that as came."""
_INNER = re.compile(rf'"{INNER_TEXT}"\s*:\s*"((?:[^"\\]|\\u[0-9a-fA-F]{{4}}|\\[^u])*)', re.DOTALL)
"""The inner text as it is written in JSON, as far as it came: half an escape at its end is left out."""
_HALF_A_PAIR = re.compile("[\ud800-\udbff]$")
_DECODER = json.JSONDecoder(strict=False)  # models write line breaks into strings as they are


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """One page's text as far as it came, and what is thought of it."""

    text: str
    verdict: PageVerdict
    done_reason: str


def judge(content: str, done_reason: str) -> ModelAnswer:
    """Take the text out of what the model streamed, and judge it: only a stream that stopped by itself is good."""
    text, whole = inner_text(_unicode(content))
    if done_reason == LOOP:
        return ModelAnswer(text, PageVerdict.LOOPED, done_reason)
    if done_reason != STOP:
        return ModelAnswer(text, PageVerdict.TRUNCATED, done_reason)
    if not whole:
        return ModelAnswer(text, PageVerdict.TRUNCATED, CUT)
    return ModelAnswer(text, PageVerdict.GOOD if text.strip() else PageVerdict.EMPTY, done_reason)


def inner_text(content: str) -> tuple[str, bool]:
    """Take the text out of ``{"natural_text": "…"}``; also tell whether the JSON, if it is such, is whole.

    Models that were asked for text may answer so. JSON of any other shape is left as it is: a prompt may ask for it.
    """
    start = _JSON_START.match(content.lstrip())
    if not start:
        return content, True
    body = content.lstrip()[start.end() :]
    try:
        answer, _ = _DECODER.raw_decode(body)  # a remark behind it is not the page's
    except (ValueError, RecursionError):
        return _inner_as_far_as_it_came(body, content), False
    inner = answer.get(INNER_TEXT, content)
    if inner is None:
        return "", True  # how a model says that there is no text
    return _unicode(inner) if isinstance(inner, str) else content, True


def _inner_as_far_as_it_came(body: str, otherwise: str) -> str:
    inner = _INNER.search(body)
    if not inner:
        return otherwise
    try:
        return _unicode(_HALF_A_PAIR.sub("", str(_DECODER.decode(f'"{inner[1]}"'))))
    except ValueError:
        return inner[1]


def _unicode(text: str) -> str:
    """Join what came as two halves of a surrogate pair; a half alone is no character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
