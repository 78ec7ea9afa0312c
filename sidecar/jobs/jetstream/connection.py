"""The connection to NATS: made again whenever it is lost, for as long as the service runs."""

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import APIError, NotFoundError

from sidecar.errors import JobsUnavailableError
from sidecar.jobs.jetstream import streams

log = logging.getLogger(__name__)

RECONNECT_S = 1.0
REQUEST_S = 5.0
"""How long an answer of the server is waited for, in seconds."""
FLUSH_S = 2
PING_S = 5.0
NO_MESSAGE = 10037
"""Error code of JetStream for a stream that is there and has no such message."""
PINGS_LOST = 2
FULL = frozenset({10023, 10047, 10077, 10122, 10123})
"""Error codes of JetStream for "no room": resources, storage, a stream's limits."""
RETRY_AFTER_S = 5


@dataclass(frozen=True, slots=True)
class ServerAccess:
    """Where NATS is, and how this service shows who it is."""

    servers: Sequence[str]
    user: str | None = None
    password: str | None = None
    credentials_file: Path | None = None
    ca_file: Path | None = None
    replicas: int = 1


@dataclass(eq=False, slots=True)
class _Listener:
    subject: str
    on_message: Callable[[bytes], None]
    subscription: Subscription | None = None

    async def take(self, message: object) -> None:
        self.on_message(getattr(message, "data", b""))


class Connection:
    """A connection to NATS whose streams are there; ``ready`` is set while it can be used."""

    def __init__(self, access: ServerAccess) -> None:
        self._access = access
        self._client: Client | None = None
        self._js: JetStreamContext | None = None
        self.ready = asyncio.Event()
        self._changed = asyncio.Event()
        self._listeners: list[_Listener] = []
        self.failure: str | None = "not connected yet"
        """Why it cannot be used; None while it can."""

    def use(self, access: ServerAccess) -> None:
        """Say where the server is, before it is connected to: an embedded one has no port until it runs."""
        self._access = access

    @property
    def client(self) -> Client:
        """The client.

        Raises:
            JobsUnavailableError: there is no connection.
        """
        if self._client is None or not self.ready.is_set():
            raise unavailable()
        return self._client

    @property
    def js(self) -> JetStreamContext:
        """JetStream.

        Raises:
            JobsUnavailableError: there is no connection.
        """
        if self._js is None or not self.ready.is_set():
            raise unavailable()
        return self._js

    async def keep(self) -> None:
        """Connect, and stay connected until cancelled; whatever is missing on the server is made each time."""
        try:
            while True:
                self._changed.clear()
                try:
                    await self._connect()
                except (NatsError, OSError, TimeoutError, ValueError) as exc:
                    self.failure = f"the queue of jobs cannot be used: {type(exc).__name__}"
                    await asyncio.sleep(RECONNECT_S)
                else:
                    await self._changed.wait()
        finally:
            await self._close()

    async def _connect(self) -> None:
        if self._client is None or self._client.is_closed:
            self._client = await nats.connect(**self._options())
            for listener in self._listeners:  # the client before took its subscriptions with it
                listener.subscription = await self._client.subscribe(listener.subject, cb=listener.take)
        js = self._client.jetstream(timeout=REQUEST_S)
        await streams.ensure(js, self._access.replicas)
        self._js, self.failure = js, None
        self.ready.set()
        log.info("connected to the queue of jobs")

    async def listen(self, listener: _Listener) -> None:
        """Hear messages until :meth:`ignore`, whatever becomes of the client."""
        with told():
            listener.subscription = await self.client.subscribe(listener.subject, cb=listener.take)
        self._listeners.append(listener)

    async def ignore(self, listener: _Listener) -> None:
        """Hear no more."""
        self._listeners.remove(listener)
        if listener.subscription is not None:
            with suppress(NatsError, OSError, TimeoutError):
                await listener.subscription.unsubscribe()

    async def _close(self) -> None:
        self.ready.clear()
        if self._client is not None:
            with suppress(NatsError, OSError, TimeoutError, ValueError):
                await self._client.flush(FLUSH_S)  # turns that were given back must be on their way
            with suppress(NatsError, OSError, TimeoutError):
                await self._client.close()

    def _options(self) -> dict[str, Any]:
        access = self._access
        options: dict[str, Any] = {
            "servers": list(access.servers),
            "name": "ocr-sidecar",
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": RECONNECT_S,
            "connect_timeout": 2,
            "ping_interval": PING_S,
            "max_outstanding_pings": PINGS_LOST,
            "error_cb": self._on_error,
            "disconnected_cb": self._on_lost,
            "reconnected_cb": self._on_back,
            "closed_cb": self._on_closed,
        }
        if access.user is not None:
            options |= {"user": access.user, "password": access.password}
        if access.credentials_file:
            options["user_credentials"] = str(access.credentials_file)
        if access.ca_file:
            options["tls"] = ssl.create_default_context(cafile=str(access.ca_file))
        return options

    async def _on_error(self, exc: Exception) -> None:
        log.debug("the connection to the queue of jobs: %s", exc)

    async def _on_lost(self) -> None:
        self.ready.clear()
        self.failure = "the connection to the queue of jobs is lost"

    async def _on_back(self) -> None:
        self._changed.set()

    async def _on_closed(self) -> None:
        await self._on_lost()
        self._changed.set()


