"""What a status and an error text of an OpenAI-compatible server mean. Pure.

The words are those of llama.cpp's server and of vLLM 0.32, as seen; others fall under their status.
"""

import re

from sidecar.engines.servers.server_error import CONTEXT, NEEDED_TOKENS, PASSING_STATUSES, RETRY_AFTER_S, failure
from sidecar.errors import (
    EngineFailedError,
    EngineRefusedError,
    EngineUnavailableError,
    ModelMissingError,
    ServerState,
    SidecarError,
)

ASKED_TOKENS = re.compile(r"(?:requested|contains(?: at least)?|has) (\d{1,9}) (?:input )?tokens", re.IGNORECASE)
MAX_CONTEXT = re.compile(r"maximum (?:context|model) length", re.IGNORECASE)
LOADING = re.compile("loading model", re.IGNORECASE)
NO_MODEL = re.compile(r"model_not_found|model\b.{0,300}(?:does not exist|not found)", re.IGNORECASE | re.DOTALL)
NO_KEY = frozenset({401, 403})


def refusal(status: int, said: str | None, model: str) -> SidecarError:
    """Return the error for an answer with a status that is not 200; ``said`` is its error text, if it has one."""
    words = said or ""
    if status in NO_KEY:
        return _no_key()
    if status == 404:
        return _missing(words, model)
    if status == 503 and LOADING.search(words):
        return loading()
    if not 400 <= status < 500 or status in PASSING_STATUSES:
        return failure(words, f"the model server answered {status}")
    if CONTEXT.search(words) or MAX_CONTEXT.search(words) or NEEDED_TOKENS.search(words):
        return _overflow(words)
    return EngineRefusedError(f"the model server refused the page with status {status}")


def no_answer(status: int, said: str | None) -> SidecarError:
    """Return the error for a question about models that was refused."""
    if status == 503 and LOADING.search(said or ""):
        return loading()
    if status in NO_KEY:
        return _no_key()
    return EngineFailedError(f"the model server answered {status}")


def _no_key() -> EngineUnavailableError:
    error = EngineUnavailableError("the model server refuses the key of OCR_MODEL_KEY_FILE, or wants one")
    error.state = ServerState.KEY_REFUSED
    return error


def loading() -> EngineUnavailableError:
    """Return the error of a server that loads its model."""
    error = EngineUnavailableError("the model server loads its model", retry_after_s=RETRY_AFTER_S)
    error.state = ServerState.LOADING
    return error


def _missing(words: str, model: str) -> SidecarError:
    """Tell a model that is not there from a path that is not."""
    if NO_MODEL.search(words):
        return ModelMissingError(f"the model server does not serve the model {model}")
    return EngineFailedError("the model server answered 404: OCR_MODEL_URL must end with what its API begins with, /v1")


def _overflow(words: str) -> EngineRefusedError:
    needed = NEEDED_TOKENS.search(words) or ASKED_TOKENS.search(words)
    tokens = f"{needed[1]} tokens" if needed else "more tokens than the model's context has"
    return EngineRefusedError(f"the page and its prompt take {tokens}: the model server's context must be larger")
