"""Sends the fake Ollama's answers: plays their steps onto a connection, as a stream of lines or as one object."""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tools.fakes.ollama_answers import Step, StepKind
from tools.fakes.ollama_calls import Call, Outcome
from tools.fakes.ollama_wire import render_line, render_message

STOPPED = (
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, check ollama "
    "server logs for details"
)
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: close sends RST instead of FIN


def break_connection(request: web.BaseRequest, *, reset: bool) -> None:
    """Close the connection during the answer; reset: with RST, and unsent bytes are lost."""
    transport = request.transport
    if transport is None:
        return
    if reset:
        with suppress(OSError):
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        transport.abort()
    else:
        transport.close()


def refuse(call: Call, status: int, error: str) -> web.Response:
    """The answer to a request that Ollama does not serve."""
    call.status, call.error = status, error
    return web.json_response({"error": error}, status=status)


@dataclass(slots=True)
class Reply:
    """One answer being sent: what was sent so far, and the format of its lines."""

    request: web.Request
    call: Call
    render: Callable[[dict[str, str]], dict[str, Any]]  # a message as a line that is not the last
    render_last: Callable[[dict[str, str], str, int], dict[str, Any]]  # message, reason, tokens: as the last line
    wire_bytes: int = 0
    tokens: int = 0
    thinking: list[str] = field(default_factory=list)
    is_gone: Callable[[], bool] = lambda: False  # whether the runner has ended

    async def open(self) -> web.StreamResponse:
        """Send the headers, once, and with them what comes first."""
        raise NotImplementedError

    async def send(self, line: bytes) -> None:
        """Send a line, whole or in pieces."""
        response = await self.open()
        size = self.wire_bytes or len(line)
        for start in range(0, len(line), size):
            await response.write(line[start : start + size])
            await asyncio.sleep(0)

    async def play(self, steps: Iterator[Step]) -> web.StreamResponse:
        """Do all steps; return the finished response."""
        for step in steps:
            await asyncio.sleep(step.pause_s)
            if self.is_gone():
                step = Step(StepKind.ERROR, content=STOPPED)  # noqa: PLW2901 - whatever was to come
            if step.kind is StepKind.SAY:
                self.tokens += 1
                self.call.chunks_sent.append(step.content)
            response = await self.do(step)
            if response is not None:
                return response
        raise AssertionError("a plan ends with a step that ends the response")

    async def do(self, step: Step) -> web.StreamResponse | None:
        """Do one step; return the response after the last one."""
        match step.kind:
            case StepKind.HANG:
                await asyncio.Event().wait()
            case StepKind.RESET_BEFORE:
                await self.drop(b"", reset=True)
            case StepKind.RESET | StepKind.CLOSE:
                await self.drop(await self.half(), reset=step.kind is StepKind.RESET)
            case _:
                return await self.speak(step)
        raise AssertionError("unreachable")

    async def drop(self, last: bytes, *, reset: bool) -> None:
        """Send these bytes, break the connection, and wait to be cancelled by that."""
        self.call.outcome = Outcome.DROPPED
        if self.request.transport is not None:
            self.request.transport.write(last)
        break_connection(self.request, reset=reset)
        await asyncio.Event().wait()

    async def half(self) -> bytes:
        """The bytes of an answer that stops in the middle of a line."""
        raise NotImplementedError

    async def speak(self, step: Step) -> web.StreamResponse | None:
        """Send the step's text."""
        raise NotImplementedError


@dataclass(slots=True)
class StreamReply(Reply):
    """Lines of NDJSON, sent at once. The headers are sent with the first line, as in Ollama."""

    response: web.StreamResponse | None = None

    async def half(self) -> bytes:
        """The beginning of an HTTP chunk."""
        await self.open()
        line = render_line(self.render(render_message("half of a line")))
        return f"{len(line):x}\r\n".encode() + line[: len(line) // 2]

    async def speak(self, step: Step) -> web.StreamResponse | None:
        """Send a line; the last one ends the response."""
        match step.kind:
            case StepKind.SAY:
                await self.send(render_line(self.render(render_message(step.content, step.thinking))))
                return None
            case StepKind.GARBAGE:
                await self.send(step.content.encode() + b"\n")
                return None
            case StepKind.ERROR if self.response is None:
                return refuse(self.call, 500, step.content)
            case StepKind.ERROR:
                await self.send(render_line({"error": step.content}))
            case StepKind.DONE:
                await self.send(render_line(self.render_last(render_message(""), step.done_reason, self.tokens)))
        response = await self.open()
        await response.write_eof()
        return response

    async def open(self) -> web.StreamResponse:
        """Send the headers, once."""
        if self.response is None:
            self.call.status = 200
            self.response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
            await self.response.prepare(self.request)
        return self.response


@dataclass(slots=True)
class WholeReply(Reply):
    """One JSON object at the end."""

    garbage: str = ""

    async def half(self) -> bytes:
        """The headers and the beginning of the body."""
        body = self.body(self.render)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.call.status = 200
        return head.encode() + body[: len(body) // 2]

    async def speak(self, step: Step) -> web.StreamResponse | None:
        """Collect the text until the end."""
        match step.kind:
            case StepKind.SAY:
                self.thinking.append(step.thinking)
                return None
            case StepKind.GARBAGE:
                self.garbage = step.content
                return None
            case StepKind.ERROR:
                return refuse(self.call, 500, step.content)
            case StepKind.DONE:
                body = self.body(lambda message: self.render_last(message, step.done_reason, self.tokens))
            case _:
                body = self.body(self.render)
        self.call.status = 200
        return web.Response(body=body, content_type="application/json", charset="utf-8")

    def body(self, render: Callable[[dict[str, str]], dict[str, Any]]) -> bytes:
        """The collected answer as one object."""
        message = render_message("".join(self.call.chunks_sent), "".join(self.thinking))
        return self.garbage.encode() or render_line(render(message)).rstrip(b"\n")
