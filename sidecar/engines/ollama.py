"""Ollama's native API: a streamed chat, loaded models, installed models. The only access to a model server.

The OpenAI-compatible endpoint is not used: it silently drops keep_alive, repeat_penalty and num_ctx.
"""

import asyncio
import io
import json
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from sidecar.engines import ollama_error
from sidecar.engines.answers import model_answer
from sidecar.engines.answers.repetition import RepetitionWatch
from sidecar.engines.name_lookup import NameLookup
from sidecar.errors import (
    DeadlineError,
    EngineFailedError,
    EngineRefusedError,
    EngineUnavailableError,
    SidecarError,
)
from sidecar.gpu.vram import ResidentModel
from sidecar.runtime.blocking_pool import BlockingPool

log = logging.getLogger(__name__)

LOOK_S = 3.0
"""Deadline of the small requests: which models are loaded, which are installed."""
RETRY_AFTER_S = ollama_error.RETRY_AFTER_S
PLAIN = {"Accept-Encoding": "identity"}
"""A gateway that compresses a stream would delay its tokens."""
MAX_LINE_BYTES = 1024 * 1024
MAX_ANSWER_CHARS = 400_000
"""No page has this much text: a model that writes more has lost its way, even if it does not repeat itself."""
MAX_ERROR_BYTES = 65_536
SHOWN_ERROR_CHARS = 200
MIB = 1024 * 1024
NAME_LOOKUPS = 4
"""Threads per name: aiohttp resolves it once for all waiting calls."""


class _RepeatsItselfError(Exception):
    """The server ended a stream of one token again and again."""


@dataclass(frozen=True, slots=True)
class ChatTimeouts:
    """Deadlines of one chat, in seconds. The first token includes loading the model; the total is the page's."""

    connect_s: float
    first_token_s: float
    whole_s: float


@dataclass(slots=True)
class ChatStream:
    """What arrived of one chat so far. ``error``: the server or connection failed in the middle."""

    parts: list[str] = field(default_factory=list)
    chars: int = 0
    """Characters of the text, and of what the model thought before it."""
    done_reason: str = model_answer.CUT
    first_token_s: float | None = None
    error: SidecarError | None = None

    @property
    def content(self) -> str:
        """The text so far."""
        return "".join(self.parts)

    def add(self, piece: "_Piece") -> None:
        """Take the next piece of text; what the model thinks is no part of the page."""
        if piece.text:
            self.parts.append(piece.text)
        self.chars += len(piece.text) + len(piece.thinking)

    def break_off(self, done_reason: str, error: SidecarError) -> None:
        """Keep the text that arrived before the stream was interrupted."""
        self.done_reason, self.error = done_reason, error


