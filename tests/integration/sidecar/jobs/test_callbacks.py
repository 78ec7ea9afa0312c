"""Calls to those who want to be told of a job's end, on real sockets: signed, repeated, and to allowed hosts alone."""

import asyncio
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sidecar.jobs.calling.callbacks import RefusedAddressError, check_address
from sidecar.jobs.calling.calls_log import MOST_CALLS, RETRY_S, Attempt, CallsLog, CallState
from sidecar.jobs.calling.signing import signature
from tests.integration.sidecar.jobs.serving import Caller

SECRET = b"a secret that was rotated"


class Receiver:
    """A caller's server: answers with these statuses in turn, then with 204."""

    def __init__(self, *statuses: int):
        self._statuses = list(statuses)
        self.calls = []
        app = web.Application()
        app.router.add_post("/told", self._told)
        app.router.add_post("/elsewhere", self._told)
        self.server = TestServer(app)

    async def _told(self, request):
        self.calls.append((request.path, request.headers, await request.read()))
        status = self._statuses.pop(0) if self._statuses else 204
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else None)

    async def __aenter__(self):
        await self.server.start_server()
        return self

    async def __aexit__(self, *_):
        await self.server.close()


@pytest.fixture
async def serve(start, tmp_path):
    async def make(hosts: str):
        (tmp_path / "secret").write_bytes(SECRET + b"\n")
        service = await start(
            OCR_JOBS="embedded",
            OCR_JOBS_DIR=str(tmp_path / "jobs"),
            OCR_JOBS_CALLBACK_HOSTS=hosts,
            OCR_JOBS_CALLBACK_SECRET_FILE=str(tmp_path / "secret"),
        )
        return service, Caller(service)

    return make


async def callback_of(caller: Caller, job: str, state: str) -> dict:
    async with asyncio.timeout(40):
        while True:
            told = (await caller.get(f"/{job}"))[1]["callback"]
            if told["state"] == state:
                return told
            await asyncio.sleep(0.1)


async def test_the_end_of_a_job_is_told_once_signed_and_again_until_somebody_answers(serve):
    async with Receiver(302) as receiver:
        url = f"http://127.0.0.1:{receiver.server.port}/told"
        service, caller = await serve(f"http://127.0.0.1:{receiver.server.port}")
        _, job = await caller.submit(callbackUrl=url, label="may")
        assert job["callback"] == {"state": "waiting", "attempts": []}
        told = await callback_of(caller, job["id"], "delivered")
    assert [one["status"] for one in told["attempts"]] == [302, 204]
    assert [path for path, _, _ in receiver.calls] == ["/told"] * 2, "no redirection is followed"
    _, headers, body = receiver.calls[-1]
    body_told = json.loads(body)
    assert [body_told[name] for name in ("id", "state", "label", "error")] == [job["id"], "done", "may", None]
    assert body_told["pagesDone"] == body_told["pages"] > 0
    fields = dict(part.split("=") for part in headers["X-Ocr-Signature"].split(","))
    signed = hmac.new(SECRET, f"{fields['t']}.".encode() + body, hashlib.sha256).hexdigest()
    assert (fields["v1"], abs(time.time() - int(fields["t"])) < 60) == (signed, True)
    async with service.client.get(f"{service.ops}/metrics") as response:
        text = await response.text()
    assert 'ocr_jobs_callbacks_total{outcome="delivered"} 1.0' in text
    assert 'ocr_jobs_callbacks_total{outcome="retried"} 1.0' in text
    assert 'ocr_jobs_ended_total{state="done"} 1.0' in text
    assert 'ocr_jobs_slices_total{outcome="done"} 1.0' in text
    assert "ocr_jobs_connected 1.0" in text


async def test_a_server_that_is_away_is_named_in_the_log_of_calls(serve, unused_tcp_port):
    _, caller = await serve(f"http://127.0.0.1:{unused_tcp_port}, http://169.254.169.254")
    for url in (f"http://127.0.0.1:{unused_tcp_port}/", "http://169.254.169.254/latest/meta-data"):
        _, job = await caller.submit(callbackUrl=url)
        await caller.ended(job["id"])
        async with asyncio.timeout(20):
            while not (told := (await caller.get(f"/{job['id']}"))[1]["callback"])["attempts"]:
                await asyncio.sleep(0.1)
        assert (told["state"], told["attempts"][0]["status"]) == ("pending", None)
        assert ("must not be called" in told["attempts"][0]["error"]) == ("169.254" in url)


async def test_a_host_that_is_not_listed_is_refused_when_the_job_is_handed_in(serve):
    _, caller = await serve("hooks.example")
    for url in ("https://hooks.example.evil/", "http://hooks.example/", "https://127.0.0.1/"):
        status, body = await caller.submit(callbackUrl=url)
        assert (status, body["code"]) == (422, "invalid_value")
        assert url not in body["detail"]


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fe80::1%eth0", "::ffff:169.254.169.254", "0.0.0.0", "::", "224.0.0.1", "fd00:ec2::254"],
)
def test_addresses_of_the_machine_s_surroundings_are_never_called(address):
    with pytest.raises(RefusedAddressError):
        check_address(address)


@pytest.mark.parametrize("address", ["10.1.2.3", "127.0.0.1", "2001:db8::1", "::ffff:10.1.2.3"])
def test_addresses_of_machines_may_be_called_where_their_host_is_listed(address):
    check_address(address)


def test_calls_are_given_up_after_so_many():
    now = datetime.now(UTC)
    log, waits = CallsLog(), []
    while (after_s := (log := log.with_attempt(Attempt(at=now, status=500))).retry_after_s) is not None:
        waits.append(after_s)
    assert waits == list(RETRY_S)
    assert (log.state, len(log.attempts)) == (CallState.FAILED, MOST_CALLS)
    assert CallsLog.unpacked(log.packed()) == log
    delivered = CallsLog().with_attempt(Attempt(at=now, status=204))
    assert (delivered.state, delivered.retry_after_s) == (CallState.DELIVERED, None)


def test_a_signature_holds_for_its_time_its_body_and_its_secret_alone():
    one = signature(SECRET, 5, b"body")
    assert one.startswith("t=5,v1=")
    assert len({one, signature(b"x", 5, b"body"), signature(SECRET, 6, b"body"), signature(SECRET, 5, b"bodies")}) == 4
