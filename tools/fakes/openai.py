"""A fake of a server with the OpenAI-compatible API: llama.cpp's, vLLM, or one of no known kind.

    async with FakeOpenAI(Kind.VLLM, latency_s=0.5, parallel=4) as fake:
        fake.script([Answer("a page"), Answer(trap=Trap.CUT)])
        …  # the code under test talks to fake.url, which ends with /v1
        assert fake.chats[0].body["temperature"] == 0.1

It streams as those two were watched to do (llama.cpp of September 2026, vLLM 0.32), and holds to these of their ways:

- A streamed connection is closed at its end, although it announced that it would be kept.
- The first event has no text: its content is null at llama.cpp's server, "" at vLLM. Why the stream ended comes in an
  event of its own, the usage in one without a choice, then ``[DONE]``.
- llama.cpp's server answers to any model's name, knows PNG and JPEG, ignores what it does not know, and without a
  projector answers a picture with 500. vLLM answers 404 to another name, and ignores what it does not know. The third
  kind refuses what it does not know with 400, as OpenAI itself does.
- While it loads, each route answers 503.

It computes nothing, counts no tokens (script :func:`overflow`), and speaks in streams alone.
"""

import argparse
import asyncio
import base64
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from aiohttp import web

from tools.fakes.fake_server import CALL, FakeServer, Handler, run_until_stopped
from tools.fakes.ollama_answers import Answer, Pace, Step, StepKind, plan_steps
from tools.fakes.ollama_calls import Call, Outcome
from tools.fakes.ollama_reply import Reply

__all__ = ["Answer", "FakeOpenAI", "Kind", "overflow"]

MODEL = "np-dms-ocr:latest"
NO_VISION = "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"
KNOWN = {
    "model", "messages", "stream", "temperature", "top_p", "max_tokens", "seed", "stop", "response_format",
    "stream_options", "logprobs", "top_logprobs", "frequency_penalty", "presence_penalty", "n", "user",
}  # fmt: skip
OWN = {"llama.cpp": {"repeat_penalty", "chat_template_kwargs"}, "vllm": {"repetition_penalty", "chat_template_kwargs"}}
PICTURES = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg"}


class Kind(StrEnum):
    """Which server it is like."""

    LLAMA_CPP = "llama.cpp"
    VLLM = "vllm"
    GENERIC = "generic"


def overflow(tokens: int, n_ctx: int) -> Answer:
    """The refusal of llama.cpp's server for a page that is too long."""
    message = f"request ({tokens} tokens) exceeds the available context size ({n_ctx} tokens), try increasing it"
    error = {"code": 400, "message": message, "type": "exceed_context_size_error"}
    return Answer.failure(400, json.dumps(error | {"n_prompt_tokens": tokens, "n_ctx": n_ctx}))


@dataclass(slots=True)
class ChatCall(Call):
    """One chat; what it held of parameters that this kind of server does not know is in ``ignored``."""

    ignored: set[str] = field(default_factory=set)

    @property
    def parts(self) -> list[dict[str, Any]]:
        """All parts of all messages."""
        contents = [message["content"] for message in self.messages]
        return [part for content in contents if isinstance(content, list) for part in content]

    @property
    def images(self) -> list[bytes]:
        """The pictures of all messages, decoded."""
        urls = [part["image_url"]["url"] for part in self.parts if part["type"] == "image_url"]
        return [base64.b64decode(url.partition("base64,")[2]) for url in urls]


class RequestError(Exception):
    """What such a server refuses."""

    def __init__(self, status: int, error: str | dict[str, Any]) -> None:
        super().__init__(str(error))
        self.status, self.error = status, error