class Ollama:
    """A client of one server. :meth:`open` it on the loop that uses it; ``session`` is shared by all calls."""

    def __init__(
        self,
        url: str,
        connect_s: float,
        clock: Callable[[], float] = time.monotonic,
        names: BlockingPool | None = None,
    ) -> None:
        self._url = urlsplit(url)._replace(query="", fragment="").geturl().rstrip("/")
        self._connect_s = connect_s
        self._clock = clock
        self._names = NameLookup(names or BlockingPool("name look-up", NAME_LOOKUPS))
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Hold the session during the block; connections are not kept, as a server's restart leaves dead ones."""
        connector = aiohttp.TCPConnector(limit=0, force_close=True, resolver=self._names)
        cookies = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(connector=connector, cookie_jar=cookies, headers=PLAIN) as self._session:
            yield
        self._session = None

    async def chat(self, request: Mapping[str, object], timeouts: ChatTimeouts) -> ChatStream:
        """Stream one chat until it is done, loops, is interrupted or out of time; cancelling closes the connection.

        Raises:
            EngineUnavailableError: the server cannot be reached.
            ModelMissingError: it does not have the model.
            EngineRefusedError, EngineFailedError: it answered with an error, or failed before any text came.
            DeadlineError: no text arrived in time.
        """
        stream = ChatStream()
        try:
            async with asyncio.timeout(timeouts.whole_s):
                with _gate():
                    await self._stream(request, timeouts, stream)
        except TimeoutError as exc:
            error = DeadlineError(f"the model took longer than {_patience_s(timeouts, stream):.3g} s")
            if not stream.parts:
                raise error from exc
            stream.break_off(model_answer.DEADLINE, error)
        except _RepeatsItselfError:
            stream.done_reason = model_answer.LOOP
        except EngineFailedError as exc:
            if not stream.parts:
                raise
            stream.break_off(model_answer.BROKEN, exc)
        return stream

    async def _stream(self, request: Mapping[str, object], timeouts: ChatTimeouts, stream: ChatStream) -> None:
        started_s = self._clock()
        watch = RepetitionWatch()
        body = io.BytesIO(json.dumps(request, ensure_ascii=False).encode())
        async with (
            asyncio.timeout(timeouts.first_token_s) as until_first_token,
            self._post("/api/chat", body) as answer,
        ):
            await _refuse_status(answer, str(request["model"]))
            async for line in _lines(answer):
                if stream.first_token_s is None:
                    stream.first_token_s = self._clock() - started_s
                    until_first_token.reschedule(None)
                piece = _parse_line(line)
                stream.add(piece)
                if piece.done_reason is not None:
                    stream.done_reason = piece.done_reason
                    return
                if watch.is_looping(piece.text or piece.thinking, self._clock()):
                    stream.done_reason = model_answer.LOOP
                    return
                if stream.chars > MAX_ANSWER_CHARS:
                    stream.done_reason = model_answer.TOO_LONG
                    return

    async def resident(self) -> tuple[ResidentModel, ...]:
        """List the models that the server has in memory.

        Raises:
            EngineUnavailableError, EngineFailedError: it gives no valid answer.
        """
        answer, date = await self._get("/api/ps")
        return tuple(_resident(model, date) for model in _list_of(answer, "models"))

    async def installed(self) -> Mapping[str, str | None]:
        """List the models that are installed on the server, with their tags; give each one's digest, if it has one.

        Raises:
            EngineUnavailableError, EngineFailedError: it gives no valid answer.
        """
        answer, _ = await self._get("/api/tags")
        models = _list_of(answer, "models")
        return {str(model.get("name") or model.get("model")): _text_of(model, "digest") or None for model in models}

    async def load(self, model: str, keep_alive_s: float, num_ctx: int, deadline_s: float) -> None:
        """Load a model, without a word for it, to stay so long after its last request; a negative number: for ever.

        Raises:
            EngineUnavailableError, EngineFailedError, DeadlineError: it is not loaded.
            ModelMissingError: the server does not have it.
        """
        asked: dict[str, object] = {"model": model, "keep_alive": _whole(keep_alive_s)}
        options = {"options": {"num_ctx": num_ctx}} if num_ctx else {}
        try:
            await self._command("/api/generate", asked | options, deadline_s)
        except EngineRefusedError:  # it makes no text, as an embedder does not
            await self._command("/api/embed", asked | options | {"input": []}, deadline_s)

    async def unload(self, model: str) -> None:
        """Have a model leave the memory, at once if it is idle, else when its last request has ended.

        Raises:
            EngineUnavailableError, EngineFailedError, ModelMissingError, DeadlineError: it does not obey.
        """
        await self._command("/api/generate", {"model": model, "keep_alive": 0}, LOOK_S)

    async def _command(self, path: str, asked: Mapping[str, object], deadline_s: float) -> None:
        body = io.BytesIO(json.dumps(asked).encode())
        try:
            async with asyncio.timeout(deadline_s):
                with _gate():
                    async with self._post(path, body) as answer:
                        await _refuse_status(answer, str(asked["model"]))
                        await _head(answer.content, MAX_LINE_BYTES)
        except TimeoutError as exc:
            raise DeadlineError(f"the model server took longer than {deadline_s:.3g} s") from exc
        except _RepeatsItselfError as exc:
            raise EngineFailedError("the model server's answer is not what Ollama answers") from exc

    async def _get(self, path: str) -> tuple[object, str]:
        """Get an answer, and the server's own time."""
        with _gate():
            try:
                async with (
                    asyncio.timeout(LOOK_S),
                    self._opened().get(self._url + path, allow_redirects=False) as answer,
                ):
                    if answer.status != 200:
                        raise EngineFailedError(f"the model server answered {answer.status}")
                    return json.loads(await _head(answer.content, MAX_LINE_BYTES)), answer.headers.get("Date", "")
            except TimeoutError as exc:
                raise EngineUnavailableError("the model server does not answer", retry_after_s=RETRY_AFTER_S) from exc

    @asynccontextmanager
    async def _post(self, path: str, body: io.BytesIO) -> AsyncIterator[aiohttp.ClientResponse]:
        # "connect" counts the look-up of the name, too.
        timeout = aiohttp.ClientTimeout(total=None, connect=self._connect_s, sock_connect=self._connect_s)
        headers = {"Content-Type": "application/json"}
        url = self._url + path
        async with self._opened().post(
            url, data=body, headers=headers, timeout=timeout, allow_redirects=False
        ) as answer:
            try:
                yield answer
            finally:
                answer.close()  # the rest is not needed; a model that still writes stops when the connection closes

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise EngineUnavailableError("the service is not started yet, or stops")
        return self._session


