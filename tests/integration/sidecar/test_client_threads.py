"""The public client without asyncio: what its threads, and the one that serves them, do to each other."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import pytest

from sidecar.client import Client, Opened
from tests.conftest import until
from tests.integration.sidecar.test_client_hostile import DOCUMENT, OPENED, WHOLE, answer, serving, stranger

BUSY = answer(b"", "503 Service Unavailable", Retry_After="60")

T = TypeVar("T")


async def in_thread(call: Callable[[], T]) -> T:
    """Wait for a call in a thread that does not keep the tests from ending if it hangs."""
    future: Future[T] = Future()

    def use() -> None:
        try:
            future.set_result(call())
        except BaseException as exc:  # noqa: BLE001 - it is the waiter's
            future.set_exception(exc)

    threading.Thread(target=use, daemon=True).start()
    async with asyncio.timeout(15):
        return await asyncio.wrap_future(future)


@pytest.mark.parametrize("reply", [BUSY, b""], ids=["while it waits to ask again", "while it waits for the answer"])
@pytest.mark.parametrize("call", ["read", "stream"])
async def test_closing_ends_the_calls_of_other_threads(reply, call):
    async with stranger(reply, is_silent_after=True) as other:
        client = Client(other.url)
        waiting = asyncio.create_task(in_thread(lambda: list(getattr(client, call)(DOCUMENT))))
        await until(lambda: other.asked)
        await in_thread(client.close)
        with pytest.raises(RuntimeError, match="the client is closed"):
            await waiting


async def test_a_stream_that_is_left_open_ends_with_its_client():
    async with stranger(answer(OPENED, length=500), is_silent_after=True) as other:
        client = Client(other.url)
        events = client.stream(DOCUMENT)
        assert isinstance(await in_thread(lambda: next(events)), Opened)
        await asyncio.gather(*(in_thread(client.close) for _ in range(3)))
        with pytest.raises(RuntimeError, match="the client is closed"):
            await in_thread(lambda: next(events))


async def test_a_stream_that_is_dropped_on_the_client_s_own_thread_is_ended_without_waiting_for_itself():
    """As a garbage collection there does; fields are rendered on that thread."""
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"--\r\n")
        writer.write(answer(WHOLE) if left.is_set() or held == [] else answer(OPENED, length=500))
        await reader.read()
        left.set()

    held = []

    def dropping():
        held.clear()
        yield 1

    async with serving(serve) as url:
        client = Client(url)
        held.append(client.stream(DOCUMENT))
        await in_thread(lambda: next(held[0]))
        assert (await in_thread(lambda: client.read(DOCUMENT, pages=dropping()))).text == "a"
        async with asyncio.timeout(10):
            await left.wait()
        await in_thread(client.close)


@pytest.mark.parametrize("call", ["read", "stream"])
async def test_fields_that_can_be_read_only_once_reach_the_service(call):
    bodies = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        bodies.append(await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0])))
        writer.write(
            answer(OPENED + b'{"event": "done", "text": "a", "pageCount": 1}\n' if call == "stream" else WHOLE)
        )
        await writer.drain()

    def use() -> None:
        with Client(url) as client:
            list(getattr(client, call)(DOCUMENT, pages=(n for n in (2, 3)), languages=iter(["tha", "eng"])))

    async with serving(serve) as url:
        await in_thread(use)
    assert b"\r\n\r\n2,3\r\n" in bodies[0]
    assert b"\r\n\r\ntha+eng\r\n" in bodies[0]
