"""What every client of a model server does, whichever API it speaks: a further API joins by one line."""

import asyncio
import contextlib
import time

import pytest
from aiohttp import web

from sidecar.engines.servers.chat import ChatTimeouts
from sidecar.errors import DeadlineError, EngineFailedError, EngineUnavailableError
from tests.conftest import until
from tests.integration.sidecar.chat_clients import APIS, QUICK
from tests.integration.sidecar.odd_servers import blackhole, server
from tools.fakes.ollama import Answer, Outcome, Trap

THAI = "ประกาศกระทรวง เรื่อง การจัดซื้อ <จัดจ้าง> & อื่น ๆ\n"


@pytest.fixture(params=APIS.values(), ids=list(APIS))
def api(request):
    return request.param


@pytest.mark.parametrize("wire_bytes", [1, 2, 3, 7])
async def test_thai_letters_split_over_the_wire_arrive_whole(api, wire_bytes):
    assert (await api.chat_with(Answer(THAI, wire_bytes=wire_bytes))).content == THAI


async def test_what_a_model_thinks_is_not_its_answer(api):
    assert (await api.chat_with(Answer("a page", thinking="let me see"))).content == "a page"


async def test_a_stream_that_ends_without_saying_so_is_cut_and_keeps_its_text(api):
    stream = await api.chat_with(Answer("one two three four", trap=Trap.CUT, after_chunks=2))
    assert (stream.content, stream.done_reason, stream.error) == ("one two ", "cut", None)


@pytest.mark.parametrize("trap", [Trap.RESET, Trap.CLOSE, Trap.ERROR_LINE, Trap.GARBAGE, Trap.HUGE_LINE])
async def test_a_stream_that_breaks_in_the_middle_keeps_its_text_and_the_reason(api, trap):
    stream = await api.chat_with(Answer("one two three four", trap=trap, after_chunks=2))
    assert (stream.content, stream.done_reason) == ("one two ", "error")
    assert isinstance(stream.error, EngineFailedError)


@pytest.mark.parametrize(
    "trap", [Trap.RESET_BEFORE, Trap.RESET, Trap.CLOSE, Trap.ERROR_LINE, Trap.GARBAGE, Trap.HUGE_LINE]
)
async def test_a_stream_that_breaks_before_any_text_is_a_failure(api, trap):
    error = await api.refusal_of(Answer("one two", trap=trap, after_chunks=0))
    assert (error.code, error.retryable) == ("engine_failed", True)


async def test_what_the_server_says_went_wrong_reaches_no_caller(api):
    stream = await api.chat_with(Answer("one two", trap=Trap.ERROR_LINE, after_chunks=1, error="/secret/path"))
    assert "secret" not in stream.error.detail
    assert "secret" not in (await api.refusal_of(Answer.failure(500, "/secret/path"))).detail


@pytest.mark.alone
async def test_a_model_that_repeats_itself_is_left_at_once(api):
    async with api.make_fake() as fake, api.client(fake.url) as client:
        fake.script([Answer("a page\n", trap=Trap.REPEAT, unit="again and ")])
        stream = await client.chat(api.request, QUICK)
        assert stream.done_reason == "loop"
        assert stream.content.startswith("a page\nagain and ")
        await until(lambda: fake.chats[0].outcome is Outcome.LEFT, 1)


@pytest.mark.alone
@pytest.mark.parametrize(
    ("timeouts", "patience_s"),
    [(ChatTimeouts(2, 0.3, 30), 0.3), (ChatTimeouts(2, 30, 0.3), 0.3)],
    ids=["first token", "whole"],
)
async def test_a_model_that_says_nothing_is_left_at_its_deadline(api, timeouts, patience_s):
    async with api.make_fake() as fake, api.client(fake.url) as client:
        fake.script([Answer(trap=Trap.HANG, after_chunks=0)])
        started_s = time.monotonic()
        with pytest.raises(DeadlineError, match=f"longer than {patience_s:g} s"):
            await client.chat(api.request, timeouts)
        assert time.monotonic() - started_s < 1.3
        await until(lambda: fake.chats[0].outcome is Outcome.LEFT, 1)


@pytest.mark.alone
@pytest.mark.parametrize("after_chunks", [0, 2], ids=["before the first token", "after it"])
async def test_cancelling_closes_the_connection_within_a_second(api, after_chunks):
    async with api.make_fake() as fake, api.client(fake.url) as client:
        fake.script([Answer("one two three", trap=Trap.HANG, after_chunks=after_chunks)])
        chat = asyncio.create_task(client.chat(api.request, ChatTimeouts(2, 60, 60)))
        await until(lambda: fake.chats and len(fake.chats[0].chunks_sent) == after_chunks)
        chat.cancel()
        await until(lambda: fake.chats[0].disconnected, 1)
        await asyncio.wait([chat])
        assert chat.cancelled()


@pytest.mark.alone
async def test_a_connection_that_nobody_answers_ends_at_its_deadline(api):
    with blackhole() as url:
        async with api.client(url + api.base, connect_s=0.3) as client:
            started_s = time.monotonic()
            with pytest.raises(EngineUnavailableError) as refused:
                await client.chat(api.request, ChatTimeouts(0.3, 30, 30))
            assert time.monotonic() - started_s < 2
            assert (refused.value.retry_after_s, refused.value.detail) == (10, "the model server cannot be reached")


@pytest.mark.alone
async def test_a_refusal_without_end_is_not_waited_for(api):
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=500)
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b"x" * 65_536)
        return response

    async with server(web.post(api.chat, endless)) as url, api.client(url + api.base) as client:
        async with asyncio.timeout(3):
            with pytest.raises(EngineFailedError, match="answered 500"):
                await client.chat(api.request, QUICK)