@contextmanager
def _gate() -> Iterator[None]:
    """Map what aiohttp and json raise; their texts contain addresses and are not passed on."""
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as exc:
        raise EngineUnavailableError("the model server cannot be reached", retry_after_s=RETRY_AFTER_S) from exc
    except aiohttp.ClientError as exc:
        raise ollama_error.lost("the connection to the model server broke") from exc
    except (ValueError, RecursionError) as exc:
        raise EngineFailedError("the model server's answer is not what Ollama answers") from exc


def _patience_s(timeouts: ChatTimeouts, stream: ChatStream) -> float:
    return timeouts.whole_s if stream.first_token_s is not None else min(timeouts.first_token_s, timeouts.whole_s)


async def _refuse_status(answer: aiohttp.ClientResponse, model: str) -> None:
    if answer.status == 200:
        return
    said = _error_of(await _head(answer.content, MAX_ERROR_BYTES))
    log.warning("the model server refused", extra={"status": answer.status, "error": (said or "")[:SHOWN_ERROR_CHARS]})
    _raise_if_repeating(said or "")
    raise ollama_error.refusal(answer.status, said, model)


def _raise_if_repeating(said: str) -> None:
    if ollama_error.meaning_of(said) is ollama_error.Meaning.REPEATS_ITSELF:
        raise _RepeatsItselfError


async def _head(content: aiohttp.StreamReader, max_bytes: int) -> bytes:
    """Read a body, up to its limit; a single read returns only what has arrived."""
    body = b""
    while len(body) < max_bytes and (piece := await content.read(max_bytes - len(body))):
        body += piece
    return body


def _error_of(body: bytes) -> str | None:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return str(answer["error"]) if isinstance(answer, dict) and "error" in answer else None


async def _lines(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Split the body into lines; a rest after the last line break is a line, too."""
    rest = b""
    async for chunk in answer.content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line.strip():
                yield line
        if len(rest) > MAX_LINE_BYTES:
            raise EngineFailedError("the model server sent a line that is too long")
    if rest.strip():
        yield rest


@dataclass(frozen=True, slots=True)
class _Piece:
    """A line of the stream. ``done_reason``: how the stream ends, where it is the last."""

    text: str
    thinking: str
    done_reason: str | None


def _parse_line(line: bytes) -> _Piece:
    """Parse a line of the stream.

    Raises:
        EngineFailedError: it reports an error.
        ValueError: it is not one of Ollama's lines.
    """
    said = json.loads(line)
    if not isinstance(said, dict):
        raise ValueError("a line must be an object")  # noqa: TRY004 - as json raises for what is no JSON
    if "error" in said:
        log.warning("the model server broke off", extra={"error": str(said["error"])[:SHOWN_ERROR_CHARS]})
        _raise_if_repeating(str(said["error"]))
        raise ollama_error.failure(str(said["error"]), "the model server stopped with an error")
    message = said.get("message")
    message = message if isinstance(message, dict) else {}
    done_reason = str(said.get("done_reason") or model_answer.CUT) if said.get("done") is True else None
    return _Piece(_text_of(message, "content"), _text_of(message, "thinking"), done_reason)


def _text_of(message: Mapping[str, object], name: str) -> str:
    text = message.get(name)
    return text if isinstance(text, str) else ""


def _list_of(answer: object, key: str) -> list[dict[str, Any]]:
    found = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise EngineFailedError("the model server's answer is not what Ollama answers")
    return found


def _resident(model: Mapping[str, Any], date: str) -> ResidentModel:
    size_vram, context = model.get("size_vram") or 0, model.get("context_length")
    if not isinstance(size_vram, int) or size_vram < 0:
        raise EngineFailedError("the model server's answer is not what Ollama answers")
    expires_at = _text_of(model, "expires_at")
    return ResidentModel(
        str(model.get("name") or model.get("model")),
        size_vram // MIB,
        context if isinstance(context, int) else 0,
        expires_at,
        _remaining_s(expires_at, date),
    )


def _remaining_s(expires_at: str, date: str) -> float | None:
    """Return the seconds from the server's time to a time of its own, where both can be read: our clock may differ."""
    try:
        expires = datetime.fromisoformat(expires_at)
        return (expires - parsedate_to_datetime(date)).total_seconds()
    except (ValueError, TypeError):  # a time without its zone is no use either
        return None


def _whole(seconds: float) -> int:
    """Round up: Ollama takes no text without a unit, and a fraction of a second is nobody's wish."""
    return -1 if seconds < 0 else math.ceil(seconds)
