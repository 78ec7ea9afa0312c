"""The fake Ollama's answers: one `Answer` per chat, played as a plan of timed steps. Independent of HTTP."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import repeat
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

DEFAULT_TEXT = "page text\n"
BUSY_ERROR = "server busy, please try again.  maximum pending requests exceeded"  # Ollama's text, with its two spaces
Seconds = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
ENDLESS_PAUSE_S = 0.001  # an endless answer must yield to the event loop


class Trap(StrEnum):
    """What goes wrong with an answer; all but RESET_BEFORE and REPEAT do after `after_chunks` chunks."""

    CUT = "cut"  # the stream ends with HTTP 200 and no line that says done
    RESET_BEFORE = "reset-before"  # the connection is reset before any byte of the answer
    RESET = "reset"  # the connection is reset (RST) in the middle of a line
    CLOSE = "close"  # the connection is closed (FIN) in the middle of a line
    ERROR_LINE = "error-line"  # {"error": …} is the last line of a stream that began with 200
    REPEAT = "repeat"  # after the text, `unit` again and again until the client leaves
    HANG = "hang"  # nothing more is ever sent; after 0 chunks: not even the headers
    GARBAGE = "garbage"  # a line that is not JSON, then the rest
    HUGE_LINE = "huge-line"  # a line of `huge_bytes`, then the rest


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the model. A chunk of `text` is a word with the spaces after it."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    text: str = DEFAULT_TEXT
    chunks: tuple[str, ...] | None = None  # what each line of the stream carries, in place of `text`
    thinking: str = ""  # comes before the text, in `message.thinking`
    done_reason: Literal["stop", "length", "eos_token", "stop_sequence", ""] = "stop"  # "": only the end is told
    first_token_s: Seconds | None = None  # before the first chunk; None: the fake's `latency_s`
    per_token_s: Seconds | None = None  # before each further chunk; None: the fake's `per_token_s`
    trap: Trap | None = None
    after_chunks: Count | None = None  # chunks before the trap; None: half of them
    logprob: float | None = None  # of each token, told to who asks for it; None: it is not told
    unit: str = ". "  # what REPEAT repeats
    huge_bytes: Count = 8 << 20
    wire_bytes: Count = 0  # write lines in pieces this long, which splits Thai letters; 0: whole
    status: Annotated[int, Field(ge=200, le=599)] = 200  # above 399 the answer is {"error": …} and nothing else
    error: str = "an error was encountered while running the model"  # for ERROR_LINE and such a status

    @classmethod
    def busy(cls) -> Self:
        """A refusal like that of an Ollama whose queue is full."""
        return cls(status=503, error=BUSY_ERROR)

    @classmethod
    def failure(cls, status: int, error: str) -> Self:
        """A refusal with this status and this text."""
        return cls(status=status, error=error)

    @classmethod
    def natural_text(cls, text: str, *, cut: bool = False) -> Self:
        """`{"natural_text": …}` as some OCR models answer; cut: its last quarter is missing, the reason is length."""
        whole = json.dumps({"natural_text": text}, ensure_ascii=False)
        if not cut:
            return cls(text=whole)
        return cls(text=whole[: len(whole) * 3 // 4], done_reason="length")

    def spoken(self) -> tuple[str, ...]:
        """The chunks of the text, in order."""
        return split_chunks(self.text) if self.chunks is None else self.chunks


def split_chunks(text: str) -> tuple[str, ...]:
    """Words with the spaces after them; joined they are the text."""
    return tuple(re.findall(r"\s*\S+\s*", text)) or ((text,) if text else ())


class StepKind(StrEnum):
    """What the server does next."""

    SAY = "say"
    GARBAGE = "garbage"
    ERROR = "error"
    CUT = "cut"
    RESET_BEFORE = "reset-before"
    RESET = "reset"
    CLOSE = "close"
    HANG = "hang"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing the server does, after a pause."""

    kind: StepKind
    pause_s: float = 0.0
    content: str = ""
    thinking: str = ""
    done_reason: str = ""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the fake's model answers, unless an answer specifies it."""

    first_token_s: float = 0.0
    per_token_s: float = 0.0


def plan_steps(answer: Answer, pace: Pace, num_predict: int = -1) -> Iterator[Step]:
    """The answer as steps; it ends with a step that ends the response, or never.

    A positive `num_predict` bounds the chunks, as it bounds tokens in Ollama, and makes the reason `length`. REPEAT
    alone ignores it: that trap is a model that nobody stops.
    """
    spoken = [("", chunk) for chunk in split_chunks(answer.thinking)] + [(chunk, "") for chunk in answer.spoken()]
    reason = answer.done_reason
    if 0 < num_predict < len(spoken):
        spoken, reason = spoken[:num_predict], "length"
    pauses = _pauses(answer, pace)
    if answer.trap is Trap.RESET_BEFORE:
        yield Step(StepKind.RESET_BEFORE, next(pauses))
        return
    springs_at = len(spoken) // 2 if answer.after_chunks is None else min(answer.after_chunks, len(spoken))
    for content, thinking in spoken[:springs_at]:
        yield Step(StepKind.SAY, next(pauses), content, thinking)
    yield from _trap_steps(answer, next(pauses) if springs_at == 0 and answer.trap else 0.0)
    if answer.trap in _LAST:
        return
    for content, thinking in spoken[springs_at:]:
        yield Step(StepKind.SAY, next(pauses), content, thinking)
    if answer.trap is Trap.REPEAT:
        for _ in repeat(None):
            yield Step(StepKind.SAY, max(next(pauses), ENDLESS_PAUSE_S), answer.unit)
    yield Step(StepKind.DONE, 0.0 if spoken else next(pauses), done_reason=reason)


_LAST = {
    Trap.CUT: StepKind.CUT,
    Trap.RESET: StepKind.RESET,
    Trap.CLOSE: StepKind.CLOSE,
    Trap.ERROR_LINE: StepKind.ERROR,
    Trap.HANG: StepKind.HANG,
}


def _trap_steps(answer: Answer, pause_s: float) -> Iterator[Step]:
    match answer.trap:
        case Trap.GARBAGE:
            yield Step(StepKind.GARBAGE, pause_s, "<html>502 Bad Gateway</html>")
        case Trap.HUGE_LINE:
            yield Step(StepKind.SAY, pause_s, "x" * answer.huge_bytes)
        case trap if trap in _LAST:
            yield Step(_LAST[trap], pause_s, answer.error if trap is Trap.ERROR_LINE else "")


def _pauses(answer: Answer, pace: Pace) -> Iterator[float]:
    yield pace.first_token_s if answer.first_token_s is None else answer.first_token_s
    yield from repeat(pace.per_token_s if answer.per_token_s is None else answer.per_token_s)


class ScriptError(ValueError):
    """A script file that cannot be used; the text is one line."""


def parse_script(path: Path) -> list[Answer]:
    """The answers in a JSON file: a list of objects with the fields of `Answer`.

    Raises:
        ScriptError: the file cannot be read, is not JSON, or holds something else.
    """
    try:
        return TypeAdapter(list[Answer]).validate_json(path.read_bytes())
    except OSError as error:
        raise ScriptError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise ScriptError(f"{path}: {where}: {first['msg']}") from error
