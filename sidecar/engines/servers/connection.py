"""Requests to a model server: streams, commands, lists; with deadlines, limits, and errors mapped. Any dialect.

No connection is used twice: servers close a streamed one that they had promised to keep, and a restart leaves dead
ones.
"""

import asyncio
import io
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit

import aiohttp

from sidecar.engines.answers import model_answer
from sidecar.engines.answers.repetition import RepetitionWatch
from sidecar.engines.servers import server_error
from sidecar.engines.servers.chat import ChatStream, ChatTimeouts, Dialect, Piece
from sidecar.engines.servers.name_lookup import NameLookup
from sidecar.errors import DeadlineError, EngineFailedError, EngineUnavailableError
from sidecar.runtime.blocking_pool import BlockingPool

log = logging.getLogger(__name__)

LOOK_S = 3.0
"""Deadline of the small requests: which models are loaded, which are installed."""
RETRY_AFTER_S = server_error.RETRY_AFTER_S
PLAIN = {"Accept-Encoding": "identity"}
"""A gateway that compresses a stream would delay its tokens."""
MAX_LINE_BYTES = 1024 * 1024
MAX_SILENT_BYTES = 1024 * 1024
"""Of a stream between two tokens: what keeps a connection busy and says nothing is left."""
MAX_ANSWER_CHARS = 400_000
"""No page has this much text: a model that writes more has lost its way, even if it does not repeat itself."""
MAX_ERROR_BYTES = 65_536
SHOWN_ERROR_CHARS = 200
NAME_LOOKUPS = 4
"""Threads per name: aiohttp resolves it once for all waiting calls."""


class _RepeatsItselfError(Exception):
    """The server ended a stream of one token again and again."""


