"""What is no HTTP/1.1: it gets the one error shape, is counted, and costs as little log as any refusal."""

import io
import json
import logging

import pytest

from sidecar.api.app_keys import METRICS
from tests.integration.sidecar.raw import FORM, KEY, ask, connected, head, status_of

JSON = {"Content-Type": "application/json", "X-API-Key": KEY}
SMUGGLED = head("GET", "/smuggled", {"X-API-Key": KEY})
MARK = b"zzqq"
MALFORMED = {
    "two lengths of a body": head("POST", "/embed", JSON | {"Content-Length": "2\r\nContent-Length: 0"})
    + b"{}"
    + SMUGGLED,
    "a length and chunks": head("POST", "/embed", JSON | {"Content-Length": "5", "Transfer-Encoding": "chunked"})
    + b"0\r\n\r\n"
    + SMUGGLED,
    "chunks that are none": head("POST", "/embed", JSON | {"Transfer-Encoding": "chunked, identity"}) + SMUGGLED,
    "a length with a sign": head("POST", "/embed", JSON | {"Content-Length": "+2"}) + b"{}",
    "a folded header": b"GET /health HTTP/1.1\r\nHost: a\r\nX-A: b\r\n zzqq\r\n\r\n",
    "bare line feeds": b"GET /health HTTP/1.1\nHost: a\n\n",
    "a carriage return in a value": head("GET", "/health", {"X-A": "b\rzzqq"}),
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "a TLS hello": bytes.fromhex("16030100c8010000c40303") + bytes(190),
    "a long path": head("GET", "/" + "zzqq" * 3000, {}),
    "a long header": head("GET", "/health", {"Cookie": "zzqq=a; " * 2000}),
    "a name with NUL": head("GET", "/health", {"X\0A": "b"}),
    "a URL that is none": b"GET http://[::1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a websocket that speaks": head("GET", "/health", {"Connection": "Upgrade", "Upgrade": "websocket"})
    + MARK * 100_000,
    "a tunnel that speaks": head("CONNECT", "a:1", {}) + MARK * 100_000,
}


@pytest.fixture
async def guarded(start):
    return await start(OCR_AUTH_MODE="api-key", OCR_SIDECAR_API_KEY=KEY)


@pytest.fixture
def log():
    """All that is logged, as bytes that would lie on a disk."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    logging.getLogger().addHandler(handler)
    yield written
    logging.getLogger().removeHandler(handler)


@pytest.mark.parametrize("port", ["url", "ops"])
@pytest.mark.parametrize("sent", MALFORMED.values(), ids=list(MALFORMED))
async def test_a_malformed_request_is_refused_in_the_one_shape_and_repeats_nothing(guarded, log, caplog, port, sent):
    caplog.set_level(logging.INFO)
    answer = await ask(getattr(guarded, port), sent)

    last = answer[answer.rindex(b"HTTP/1.0 ") :]
    first, _, body = last.partition(b"\r\n\r\n")
    assert status_of(last) == 400
    assert json.loads(body).keys() == {"detail", "code", "requestId"}
    assert json.loads(body)["code"] == "bad_request"
    assert f"X-Request-Id: {json.loads(body)['requestId']}".encode() in first
    assert b"aiohttp" not in first
    assert MARK not in answer
    assert MARK.decode() not in log.getvalue()
    assert len(log.getvalue()) < 1000
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("port", ["url", "ops"])
@pytest.mark.parametrize("begun", [b"GET / HTTP/1.1\r\nX: ", b"GET /", b"GET / HTTP/1.1\r\n\r\n", b"\0"])
async def test_who_still_sends_what_is_malformed_gets_the_answer_and_no_reset(guarded, port, begun):
    async with connected(getattr(guarded, port)) as (reader, writer):
        writer.write(begun + b"a" * 2_000_000)
        answer = await reader.read()  # a reset would raise

    assert (status_of(answer), json.loads(answer.partition(b"\r\n\r\n")[2])["code"]) == (400, "bad_request")


async def test_malformed_requests_are_counted(guarded):
    for _ in range(3):
        await ask(guarded.url, b"GET /health HTTP/1.1\r\n\r\n")
    registry = guarded.service.api[METRICS].registry
    assert registry.get_sample_value("ocr_errors_total", {"code": "bad_request"}) == 3
    asked = {"route": "unknown", "method": "other", "status": "400"}
    assert registry.get_sample_value("ocr_http_requests_total", asked) == 3


# ── Expect ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("headers", "statuses"),
    [
        ({"X-API-Key": KEY}, [b"100", b"400"]),
        ({}, [b"401"]),
        ({"X-API-Key": "wrong"}, [b"401"]),
        ({"X-API-Key": KEY, "Content-Encoding": "gzip"}, [b"415"]),
    ],
)
async def test_only_who_may_send_a_body_is_asked_for_it(guarded, headers, statuses):
    asked = head(
        "POST", "/ocr-upload", FORM | headers | {"Expect": "100-continue", "Content-Length": "9", "Connection": "close"}
    )
    async with connected(guarded.url) as (reader, writer):
        writer.write(asked)
        answers = [(await reader.readuntil(b"\r\n")).split()[1]]
        if answers == [b"100"]:
            writer.write(b"no parts!")
        answers += [line.split()[1] for line in (await reader.read()).splitlines() if line.startswith(b"HTTP/1.1")]

    assert answers == statuses


@pytest.mark.parametrize(
    ("port", "method", "path"),
    [("url", "POST", "/ocr"), ("url", "GET", "/health"), ("url", "GET", "/nothing"), ("ops", "GET", "/livez")],
)
async def test_another_expectation_is_refused_in_the_one_shape_logged_and_counted(
    guarded, log, caplog, port, method, path
):
    caplog.set_level(logging.INFO)
    headers = {"Expect": "zzqq" * 1000, "Connection": "close"}
    answer = await ask(getattr(guarded, port), head(method, path, headers))

    first, _, body = answer.partition(b"\r\n\r\n")
    assert status_of(answer) == 417
    assert json.loads(body)["code"] == "bad_request"
    assert f"X-Request-Id: {json.loads(body)['requestId']}".encode() in first
    assert MARK not in answer
    assert MARK.decode() not in log.getvalue()
    asked = {"route": "unknown", "method": "other", "status": "417"}
    registry = guarded.service.api[METRICS].registry
    assert registry.get_sample_value("ocr_http_requests_total", asked) == 1
    assert sum(record.name == "sidecar.access" for record in caplog.records) == 1


# ── transfer codings ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_body_packed_for_its_transfer_is_refused_too(guarded):
    headers = JSON | {"Transfer-Encoding": "gzip, chunked", "Connection": "close"}

    assert status_of(await ask(guarded.url, head("POST", "/embed", headers) + b"2\r\n{}\r\n0\r\n\r\n")) == 415
