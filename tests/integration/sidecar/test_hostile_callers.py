"""Callers who mean harm, on real sockets: what they send is bounded before anybody knows who they are."""

import asyncio
import contextlib
import functools
import gzip
import json
import socket
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from sidecar.api.app_keys import CONNECTIONS, LINGERING
from sidecar.service import listener
from sidecar.service.listener import HANDSHAKE_S
from sidecar.service.port import READ_S
from tests.conftest import until
from tests.integration.sidecar.raw import CRUMB, FORM, KEY, ask, connected, head, status_of

MIB = 1024 * 1024
PART = b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
OPS_PATHS = ("/livez", "/readyz", "/metrics", "/profiles")
API_PATHS = ("/health", "/openapi.json", "/nothing")


@pytest.fixture
async def guarded(start):
    return await start(OCR_AUTH_MODE="api-key", OCR_SIDECAR_API_KEY=KEY)


def body_of(answer: bytes) -> dict:
    return json.loads(answer.partition(b"\r\n\r\n")[2])


@contextlib.contextmanager
def cpu_seconds(at_most: float):
    """The service runs in this process, as does who attacks it."""
    before = time.process_time()
    yield
    assert time.process_time() - before < at_most


# ── packed bodies ─────────────────────────────────────────────────────────────────────────────────────────────────


@functools.cache
def bomb(mebibytes: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(bytes(MIB)) for _ in range(mebibytes)), packer.flush()])


