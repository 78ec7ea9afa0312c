"""What an engine asks a model server, whichever it is, and what comes back. Pure."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from sidecar.documents.pages import PagePicture
from sidecar.engines.answers import model_answer
from sidecar.errors import SidecarError
from sidecar.evidence.confidence import Certainty, certainty_of_tokens
from sidecar.profiles.payload import MAX_TEMPERATURE, RuntimeParams
from sidecar.profiles.precedence import Instructions


@dataclass(frozen=True, slots=True)
class ChatTimeouts:
    """Deadlines of one chat, in seconds. The first token includes loading the model; the total is the page's."""

    connect_s: float
    first_token_s: float
    whole_s: float


@dataclass(frozen=True, slots=True)
class PageCall:
    """One page for the model. ``sent``: parameters as the server names them.

    ``keep_alive_s``: how long the model stays afterwards; None where that is not decided here.
    """

    instructions: Instructions
    picture: PagePicture
    sent: Mapping[str, object]
    keep_alive_s: int | None
    wants_certainty: bool = False
    """Whether the probabilities of the tokens are asked for."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One event of a stream. ``done_reason``: how it ends, where it is the last; ``error``: what went wrong.

    ``is_end``: nothing follows, and why is not said.
    """

    text: str = ""
    thinking: str = ""
    done_reason: str | None = None
    error: str | None = None
    is_end: bool = False
    sure_of: tuple[tuple[str, float], ...] = ()
    """The tokens of it, each with the logarithm of its probability, where the server tells them."""

    @property
    def is_token(self) -> bool:
        """Return whether the model has begun to answer, or has ended."""
        return bool(self.text or self.thinking) or self.done_reason is not None


@dataclass(slots=True)
class ChatStream:
    """What arrived of one chat so far. ``error``: the server or connection failed in the middle."""

    parts: list[str] = field(default_factory=list)
    chars: int = 0
    """Characters of the text, and of what the model thought before it."""
    done_reason: str = model_answer.CUT
    first_token_s: float | None = None
    error: SidecarError | None = None
    certainty: Certainty | None = None
    """How much of the text the model was sure of, as far as the server tells it."""

    @property
    def content(self) -> str:
        """The text so far."""
        return "".join(self.parts)

    def add(self, piece: Piece) -> None:
        """Take the next piece of text; what the model thinks is no part of the page."""
        if piece.text:
            self.parts.append(piece.text)
        if piece.sure_of:
            told = certainty_of_tokens(piece.sure_of)
            self.certainty = self.certainty + told if self.certainty else told
        self.chars += len(piece.text) + len(piece.thinking)
        if piece.is_end and self.parts:  # a server that says so after a text was not interrupted
            self.done_reason = model_answer.STOP

    def break_off(self, done_reason: str, error: SidecarError) -> None:
        """Keep the text that arrived before the stream was interrupted."""
        self.done_reason, self.error = done_reason, error


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one kind of server is talked to. ``parse`` reads a line of a stream: None where it says nothing.

    ``said`` finds the error text in a body, None if there is none; ``refusal`` makes an error of status, text, model;
    ``no_answer`` makes one of status and text, where the question was no chat.
    """

    name: str
    chat_path: str
    parse: Callable[[bytes], Piece | None]
    said: Callable[[bytes], str | None]
    refusal: Callable[[int, str | None, str], SidecarError]
    no_answer: Callable[[int, str | None], SidecarError]


class ModelClient(Protocol):
    """A model server, as the vision engine uses it; see :class:`sidecar.engines.servers.ollama.Ollama`."""

    def parameters(self, wanted: Mapping[str, object]) -> Mapping[str, object]:
        """Return parameters, given by our names, as they are sent; what the server has no name for is left out."""

    def left_out(self, wanted: Mapping[str, object]) -> tuple[str, ...]:
        """Name those that it cannot be sent."""

    def request(self, call: PageCall) -> Mapping[str, object]:
        """Compose what is sent for one page."""

    async def chat(self, request: Mapping[str, object], timeouts: ChatTimeouts) -> ChatStream:
        """Stream one chat; cancelling closes the connection."""

    async def installed(self) -> Mapping[str, str | None]:
        """List its models, with the digest of each that it tells."""

    def missing(self, wanted: str, installed: Mapping[str, str | None]) -> str | None:
        """Return the model's whole name where a call that names it would not be answered; None where it would."""

    def open(self) -> AbstractAsyncContextManager[None]:
        """Hold the session during the block."""


def sure_of(told: object) -> tuple[tuple[str, float], ...]:
    """Return the tokens of an answer with their log-probabilities; what is none is left out."""
    entries = [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []
    pairs = [(one.get("token"), one.get("logprob")) for one in entries]
    return tuple(
        (token, float(logprob))
        for token, logprob in pairs
        if isinstance(token, str) and isinstance(logprob, int | float) and logprob <= 0
    )


def wanted_parameters(
    params: RuntimeParams, temperature_step: float, attempt: int, stop: Sequence[str] = ()
) -> dict[str, object]:
    """Return what was set, by our names, for the ``attempt``-th try; ``stop``: texts at which the model stops.

    A further attempt gets its own seed, and a higher temperature if one is set: the model's default is not known here.
    """
    wanted: dict[str, object] = params.model_dump(exclude_none=True) | ({"stop": list(stop)} if stop else {})
    if attempt > 1:
        wanted["seed"] = attempt
        if params.temperature is not None:
            raised = params.temperature + temperature_step * (attempt - 1)
            wanted["temperature"] = min(MAX_TEMPERATURE, round(raised, 6))
    return wanted
