"""The public client against what is no sidecar, or means no good: each ends in one of its exceptions, soon."""

import asyncio
import io
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from sidecar.client import AsyncClient, BadAnswerError, BusyError, Client, ServiceError, TimedOutError, UnreachableError
from sidecar.client.exchange import MAX_ANSWER_BYTES, MAX_LINE_BYTES
from tests.conftest import until

DOCUMENT = b"%PDF-" + bytes(100_000)
KEY = "k" * 40
OPENED = b'{"event": "document", "pageCount": 1}\n'
PAGE = b'{"event": "page", "page": 1, "text": "a"}\n'
DONE = b'{"event": "done", "text": "a", "pageCount": 1}\n'
WHOLE = b'{"text": "a", "pageCount": 1, "pages": [{"page": 1, "text": "a"}]}'


def answer(body: bytes, status: str = "200 OK", length: int | None = None, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class Stranger:
    """A server that answers one request a connection with prepared bytes, in order; the last one again and again."""

    answers: list[bytes]
    is_silent_after: bool = False
    """Whether it keeps the connection open, and says nothing more."""
    reads: bool = True
    """Whether it waits for the whole request."""
    asked: list[bytes] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append(await reader.readuntil(b"\r\n\r\n"))
        self.times.append(asyncio.get_running_loop().time())
        if self.reads and b"multipart/form-data" in self.asked[-1]:
            await reader.readuntil(b"--\r\n")
        writer.write(self.answers[min(len(self.asked), len(self.answers)) - 1])
        await writer.drain()
        if self.is_silent_after:
            await reader.read()


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handle: Handler) -> AsyncIterator[str]:
    """Serve connections; gives the URL. All of them are closed at the end."""
    open_now: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now[asyncio.current_task()] = writer
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await handle(reader, writer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=1024 * 1024)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in open_now.values():
            writer.transport.abort()
        await asyncio.gather(*open_now)


@asynccontextmanager
async def stranger(*answers: bytes, **traits: bool) -> AsyncIterator[Stranger]:
    one = Stranger(list(answers), **traits)
    async with serving(one.serve) as one.url:
        yield one


async def read(client: AsyncClient, **more: float) -> object:
    return await client.read(DOCUMENT, **more)


async def stream(client: AsyncClient, **more: float) -> object:
    return [event async for event in client.stream(DOCUMENT, **more)]


async def read_much(client: AsyncClient) -> object:
    return await client.read(b"%PDF-" + bytes(30_000_000))


async def stream_much(client: AsyncClient) -> object:
    return [event async for event in client.stream(b"%PDF-" + bytes(30_000_000))]


async def embed(client: AsyncClient, **more: float) -> object:
    return await client.embed(["a"], **more)


async def health(client: AsyncClient, **more: float) -> object:
    return await client.health(**more)


CALLS = pytest.mark.parametrize("call", [read, stream, embed, health], ids=lambda call: call.__name__)

NOT_OURS = {
    "html": answer(b"<html><body>Welcome to nginx!</body></html>", Content_Type="text/html"),
    "nothing": answer(b""),
    "another's JSON": answer(b'{"ok": true}', Content_Type="application/json"),
    "half a line of JSON": answer(b'{"event": "page", "pa'),
    "a list": answer(b"[]"),
    "no UTF-8": answer(b"\xff\xfe\xff\n"),
    "no HTTP": b"SSH-2.0-OpenSSH_9.9\r\n",
    "deep JSON": answer(b"[" * 100_000),
    "another success": answer(b"", "204 No Content"),
    "broken gzip": answer(b"nonsense", Content_Encoding="gzip"),
    "a header without an end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
}


@CALLS
@pytest.mark.parametrize("what", NOT_OURS)
async def test_what_is_no_sidecar_is_told_as_that(call, what):
    async with stranger(NOT_OURS[what]) as other, AsyncClient(other.url) as client:
        with pytest.raises(BadAnswerError):
            await call(client, timeout_s=20)


@pytest.mark.parametrize(
    "cut",
    [
        answer(OPENED + PAGE),
        answer(OPENED + PAGE, length=500),
        answer(OPENED + PAGE + DONE[:20]),
        answer(OPENED + PAGE + DONE[:20], length=500),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(OPENED), OPENED),
    ],
    ids=["no end", "cut between lines", "half a line", "cut in a line", "chunks without an end"],
)
async def test_a_stream_that_breaks_off_is_never_taken_for_a_whole_one(cut):
    async with stranger(cut) as other, AsyncClient(other.url) as client:
        with pytest.raises(BadAnswerError):
            await stream(client)


async def test_an_answer_that_breaks_off_is_never_taken_for_a_whole_one():
    async with stranger(answer(WHOLE, length=len(WHOLE) + 1)) as other, AsyncClient(other.url) as client:
        with pytest.raises(BadAnswerError, match="breaks off"):
            await read(client)


