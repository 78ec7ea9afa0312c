"""What a status and an error text of a model server mean. Pure.

Ollama gives most failures of its runner status 500 and a free text, so only the words tell them apart. The words are
those of Ollama's ``llm/status.go`` and of llama.cpp's server, which it runs.
"""

import re
from enum import Enum, auto

from sidecar.errors import (
    EngineFailedError,
    EngineRefusedError,
    GpuOutOfMemoryError,
    ModelMissingError,
)

RETRY_AFTER_S = 10
"""Retry-After when the server failed: a restart of it, or of its runner, takes about that long."""
PASSING_STATUSES = frozenset({408, 425, 429})
"""Refusals by a gateway that say nothing about the page."""

NEEDED_TOKENS = re.compile(r"n_prompt_tokens\W{1,6}(\d{1,9})")
"""In the JSON that an overflow's error text holds, as text in text: each quote may have a backslash."""

CONTEXT = re.compile("(longer than|exceeds) the (available )?context", re.IGNORECASE)


class Meaning(Enum):
    """What happened, as far as the words tell."""

    OUT_OF_MEMORY = auto()
    RUNNER_GONE = auto()
    REPEATS_ITSELF = auto()
    NO_VISION = auto()
    OTHER = auto()


_WORDS = {
    Meaning.OUT_OF_MEMORY: (
        "out of memory|out of device memory|(cuda|hip)malloc|failed to allocate|allocation failed|"
        "not enough memory|insufficient memory|out_of_device_memory|outofmemory"
    ),
    Meaning.REPEATS_ITSELF: r"token repeat|repeat(ed|ing|s)?\s+(the same )?tokens?",
    Meaning.NO_VISION: "image input is not supported|does not support (image|vision)|provide the mmproj",
    Meaning.RUNNER_GONE: (
        "has terminated|unexpectedly stopped|no longer running|core dumped|signal: (aborted|killed)|"
        "unexpected eof|: eof$"
    ),
}
_PATTERNS = {meaning: re.compile(words, re.IGNORECASE) for meaning, words in _WORDS.items()}


def meaning_of(said: str) -> Meaning:
    """Tell what an error text means; the more special meanings come first."""
    return next((meaning for meaning, words in _PATTERNS.items() if words.search(said)), Meaning.OTHER)


def failure(said: str, what: str) -> EngineFailedError:
    """Return the error for a failure of the server; ``what`` tells it where its words do not."""
    match meaning_of(said):
        case Meaning.OUT_OF_MEMORY:
            return GpuOutOfMemoryError(
                "the GPU has not enough memory for the model's call", retry_after_s=RETRY_AFTER_S
            )
        case Meaning.RUNNER_GONE:
            return lost("the process that runs the model ended")
        case Meaning.NO_VISION:
            return EngineRefusedError("the model takes no pictures")
    return EngineFailedError(what, retry_after_s=RETRY_AFTER_S)


def lost(what: str) -> EngineFailedError:
    """Return the error for a connection or a process that ended."""
    error = EngineFailedError(what, retry_after_s=RETRY_AFTER_S)
    error.is_lost = True
    return error


def refusal(status: int, said: str | None, model: str) -> EngineFailedError | ModelMissingError:
    """Return the error for an answer with a status that is not 200; ``said`` is its error text, if it has one."""
    if status == 404 and said is not None:
        return ModelMissingError(f"the model {model} is not installed on the model server")
    if not 400 <= status < 500 or status in PASSING_STATUSES:
        return failure(said or "", f"the model server answered {status}")
    if needed := NEEDED_TOKENS.search(said or ""):
        return EngineRefusedError(f"the page and its prompt take {needed[1]} tokens: num_ctx must be larger than that")
    if CONTEXT.search(said or ""):
        return EngineRefusedError("the page and its prompt are longer than the model's context: num_ctx must be larger")
    return EngineRefusedError(f"the model server refused the page with status {status}")


def no_answer(status: int, _: str | None) -> EngineFailedError:
    """Return the error for a question about models that was refused."""
    return EngineFailedError(f"the model server answered {status}")