@pytest.mark.parametrize("path", ["/ocr-upload", "/ocr", "/embed", *API_PATHS, *OPS_PATHS])
async def test_a_packed_body_is_refused_on_every_route_and_never_unpacked(guarded, path):
    packed = bomb(200)
    url = guarded.ops if path in OPS_PATHS else guarded.url
    method = "GET" if path in {*OPS_PATHS, *API_PATHS} else "POST"
    headers = FORM | {"Content-Encoding": "gzip", "Content-Length": str(len(packed)), "Connection": "close"}
    with cpu_seconds(0.4):
        answer = await ask(url, head(method, path, headers) + packed)

    assert (status_of(answer), body_of(answer)["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "x-own", "identity, gzip", "GZIP"])
async def test_whatever_the_body_is_packed_with_it_is_refused(service, encoding):
    packed = gzip.compress(PART + b"%PDF-1.7\r\n--x--\r\n")
    headers = FORM | {"Content-Encoding": encoding, "Content-Length": str(len(packed)), "Connection": "close"}

    assert status_of(await ask(service.url, head("POST", "/ocr-upload", headers) + packed)) == 415


async def test_a_body_that_says_it_is_not_packed_is_taken(service, data):
    body = PART + (data / "digital.pdf").read_bytes() + b"\r\n--x--\r\n"
    headers = FORM | {"Content-Encoding": "identity", "Content-Length": str(len(body)), "Connection": "close"}

    assert status_of(await ask(service.url, head("POST", "/ocr-upload", headers) + body)) == 200


# ── bodies that nobody wants ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", [*API_PATHS, *OPS_PATHS])
async def test_a_body_where_none_belongs_ends_the_connection_with_the_answer(guarded, path):
    url = guarded.ops if path in OPS_PATHS else guarded.url
    answer = await ask(url, [head("GET", path, {"Content-Length": str(99 * MIB)}), *[bytes(MIB)] * 99])

    assert status_of(answer) == (401 if path == "/nothing" else 200)
    assert b"Connection: close" in answer


@pytest.mark.parametrize("key", [{}, {"X-API-Key": "wrong"}])
async def test_who_has_no_key_hears_so_while_still_sending_and_is_not_parsed(guarded, key):
    crumbs = [head("POST", "/ocr-upload", FORM | key | {"Transfer-Encoding": "chunked"}), *[CRUMB * 10_000] * 200]
    with cpu_seconds(1.0):  # parsed, these would take 3
        answer = await ask(guarded.url, crumbs)

    assert status_of(answer) == 401
    await until(lambda: not guarded.service._api_port.connections, 10)


async def test_the_description_which_needs_no_key_costs_next_to_nothing(guarded):
    asked = head("GET", "/openapi.json", {"Connection": "close"})
    await ask(guarded.url, asked)
    with cpu_seconds(0.5):  # made anew each time, 2
        for _ in range(20):
            assert status_of(await ask(guarded.url, asked)) == 200


# ── multipart ─────────────────────────────────────────────────────────────────────────────────────────────────────

LINES = b"a\r\n" * 700_000
ENDLESS_PARTS = [
    pytest.param(LINES, id="a preamble of lines"),
    pytest.param(b"a" * 2 * MIB, id="a preamble without lines"),
    pytest.param(b"\r\n--" * MIB, id="a preamble of almost boundaries"),
    pytest.param(b"--x\r\nX: " + b"a" * 2 * MIB, id="a header without an end"),
    pytest.param(b"--x\r\n" + b"X-A: 1\r\n" * 200_000, id="headers without an end"),
    pytest.param(b"--x\r\nContent-Disposition: form-data\r\n" + b" a\r\n" * 200_000, id="a header of many lines"),
    pytest.param(PART + b"%PDF-1.7\r\n--x--\r\n" + LINES, id="an epilogue"),
    pytest.param(b'--x\r\nContent-Disposition: form-data; name=""\r\n\r\n\r\n' * 50_000, id="parts without a name"),
    pytest.param(b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 50_000, id="empty parts"),
    pytest.param(b'--x\r\nContent-Disposition: form-data; name="' + b"\\" * MIB, id="a name without an end"),
]


@pytest.mark.parametrize("body", ENDLESS_PARTS)
async def test_what_is_no_part_is_bounded(service, body):
    sent = head("POST", "/ocr-upload", FORM | {"Content-Length": str(len(body))}) + body
    with cpu_seconds(0.5):
        answer = await ask(service.url, sent)

    assert status_of(answer) in (400, 422)
    assert body_of(answer)["code"] in ("malformed_body", "invalid_value")


async def test_an_endless_number_of_fields_ends_at_the_limit(service):
    body = b"".join(b'--x\r\nContent-Disposition: form-data; name="f%d"\r\n\r\n\r\n' % one for one in range(50_000))
    with cpu_seconds(0.5):
        answer = await ask(service.url, head("POST", "/ocr-upload", FORM | {"Content-Length": str(len(body))}) + body)

    assert (status_of(answer), body_of(answer)["code"]) == (422, "invalid_value")


@pytest.mark.parametrize("path", ["/ocr-upload", "/ocr", "/embed"])
async def test_a_body_cut_into_crumbs_is_refused_soon(service, path):
    """Each chunk costs as much as one of 64 KiB."""
    pieces = [
        head("POST", path, FORM | {"Transfer-Encoding": "chunked"}),
        b"%x\r\n%s\r\n" % (len(PART), PART),
        *[CRUMB * 10_000] * 100,
    ]
    with cpu_seconds(1.0):  # read to its end, it takes 3
        answer = await ask(service.url, pieces)

    assert (status_of(answer), body_of(answer)["code"]) == (400, "malformed_body")


async def test_a_body_of_short_lines_as_chunks_is_taken(service, data):
    body = PART + (data / "digital.pdf").read_bytes() + b"\n" * MIB + b"\r\n--x--\r\n"
    lines = [body[at : at + 80] for at in range(0, len(body), 80)]
    sent = [head("POST", "/ocr-upload", FORM | {"Transfer-Encoding": "chunked", "Connection": "close"})]
    sent += [b"%x\r\n%s\r\n" % (len(line), line) for line in lines]

    assert status_of(await ask(service.url, [*sent, b"0\r\n\r\n"])) == 200


@pytest.mark.parametrize("preamble", [b"", b"\r\n", b"This is a message.\r\n" * 10])
@pytest.mark.parametrize("epilogue", [b"", b"\r\n", b"bye\r\n" * 100])
@pytest.mark.parametrize("cut", [1, 7, 10**9])
async def test_a_short_preamble_and_epilogue_are_skipped_however_the_bytes_are_cut(
    service, data, preamble, epilogue, cut
):
    body = preamble + PART + (data / "blank-pages.pdf").read_bytes()[:2000] + b"\r\n--x--" + epilogue
    sent = head("POST", "/ocr-upload", FORM | {"Content-Length": str(len(body)), "Connection": "close"}) + body
    answer = await ask(service.url, [sent[at : at + cut] for at in range(0, len(sent), cut)])

    assert body_of(answer)["code"] == "document_unreadable"  # half a PDF: it has arrived


LONG_TYPES = {
    "semicolons": "multipart/form-data" + ";" * 8000,
    "quotes": "multipart/form-data; x=" + '"' * 8000,
    "brackets": "multipart/form-data; x=" + "(" * 8000,
    "pieces of a parameter": "multipart/form-data; " + "".join(f"a*{number}=b; " for number in range(800)),
    "equals signs": "multipart/form-data; " + "=" * 8000,
}


@pytest.mark.parametrize("content_type", LONG_TYPES.values(), ids=list(LONG_TYPES))
async def test_a_long_content_type_is_read_at_once(service, content_type):
    sent = head("POST", "/ocr-upload", {"Content-Type": content_type, "Content-Length": "1", "Connection": "close"})
    with cpu_seconds(0.1):  # aiohttp's own parser needs up to 1.5
        answer = await ask(service.url, sent + b"x")

    assert (status_of(answer), body_of(answer)["code"]) == (400, "malformed_body")


# ── connections ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_more_connections_than_may_be_shut_nobody_out(start):
    service = await start(OCR_MAX_CONNECTIONS="20")
    async with contextlib.AsyncExitStack() as idle:
        for _ in range(60):
            await idle.enter_async_context(connected(service.url))
        for _ in range(30):
            assert status_of(await ask(service.url, head("GET", "/health", {"Connection": "close"}))) == 200
        assert service.service.api[CONNECTIONS].open <= 20
        assert service.service.api[CONNECTIONS].shed >= 40


async def test_a_rush_of_connections_does_not_end_those_that_have_just_come(start):
    service = await start(OCR_MAX_CONNECTIONS="5")
    async with connected(service.url) as (reader, writer), contextlib.AsyncExitStack() as rush:
        for _ in range(20):
            await rush.enter_async_context(connected(service.url))
        await asyncio.sleep(0.2)  # time enough to close the connection that came first
        writer.write(head("GET", "/health", {"Connection": "close"}))
        assert status_of(await reader.read()) == 200


async def test_a_connection_at_work_is_not_given_up_for_another(start, data):
    service = await start(OCR_MAX_CONNECTIONS="2")
    body = PART + (data / "digital.pdf").read_bytes() + b"\r\n--x--\r\n"
    sent = head("POST", "/ocr-upload", FORM | {"Content-Length": str(len(body)), "Connection": "close"}) + body
    async with connected(service.url) as (first, one), connected(service.url) as (second, two):
        for writer in (one, two):
            writer.write(sent[:-100])
        await until(lambda: len(service.spooled) == 2)
        third = asyncio.create_task(ask(service.url, head("GET", "/health", {"Connection": "close"})))
        await asyncio.wait([third], timeout=0.3)
        assert not third.done(), "it waits until there is room"
        for writer in (one, two):
            writer.write(sent[-100:])
        assert [status_of(await reader.read()) for reader in (first, second)] == [200, 200]
        assert status_of(await third) == 200


async def test_the_ops_port_makes_room_too(service):
    async with contextlib.AsyncExitStack() as idle:
        for _ in range(300):
            await idle.enter_async_context(connected(service.ops))
        for path in OPS_PATHS:
            assert status_of(await ask(service.ops, head("GET", path, {"Connection": "close"}))) == 200


async def test_a_rush_on_the_ops_port_holds_no_probe_up(service):
    host, port = service.ops.removeprefix("http://").split(":")
    async with contextlib.AsyncExitStack() as rush:
        for _ in range(900):  # as many as wait in the kernel
            one = rush.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex((host, int(port)))
        answer = await ask(service.ops, head("GET", "/livez", {"Connection": "close"}), seconds=5)
    assert status_of(answer) == 200  # if each were spared for a second: after 14


async def test_callers_who_still_send_after_their_answer_hold_no_probe_up(service):
    async with contextlib.AsyncExitStack() as senders:
        for _ in range(64):  # as many as the ops port has connections
            reader, writer = await senders.enter_async_context(connected(service.ops))
            writer.write(head("GET", "/livez", {"Content-Length": "1000000"}) + b"x")
            assert status_of(await reader.readuntil(b"\r\n")) == 200
        answer = await ask(service.ops, head("GET", "/livez", {"Connection": "close"}), seconds=2)
    assert status_of(answer) == 200  # if each lingered for its five seconds, after as long


@pytest.mark.parametrize("port", ["url", "ops"])
async def test_callers_who_read_no_answer_keep_nobody_out(start, port):
    service = await start(OCR_MAX_CONNECTIONS="64")  # as many as the ops port has
    url, path = getattr(service, port), "/openapi.json" if port == "url" else "/metrics"
    host, number = url.removeprefix("http://").split(":")
    with contextlib.ExitStack() as deaf:
        for _ in range(64):
            caller = deaf.enter_context(socket.socket())
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            caller.setblocking(False)
            await asyncio.get_running_loop().sock_connect(caller, (host, int(number)))
            caller.send(head("GET", path, {}) * 400)
        await asyncio.sleep(1.5)  # on the API's port nothing more can be written to any
        answer = await ask(url, head("GET", "/openapi.json", {"Connection": "close"}), seconds=5)
    assert status_of(answer) == (200 if port == "url" else 404)


async def test_a_head_that_does_not_come_ends_the_connection(start):
    service = await start(OCR_HEAD_SECONDS="0.3")
    for begun in (b"", b"GET /health HTT", head("GET", "/health", {}) + b"GET /hea"):
        async with connected(service.url) as (reader, writer), asyncio.timeout(3):
            writer.write(begun)
            assert (await reader.read()).count(b"HTTP/1.1 200") == begun.count(b"\r\n\r\n")


# ── probes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def probe(url: str, path: str) -> tuple[int, dict]:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as caller:
        caller.sendall(head("GET", path, {"Connection": "close"}))
        answer = b"".join(iter(lambda: caller.recv(65536), b""))
    return status_of(answer), body_of(answer) if b"json" in answer else {}


@pytest.mark.alone
async def test_a_probe_comes_between_the_long_answers_that_many_ask_for(service):
    many = head("GET", "/metrics", {}) * 300
    async with contextlib.AsyncExitStack() as rush:
        for _ in range(50):
            _, writer = await rush.enter_async_context(connected(service.ops))
            writer.write(many)
        await asyncio.sleep(0.2)  # all have asked
        began_s = time.monotonic()
        livez, _ = await asyncio.to_thread(probe, service.ops, "/livez")
        took_s = time.monotonic() - began_s

    assert livez == 200
    assert took_s < 0.5  # a round in which each of them is answered takes as long, and a probe needs several


async def probes_while_blocked(service, seconds: float, *paths: str) -> list[tuple[int, dict]]:
    """Ask from a thread while this event loop, the service's, does nothing else."""

    def later() -> list[tuple[int, dict]]:
        time.sleep(seconds * 0.8)
        return [probe(service.ops, path) for path in paths]

    with ThreadPoolExecutor() as threads:
        asking = threads.submit(later)
        time.sleep(seconds)  # the event loop stands still
        assert asking.done(), "it is answered only when the event loop turns again"
        return asking.result()


async def test_probes_are_answered_while_the_event_loop_is_busy(service):
    (livez, readyz, metrics) = await probes_while_blocked(service, 2, "/livez", "/readyz", "/metrics")

    assert livez == (200, {"status": "ok"})
    assert (readyz[0], metrics[0]) == (200, 200)


async def test_an_event_loop_that_stands_still_for_too_long_is_dead(start):
    service = await start(OCR_STALL_SECONDS="1")
    (livez,) = await probes_while_blocked(service, 3, "/livez")

    assert livez == (503, {"status": "dead", "reason": "event-loop-stalled"})
    await until(lambda: probe(service.ops, "/livez")[0] == 200)


# ── answers that nobody reads, and the last moment ────────────────────────────────────────────────────────────────


async def test_a_caller_that_reads_none_of_its_answers_loses_its_connection(start):
    service = await start(OCR_RECEIVE_SECONDS="0.5")
    host, port = service.url.removeprefix("http://").split(":")
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(caller, (host, int(port)))
        asking = asyncio.create_task(loop.sock_sendall(caller, head("GET", "/openapi.json", {}) * 2000))
        await until(lambda: service.service._api_port.connections)
        await until(lambda: not service.service._api_port.connections, 20)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def test_what_waits_at_the_port_when_it_closes_is_answered(service):
    host, port = service.url.removeprefix("http://").split(":")
    callers = [socket.create_connection((host, int(port))) for _ in range(40)]  # the event loop takes none meanwhile
    for caller in callers:
        caller.sendall(head("POST", "/ocr", {"Content-Length": "0"}))
    await service.service.stop(5)

    assert [status_of(caller.recv(65536)) for caller in callers] == [503] * len(callers)
    for caller in callers:
        caller.close()


async def test_who_still_sends_when_the_port_ends_has_time_to_read_the_answer(service):
    """The process's end closes the socket on which bytes arrive, which resets it."""
    async with connected(service.url) as (reader, writer):
        writer.write(head("POST", "/nothing", {"Content-Length": "1000000"}) + b"x")
        await until(lambda: service.service.api[LINGERING].count)
        started_s = time.monotonic()
        await service.service._api_port.close(frozenset(), READ_S)
        assert time.monotonic() - started_s >= HANDSHAKE_S + READ_S
        assert status_of(await reader.read()) == 404


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no packet filter keeps connections from beginning")
def test_no_connection_begins_between_the_last_that_is_accepted_and_the_end_of_the_port():
    with socket.create_server(("127.0.0.1", 0)) as port, socket.create_connection(port.getsockname()) as early:
        listener._begin_no_more(port)
        early.sendall(b"what was begun goes on")
        with pytest.raises(TimeoutError):
            socket.create_connection(port.getsockname(), timeout=0.3)
        port.setblocking(False)
        accepted, _ = port.accept()
        with accepted:
            accepted.setblocking(True)
            assert accepted.recv(100) == b"what was begun goes on"
        with pytest.raises(BlockingIOError):
            port.accept()