async def test_what_would_be_a_good_answer_is_one():
    """So that the tests beside it fail for their reason."""
    async with stranger(answer(WHOLE), answer(OPENED + PAGE + DONE)) as other, AsyncClient(other.url) as client:
        assert (await client.read(DOCUMENT)).text == "a"
        assert len(await stream(client)) == 3


@CALLS
async def test_a_redirect_is_not_followed_and_the_key_stays_here(call):
    async with stranger(answer(WHOLE)) as thief:
        away = answer(b"", "307 Temporary Redirect", Location=thief.url + "/ocr-upload")
        async with stranger(away) as other, AsyncClient(other.url, KEY) as client:
            with pytest.raises(BadAnswerError, match="redirects"):
                await call(client)
        assert KEY.encode() in other.asked[0]
        assert thief.asked == []


@CALLS
async def test_a_stranger_s_hour_is_not_waited_for(call):
    busy = answer(b"", "429 Too Many Requests", Retry_After="600")
    async with stranger(busy) as other, AsyncClient(other.url) as client, asyncio.timeout(10):
        with pytest.raises(BusyError) as raised:
            await call(client)
        assert (raised.value.retry_after_s, raised.value.code) == (600, "")
        assert len(other.asked) == 1


async def test_a_pause_that_ends_after_the_caller_s_deadline_is_not_begun():
    busy = answer(b"", "503 Service Unavailable", Retry_After="30")
    async with stranger(busy) as other, AsyncClient(other.url) as client, asyncio.timeout(10):
        with pytest.raises(BusyError):
            await read(client, timeout_s=20)
        assert len(other.asked) == 1


async def test_a_service_that_is_busy_again_and_again_is_given_up_and_never_asked_in_a_tight_loop():
    busy = answer(b"", "503 Service Unavailable", Retry_After="0")
    async with stranger(busy) as other, AsyncClient(other.url, patience_s=1.0) as client, asyncio.timeout(10):
        with pytest.raises(BusyError):
            await read(client)
        assert 3 <= len(other.asked) <= 5
        assert min(late - soon for soon, late in zip(other.times, other.times[1:], strict=False)) >= 0.19


