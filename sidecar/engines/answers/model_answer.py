"""Judges a model's answer to one page: its text, and whether it is good. Pure."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from sidecar.engines.answers.prompt_echo import is_echo
from sidecar.ocr.engine import PageVerdict
from sidecar.profiles.recipe import AnswerForm

INNER_TEXT = "natural_text"
STOP, LENGTH = "stop", "length"
"""How a stream ended, as Ollama names it."""
CUT, LOOP, DEADLINE, BROKEN, TOO_LONG = "cut", "loop", "deadline", "error", "too-long"
"""Our names for ends that Ollama does not report."""

_JSON_START = re.compile(r'(?:```(?:json)?\s*)?(?=\{\s*(?:$|"[^"\n]{0,64}(?:$|"\s*(?::|$))))')
"""An object with its first key, or as much of it as arrived."""
_INNER = re.compile(rf'"{INNER_TEXT}"\s*:\s*"((?:[^"\\]|\\u[0-9a-fA-F]{{4}}|\\[^u])*)', re.DOTALL)
"""The inner text in its JSON form, as far as it arrived: half an escape at its end is left out."""
_FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\n(?:[a-z_]+:[^\n]*\n){0,20}(?:---[ \t]*(?:\n|\Z)|\Z)")
"""A block of YAML before the text, or as much of it as arrived."""
_HALF_A_PAIR = re.compile("[\ud800-\udbff]$")
_DECODER = json.JSONDecoder(strict=False)  # models write unescaped line breaks into strings


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """One page's text as far as it arrived, and the verdict on it."""

    text: str
    verdict: PageVerdict
    done_reason: str


def judge(content: str, done_reason: str, sent: Sequence[str] = (), form: AnswerForm = "text") -> ModelAnswer:
    """Extract the text from the model's stream, and judge it: only a stream that stopped by itself is good.

    An answer that repeats the texts which were ``sent`` for it says nothing of the page, and is left out.
    """
    text, whole = inner_text(_unicode(content))
    if form == "front-matter":
        text = _FRONT_MATTER.sub("", text, count=1)
    if done_reason == LOOP:
        return ModelAnswer(text, PageVerdict.LOOPED, done_reason)
    if done_reason != STOP:
        return ModelAnswer(text, PageVerdict.TRUNCATED, done_reason)
    if not whole:
        return ModelAnswer(text, PageVerdict.TRUNCATED, CUT)
    if is_echo(text, sent):
        return ModelAnswer("", PageVerdict.ECHOED, done_reason)
    return ModelAnswer(text, PageVerdict.GOOD if text.strip() else PageVerdict.EMPTY, done_reason)


def inner_text(content: str) -> tuple[str, bool]:
    """Extract the text from ``{"natural_text": "…"}``; also return whether the JSON, if it is JSON, is complete.

    Models asked for text may answer this way. JSON of any other shape is left as it is: a prompt may ask for it.
    """
    start = _JSON_START.match(content.lstrip())
    if not start:
        return content, True
    body = content.lstrip()[start.end() :]
    try:
        answer, _ = _DECODER.raw_decode(body)  # a remark after it is not part of the page
    except (ValueError, RecursionError):
        return _inner_as_far_as_it_came(body, content), False
    inner = answer.get(INNER_TEXT, content)
    if inner is None:
        return "", True  # this is how a model says that there is no text
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
    """Join surrogate pairs; half a pair alone is not a character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