class Connection:
    """Reaches one server. :meth:`open` it on the loop that uses it; the session is shared by all calls."""

    def __init__(
        self,
        url: str,
        connect_s: float,
        dialect: Dialect,
        clock: Callable[[], float] = time.monotonic,
        names: BlockingPool | None = None,
    ) -> None:
        self._url = urlsplit(url)._replace(query="", fragment="").geturl().rstrip("/")
        self._connect_s = connect_s
        self._dialect = dialect
        self._clock = clock
        self._names = NameLookup(names or BlockingPool("name look-up", NAME_LOOKUPS))
        self._session: aiohttp.ClientSession | None = None
        self.headers: dict[str, str] = {}
        """Sent with each request: a key, where the server wants one."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Hold the session during the block."""
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
                with self._gate():
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
            self._post(self._dialect.chat_path, body) as answer,
        ):
            await self._refuse_status(answer, str(request["model"]))
            async for piece in self._pieces(answer):
                stream.add(piece)
                if piece.is_end:
                    return
                if stream.first_token_s is None:
                    stream.first_token_s = self._clock() - started_s
                    until_first_token.reschedule(None)
                if piece.done_reason is not None:
                    stream.done_reason = piece.done_reason
                elif watch.is_looping(piece.text or piece.thinking, self._clock()):
                    stream.done_reason = model_answer.LOOP
                elif stream.chars > MAX_ANSWER_CHARS:
                    stream.done_reason = model_answer.TOO_LONG
                else:
                    continue
                return

    async def _pieces(self, answer: aiohttp.ClientResponse) -> AsyncIterator[Piece]:
        """Parse the lines of a stream; what is no token is left out, and bounded."""
        rest, silent_bytes = b"", 0
        async for chunk in answer.content.iter_any():
            silent_bytes += len(chunk)
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                if line.strip() and (piece := self._parse(line)) and (piece.is_token or piece.is_end):
                    silent_bytes = 0
                    yield piece
            if len(rest) > MAX_LINE_BYTES:
                raise EngineFailedError("the model server sent a line that is too long")
            if silent_bytes > MAX_SILENT_BYTES:
                raise EngineFailedError("the model server sent a mebibyte without a word of the page")
        if rest.strip() and (piece := self._parse(rest)):
            yield piece

    def _parse(self, line: bytes) -> Piece | None:
        piece = self._dialect.parse(line)
        if piece is None or piece.error is None:
            return piece
        log.warning("the model server broke off", extra={"error": piece.error[:SHOWN_ERROR_CHARS]})
        _raise_if_repeating(piece.error)
        raise server_error.failure(piece.error, "the model server stopped with an error")

    async def command(self, path: str, asked: Mapping[str, object], deadline_s: float) -> None:
        """Have the server do something with a model.

        Raises:
            EngineUnavailableError, EngineFailedError, ModelMissingError, DeadlineError: it does not.
        """
        body = io.BytesIO(json.dumps(asked).encode())
        try:
            async with asyncio.timeout(deadline_s):
                with self._gate():
                    async with self._post(path, body) as answer:
                        await self._refuse_status(answer, str(asked["model"]))
                        await _head(answer.content, MAX_LINE_BYTES)
        except TimeoutError as exc:
            raise DeadlineError(f"the model server took longer than {deadline_s:.3g} s") from exc
        except _RepeatsItselfError as exc:
            raise EngineFailedError(self._strange) from exc

    async def get(self, path: str) -> tuple[object, str]:
        """Get an answer, and the server's own time.

        Raises:
            EngineUnavailableError, EngineFailedError: it gives no valid answer.
        """
        status, body, date = await self._get(path)
        if status != 200:
            raise self._dialect.no_answer(status, self._dialect.said(body))
        with self._gate():
            return json.loads(body), date

    async def status(self, path: str) -> tuple[int, str | None]:
        """Get a status, and the error text with it; a path that begins with ``..`` is beside the API's.

        Raises:
            EngineUnavailableError, EngineFailedError: there is no answer.
        """
        status, body, _ = await self._get(path)
        return status, self._dialect.said(body)

    async def _get(self, path: str) -> tuple[int, bytes, str]:
        """Get status, body and the server's own time."""
        with self._gate():
            try:
                async with (
                    asyncio.timeout(LOOK_S),
                    self._opened().get(self._url_of(path), headers=self.headers, allow_redirects=False) as answer,
                ):
                    body = await _head(answer.content, MAX_LINE_BYTES)
                    return answer.status, body, answer.headers.get("Date", "")
            except TimeoutError as exc:
                raise EngineUnavailableError("the model server does not answer", retry_after_s=RETRY_AFTER_S) from exc

    @asynccontextmanager
    async def _post(self, path: str, body: io.BytesIO) -> AsyncIterator[aiohttp.ClientResponse]:
        # "connect" counts the look-up of the name, too.
        timeout = aiohttp.ClientTimeout(total=None, connect=self._connect_s, sock_connect=self._connect_s)
        headers = {"Content-Type": "application/json"} | self.headers
        url = self._url + path
        async with self._opened().post(
            url, data=body, headers=headers, timeout=timeout, allow_redirects=False
        ) as answer:
            try:
                yield answer
            finally:
                answer.close()  # the rest is not needed; a model that still writes stops when the connection closes

    async def _refuse_status(self, answer: aiohttp.ClientResponse, model: str) -> None:
        if answer.status == 200:
            return
        said = self._dialect.said(await _head(answer.content, MAX_ERROR_BYTES))
        shown = (said or "")[:SHOWN_ERROR_CHARS]
        log.warning("the model server refused", extra={"status": answer.status, "error": shown})
        _raise_if_repeating(said or "")
        raise self._dialect.refusal(answer.status, said, model)

    def _url_of(self, path: str) -> str:
        if not path.startswith(".."):
            return self._url + path
        parts = urlsplit(self._url)
        return parts._replace(path=parts.path.rpartition("/")[0] + path.removeprefix("..")).geturl()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise EngineUnavailableError("the service is not started yet, or stops")
        return self._session

    @property
    def _strange(self) -> str:
        return f"the model server's answer is not what {self._dialect.name} answers"

    @contextmanager
    def _gate(self) -> Iterator[None]:
        """Map what aiohttp and json raise; their texts contain addresses and are not passed on."""
        try:
            yield
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as exc:
            raise EngineUnavailableError("the model server cannot be reached", retry_after_s=RETRY_AFTER_S) from exc
        except aiohttp.ClientError as exc:
            raise server_error.lost("the connection to the model server broke") from exc
        except (ValueError, RecursionError) as exc:
            raise EngineFailedError(self._strange) from exc


def _patience_s(timeouts: ChatTimeouts, stream: ChatStream) -> float:
    return timeouts.whole_s if stream.first_token_s is not None else min(timeouts.first_token_s, timeouts.whole_s)


def _raise_if_repeating(said: str) -> None:
    if server_error.meaning_of(said) is server_error.Meaning.REPEATS_ITSELF:
        raise _RepeatsItselfError


async def _head(content: aiohttp.StreamReader, max_bytes: int) -> bytes:
    """Read a body, up to its limit; a single read returns only what has arrived."""
    body = b""
    while len(body) < max_bytes and (piece := await content.read(max_bytes - len(body))):
        body += piece
    return body