@pytest.mark.parametrize("call", [read, stream], ids=lambda call: call.__name__)
async def test_the_whole_document_is_sent_again_after_a_pause(call):
    busy = answer(b'{"code": "queue_full", "detail": "d"}', "429 Too Many Requests", Retry_After="0")
    good = answer(WHOLE if call is read else OPENED + PAGE + DONE)
    async with stranger(busy, busy, good) as other, AsyncClient(other.url) as client:
        await call(client)
        lengths = {line for head in other.asked for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")}
    assert len(other.asked) == 3
    assert len(lengths) == 1
    assert int(lengths.pop().partition(b": ")[2]) > len(DOCUMENT)


@CALLS
@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"], ids=["nothing", "a byte"])
async def test_whoever_falls_silent_is_given_up_in_the_caller_s_time(call, said):
    async with stranger(said, is_silent_after=True) as other, AsyncClient(other.url) as client, asyncio.timeout(15):
        with pytest.raises(TimedOutError):
            await call(client, timeout_s=0.5)


async def test_a_client_s_own_time_bounds_its_calls():
    async with stranger(b"", is_silent_after=True) as other, AsyncClient(other.url, timeout_s=0.5) as client:
        async with asyncio.timeout(15):
            with pytest.raises(TimedOutError):
                await read(client)


@CALLS
async def test_who_hangs_up_before_an_answer_could_not_be_asked(call):
    async with stranger(b"") as other, AsyncClient(other.url) as client:
        with pytest.raises(UnreachableError):
            await call(client)


@CALLS
@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://no-such-host.invalid"])
async def test_who_is_not_there_cannot_be_reached(call, url):
    async with AsyncClient(url) as client:
        with pytest.raises(UnreachableError, match="cannot be reached"):
            await call(client, timeout_s=30)


async def test_an_error_while_the_document_is_still_sent_is_the_error():
    refused = answer(b'{"code": "too_large", "detail": "d", "requestId": "r"}', "413 Content Too Large")
    async with stranger(refused, reads=False, is_silent_after=True) as other, AsyncClient(other.url) as client:
        with pytest.raises(ServiceError) as raised:
            await client.read(b"%PDF-" + bytes(30_000_000), timeout_s=20)
    assert (raised.value.code, raised.value.request_id) == ("too_large", "r")


class Deaf(Stranger):
    """A server that answers at once, and takes nothing of what it is sent."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self.answers[min(len(self.asked), len(self.answers)) - 1])
        await writer.drain()
        await writer.wait_closed()


@pytest.mark.parametrize("call", [read_much, stream_much], ids=["read", "stream"])
async def test_who_answers_and_takes_nothing_more_does_not_hold_the_caller(call):
    refused = answer(b'{"code": "too_large", "detail": "d"}', "413 Content Too Large")
    deaf = Deaf([refused])
    async with serving(deaf.serve) as url, AsyncClient(url) as client, asyncio.timeout(20):
        with pytest.raises(ServiceError, match="too_large"):
            await call(client)


class Interleaved(io.BytesIO):
    """A document whose first read, in a thread, goes on while the document is sent again."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.seeks = 0
        self.reads = 0
        self.sought_again = threading.Event()
        self.first_was_read = threading.Event()

    def seek(self, place: int, whence: int = 0) -> int:
        self.seeks += 1
        found = super().seek(place, whence)
        if self.seeks > 2:  # one measured it, one began to read it
            self.sought_again.set()
        return found

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        if self.reads > 1:
            self.first_was_read.wait(1.0)
            return super().read(size)
        self.sought_again.wait(1.0)
        chunk = super().read(size)
        self.first_was_read.set()
        return chunk


async def test_a_document_that_is_sent_again_while_the_first_try_still_reads_it_arrives_whole():
    busy = answer(b"", "429 Too Many Requests", Retry_After="0")
    content = b"%PDF-" + bytes(range(256)) * 4000
    document = Interleaved(content)
    received = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        received.append(b"")
        if len(received) == 1:
            await until(lambda: document.reads == 1)
        else:
            received[-1] = await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
        writer.write(busy if len(received) == 1 else answer(WHOLE))
        await writer.drain()

    async with serving(serve) as url, AsyncClient(url) as client:
        await client.read(document)
    assert content in received[1]


async def test_an_error_page_of_a_proxy_has_its_status():
    page = answer(b"<html>" + b"x" * 1_000_000, "502 Bad Gateway", Content_Type="text/html")
    async with stranger(page) as other, AsyncClient(other.url) as client:
        with pytest.raises(ServiceError) as raised:
            await read(client)
    assert (raised.value.status, str(raised.value)) == (502, "the service answered with status 502")


class Flood(Stranger):
    """A server that never stops sending."""

    sent = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(self.answers[0])
            self.sent += len(self.answers[0])
            await writer.drain()


@pytest.mark.parametrize(
    ("call", "most"), [(stream, 2 * MAX_LINE_BYTES), (embed, 2 * MAX_ANSWER_BYTES)], ids=["a line", "a body"]
)
async def test_an_endless_answer_is_cut_off(call, most):
    flood = Flood([b" " * 1_000_000])
    async with serving(flood.serve) as url, AsyncClient(url) as client:
        with pytest.raises(BadAnswerError, match=r"too long|larger"):
            await call(client, timeout_s=60)
    assert flood.sent < most


async def test_a_client_that_is_closed_says_so():
    client = AsyncClient("http://127.0.0.1:9")
    await client.close()
    with pytest.raises(RuntimeError, match="the client is closed"):
        await read(client)


async def closed_during(call, other: Stranger) -> float:
    """Close a client whose call waits; return how long its end took, in seconds."""
    client = AsyncClient(other.url)
    calling = asyncio.create_task(call(client))
    await until(lambda: other.asked)
    _, waiting = await asyncio.wait({calling}, timeout=0.3)
    assert waiting
    closed_s = asyncio.get_running_loop().time()
    await client.close()
    with pytest.raises(RuntimeError, match="the client is closed"):
        await asyncio.wait_for(calling, 20)
    return asyncio.get_running_loop().time() - closed_s


@CALLS
async def test_closing_ends_the_pause_before_a_busy_service_is_asked_again(call):
    busy = answer(b"", "429 Too Many Requests", Retry_After="8")
    async with stranger(busy) as other:
        assert await closed_during(call, other) < 2
        assert len(other.asked) == 1


@CALLS
async def test_closing_ends_a_call_that_nobody_answers(call):
    async with stranger(b"", is_silent_after=True) as other:
        assert await closed_during(call, other) < 2


async def test_closing_ends_a_stream_in_its_middle():
    async with stranger(answer(PAGE, length=5000), is_silent_after=True) as other:
        assert await closed_during(stream, other) < 2


async def test_the_blocking_client_meets_the_same():
    async with stranger(answer(b"<html>")) as other:

        def use() -> None:
            with Client(other.url) as client, pytest.raises(BadAnswerError, match="no sidecar"):
                client.read(DOCUMENT)

        await asyncio.to_thread(use)


async def test_unknown_events_and_fields_of_a_newer_service_do_no_harm():
    newer = OPENED + b'{"event": "weather"}\n' + PAGE + b'{"event": "done", "text": "a", "pageCount": 1, "new": {}}\n'
    async with stranger(answer(newer)) as other, AsyncClient(other.url) as client:
        *_, summary = await stream(client)
    assert json.loads(summary.model_dump_json())["new"] == {}