class FakeOpenAI(FakeServer):
    """A server on a port of this machine, during the `async with` block."""

    def __init__(
        self,
        kind: Kind = Kind.LLAMA_CPP,
        models: Iterable[str] = (MODEL,),
        *,
        latency_s: float = 0.0,
        per_token_s: float = 0.0,
        parallel: int = 4,
        key: str = "",
        has_vision: bool = True,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        super().__init__(host, port)
        self.kind = kind
        self.models = list(models)
        self.latency_s, self.per_token_s = latency_s, per_token_s
        self.key = key  # what callers must send; empty: nothing
        self.has_vision = has_vision
        self.is_loading = False
        self.is_broken = False  # vLLM whose engine has died: /health says so, /v1/models does not
        self.chats: list[ChatCall] = []
        self.most_at_a_time = 0
        self._at_a_time = 0
        self._slots = asyncio.Semaphore(parallel)

    @property
    def url(self) -> str:
        """What OCR_MODEL_URL is set to."""
        return f"{self.root}/v1"

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a service that uses it."""
        return {"OCR_MODEL_API": "openai", "OCR_MODEL_URL": self.url}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/health", self._health),
            web.get("/v1/models", self._list_models),
            web.post("/v1/chat/completions", self._chat),
        ]

    async def handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            self._admit(request)
            return await handler(request)
        except RequestError as error:
            return web.json_response({"error": error.error}, status=error.status)

    def _admit(self, request: web.Request) -> None:
        if self.is_loading:
            raise RequestError(503, {"message": "Loading model", "type": "unavailable_error", "code": 503})
        if self.key and request.path != "/health" and request.headers.get("Authorization") != f"Bearer {self.key}":
            raise RequestError(401, "Unauthorized")

    async def _health(self, _: web.Request) -> web.Response:
        if self.kind is Kind.GENERIC:
            return web.Response(status=404)
        if self.is_broken:
            return web.Response(status=503)
        return web.json_response({"status": "ok"}) if self.kind is Kind.LLAMA_CPP else web.Response()

    async def _list_models(self, _: web.Request) -> web.Response:
        owner = {Kind.LLAMA_CPP: "llamacpp", Kind.VLLM: "vllm"}.get(self.kind, "organization-owner")
        listed = [{"id": name, "object": "model", "created": 1790000000, "owned_by": owner} for name in self.models]
        return web.json_response({"object": "list", "data": listed})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        """Record the call, refuse it if it is wrong, and answer it."""
        call = request[CALL] = ChatCall(request.path, json.loads(await request.read()), request.headers, now_s())
        self.chats.append(call)
        try:
            response = await self._answer(request, call)
            call.outcome = Outcome.ANSWERED
        except RequestError as error:
            call.outcome, call.status, call.error = Outcome.REFUSED, error.status, str(error)
            raise
        except (asyncio.CancelledError, ConnectionError) as error:
            if call.outcome is Outcome.RUNNING:
                call.outcome = Outcome.LEFT
            raise asyncio.CancelledError from error
        finally:
            call.ended_s = now_s()
        return response

    async def _answer(self, request: web.Request, call: ChatCall) -> web.StreamResponse:
        self._check(call)
        answer = self.next_answer(call)
        async with self._slots:
            self._at_a_time += 1
            self.most_at_a_time = max(self.most_at_a_time, self._at_a_time)
            try:
                call.speaking_s = now_s()
                if answer.status >= 400:
                    raise RequestError(answer.status, _error(answer))
                reply = EventReply(request, call, _nothing, _nothing, answer.wire_bytes, kind=self.kind)
                reply.logprob = answer.logprob if call.body.get("logprobs") else None
                pace = Pace(self.latency_s, self.per_token_s)
                return await reply.play(plan_steps(answer, pace, call.body.get("max_tokens", -1)))
            finally:
                self._at_a_time -= 1

    def _check(self, call: ChatCall) -> None:
        """Refuse what this kind of server refuses."""
        if self.kind is not Kind.LLAMA_CPP and call.model not in self.models:
            message = f"The model `{call.model}` does not exist."
            raise RequestError(404, {"message": message, "type": "NotFoundError", "param": "model", "code": 404})
        if not call.body.get("stream"):
            raise RequestError(501, {"message": "the fake speaks in streams alone"})
        call.ignored = call.body.keys() - KNOWN - OWN.get(self.kind, set())
        if call.ignored and self.kind is Kind.GENERIC:
            message = f"Unrecognized request argument supplied: {min(call.ignored)}"
            raise RequestError(400, {"message": message, "type": "invalid_request_error"})
        if call.images and not self.has_vision:
            raise RequestError(500, {"code": 500, "message": NO_VISION, "type": "server_error"})
        if self.kind is Kind.LLAMA_CPP and not all(_is_known(picture) for picture in call.images):
            message = "Failed to load image or audio file"
            raise RequestError(400, {"code": 400, "message": message, "type": "invalid_request_error"})


def now_s() -> float:
    return time.monotonic()


def _nothing(*_: object) -> dict[str, Any]:
    """What :class:`EventReply` does not need: it writes events by itself."""
    return {}


def _is_known(picture: bytes) -> bool:
    return any(picture.startswith(mark) for mark in PICTURES)


def _error(answer: Answer) -> dict[str, Any]:
    """What a script has as an error, in this API's form; JSON is taken as it is."""
    if answer.error.startswith("{"):
        return dict(json.loads(answer.error))
    return {"code": answer.status, "message": answer.error, "type": "server_error"}


@dataclass(slots=True)
class EventReply(Reply):
    """Server-sent events. The headers are sent with the first one."""

    kind: Kind = Kind.LLAMA_CPP
    response: web.StreamResponse | None = None
    logprob: float | None = None
    """Of each token, where it is told."""

    async def half(self) -> bytes:
        """The beginning of an HTTP chunk."""
        await self.open()
        line = self.event({"content": "half of a line"})
        return f"{len(line):x}\r\n".encode() + line[: len(line) // 2]

    async def speak(self, step: Step) -> web.StreamResponse | None:
        """Send an event; the last ones end the response, and the connection."""
        match step.kind:
            case StepKind.SAY:
                thinking = {"reasoning_content": step.thinking} if step.thinking else {}
                await self.send(self.event({"content": step.content} | thinking))
                return None
            case StepKind.GARBAGE:
                await self.send(step.content.encode() + b"\n")
                return None
            case StepKind.ERROR:
                error = {"code": 500, "message": step.content, "type": "server_error"}
                await self.send(b"data: " + json.dumps({"error": error}).encode() + b"\n\n")
            case StepKind.DONE:
                if step.done_reason:
                    await self.send(self.event({}, step.done_reason))
                await self.send(self.event(None))
                await self.send(b"data: [DONE]\n\n")
        response = await self.open()
        await response.write_eof()
        if self.request.transport is not None:
            self.request.transport.close()  # although "Keep-Alive" was announced
        return response

    def event(self, delta: dict[str, Any] | None, finish_reason: str | None = None) -> bytes:
        """An event of the stream; without a delta it is that of the usage."""
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
        if delta and delta.get("content") and self.logprob is not None:
            choices[0]["logprobs"] = {"content": [{"token": delta["content"], "logprob": self.logprob, "bytes": None}]}
        said = {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1790000000,
            "model": self.call.model,
            "choices": choices,
        }
        if delta is None:
            used = {"prompt_tokens": 3000, "completion_tokens": self.tokens, "total_tokens": 3000 + self.tokens}
            said["usage"] = used
        return b"data: " + json.dumps(said, ensure_ascii=False).encode() + b"\n\n"

    async def open(self) -> web.StreamResponse:
        """Send the headers and the first event, once."""
        if self.response is None:
            self.call.status = 200
            headers = {"Content-Type": "text/event-stream", "Keep-Alive": "timeout=5, max=100"}
            self.response = web.StreamResponse(headers=headers)
            await self.response.prepare(self.request)
            first = {"role": "assistant", "content": None if self.kind is Kind.LLAMA_CPP else ""}
            await self.response.write(self.event(first))
        return self.response


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.fakes.openai", description="A fake OpenAI-compatible server."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0, the default: a free one")
    parser.add_argument("--kind", type=Kind, choices=list(Kind), default=Kind.LLAMA_CPP)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before the first token of each page")
    parser.add_argument("--per-token", type=float, default=0.0, help="seconds before each further token")
    parser.add_argument("--parallel", type=int, default=4, help="pages at a time")
    parser.add_argument("--model", action="append", help=f"a model that it serves; again for more; default: {MODEL}")
    parser.add_argument("--key", default="", help="what callers must send; default: nothing")
    return parser.parse_args(arguments)


def fake_for(arguments: argparse.Namespace) -> FakeOpenAI:
    """What the command line describes."""
    return FakeOpenAI(
        arguments.kind,
        arguments.model or (MODEL,),
        latency_s=arguments.latency,
        per_token_s=arguments.per_token,
        parallel=arguments.parallel,
        key=arguments.key,
        host=arguments.host,
        port=arguments.port,
    )


if __name__ == "__main__":
    asyncio.run(run_until_stopped(fake_for(parse_arguments())))