def unavailable(detail: str = "the queue of jobs does not answer now") -> JobsUnavailableError:
    """Return the error for a queue that cannot be used."""
    return JobsUnavailableError(detail, retry_after_s=RETRY_AFTER_S)


@contextmanager
def told() -> Iterator[None]:
    """Turn the library's errors into ours.

    Raises:
        JobsUnavailableError: the server does not answer, or has no room.
    """
    try:
        yield
    except APIError as exc:
        if exc.err_code in FULL:
            raise unavailable("the queue of jobs has no room now") from exc
        raise unavailable() from exc
    except (NatsError, OSError, TimeoutError) as exc:
        raise unavailable() from exc


async def last_message(connection: Connection, stream: str, subject: str) -> RawStreamMsg | None:
    """Return the last message of a subject; None if there is none.

    Raises:
        JobsUnavailableError: the server does not answer, or has not found its streams yet: it has just started.
    """
    with told():
        try:
            return await connection.js.get_last_msg(stream, subject)
        except NotFoundError as exc:
            if exc.err_code == NO_MESSAGE:
                return None
            raise


@dataclass(frozen=True, slots=True)
class StreamAbout:
    """What the server tells of a stream: messages by subject, and when it told, by its own clock."""

    subjects: dict[str, int]
    at: datetime


async def about(connection: Connection, stream: str, subjects: str) -> StreamAbout:
    """Return what a stream holds of some subjects, however many: the server tells of 100,000 at a time.

    Raises:
        JobsUnavailableError: the server does not answer.
    """
    found: dict[str, int] = {}
    while True:
        wanted = json.dumps({"subjects_filter": subjects, "offset": len(found)}).encode()
        with told():
            reply = await connection.client.request(f"$JS.API.STREAM.INFO.{stream}", wanted, timeout=REQUEST_S)
            answer = json.loads(reply.data)
            if "error" in answer:
                raise APIError.from_error(answer["error"])
        new = answer["state"].get("subjects") or {}
        found |= new
        if not new or len(found) >= answer.get("total", 0):
            return StreamAbout(found, datetime.fromisoformat(answer["ts"][:19] + "+00:00"))


@asynccontextmanager
async def listening(connection: Connection, subject: str, on_message: Callable[[bytes], None]) -> AsyncIterator[None]:
    """Call back for each message on a subject, for as long as the block; one that is missed is not repeated."""
    listener = _Listener(subject, on_message)
    await connection.listen(listener)
    try:
        yield
    finally:
        await connection.ignore(listener)
