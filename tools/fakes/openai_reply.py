"""Sends the fake OpenAI-compatible server's answers: as a stream of events, or as one object."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aiohttp import web

from tools.fakes.ollama_answers import Step, StepKind
from tools.fakes.ollama_reply import Reply

PROMPT_TOKENS = 3000
LOGPROB = -0.5
"""Of every token, and of every other one that might have stood in its place, unless an answer says another."""
KEPT = {"Keep-Alive": "timeout=5, max=100"}
"""What is announced of each connection, those that are closed as well."""


class Kind(StrEnum):
    """Which server it is like."""

    LLAMA_CPP = "llama.cpp"
    VLLM = "vllm"
    GENERIC = "generic"


@dataclass(slots=True)
class _Reply(Reply):
    """What both forms have in common. ``name``: what the server calls its model."""

    kind: Kind = Kind.LLAMA_CPP
    name: str = ""
    logprob: float = LOGPROB

    def said(self, what: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        """An object of the API with these choices."""
        kept = {"id": "chatcmpl-1", "object": what, "created": 1790000000, "model": self.name, "choices": choices}
        return kept | ({"system_fingerprint": "b1-fake"} if self.kind is Kind.LLAMA_CPP else {})

    def usage(self) -> dict[str, Any]:
        """The tokens."""
        total = PROMPT_TOKENS + self.tokens
        used: dict[str, Any] = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": self.tokens, "total_tokens": total}
        return used | ({"prompt_tokens_details": {"cached_tokens": 0}} if self.kind is Kind.LLAMA_CPP else {})

    def logprobs(self, *tokens: str) -> dict[str, Any]:
        """The field of a choice with these tokens, if it was asked for."""
        if not self.call.body.get("logprobs"):
            return {}
        count = self.call.body.get("top_logprobs", 0)
        listed = [
            self._token(one) | {"top_logprobs": [self._token(f"{one}{n}") for n in range(count)]} for one in tokens
        ]
        return {"logprobs": {"content": [one | self._ids(one) for one in listed]}}

    def _ids(self, token: dict[str, Any]) -> dict[str, Any]:
        """llama.cpp's server has the numbers of tokens, too."""
        if self.kind is not Kind.LLAMA_CPP:
            return {}
        return {"id": 1, "top_logprobs": [one | {"id": 1} for one in token["top_logprobs"]]}

    def _token(self, text: str) -> dict[str, Any]:
        return {"token": text, "bytes": list(text.encode()), "logprob": self.logprob}


@dataclass(slots=True)
class EventReply(_Reply):
    """Server-sent events. The headers are sent with the first one."""

    response: web.StreamResponse | None = None

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
                await self.send(self.event({"content": step.content} | thinking, **self.logprobs(step.content)))
                return None
            case StepKind.GARBAGE:
                await self.send(step.content.encode() + b"\n")
                return None
            case StepKind.ERROR:
                error = {"code": 500, "message": step.content, "type": "server_error"}
                await self.send(_line({"error": error}))
            case StepKind.DONE:
                if step.done_reason:
                    await self.send(self.event({}, step.done_reason))
                if (self.call.body.get("stream_options") or {}).get("include_usage"):
                    await self.send(_line(self.said(EVENT, []) | {"usage": self.usage()}))
                await self.send(b"data: [DONE]\n\n")
        response = await self.open()
        await response.write_eof()
        if self.request.transport is not None:
            self.request.transport.close()  # although "Keep-Alive" was announced
        return response

    def event(self, delta: dict[str, Any], finish_reason: str | None = None, **more: object) -> bytes:
        """An event of the stream with one choice."""
        return _line(self.said(EVENT, [{"index": 0, "delta": delta, "finish_reason": finish_reason} | more]))

    async def open(self) -> web.StreamResponse:
        """Send the headers and the first event, once."""
        if self.response is None:
            self.call.status = 200
            self.response = web.StreamResponse(headers={"Content-Type": "text/event-stream"} | KEPT)
            await self.response.prepare(self.request)
            first = {"role": "assistant", "content": None if self.kind is Kind.LLAMA_CPP else ""}
            await self.response.write(self.event(first))
        return self.response


EVENT = "chat.completion.chunk"


def _line(said: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(said, ensure_ascii=False).encode() + b"\n\n"


@dataclass(slots=True)
class WholeReply(_Reply):
    """One JSON object at the end. Of the traps, those that break a connection are played; garbage is left out."""

    async def half(self) -> bytes:
        """The headers and the beginning of the body."""
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
        self.call.status = 200
        return head.encode() + b'{"choices":['

    async def speak(self, step: Step) -> web.StreamResponse | None:
        """Collect the text until the end."""
        match step.kind:
            case StepKind.SAY | StepKind.GARBAGE:
                return None
            case StepKind.ERROR:
                error = {"code": 500, "message": step.content, "type": "server_error"}
                return web.json_response({"error": error}, status=500)
        self.call.status = 200
        message = {"role": "assistant", "content": "".join(self.call.chunks_sent)}
        choice = {"index": 0, "message": message, "finish_reason": step.done_reason}
        choice |= self.logprobs(*self.call.chunks_sent)
        return web.json_response(self.said("chat.completion", [choice]) | {"usage": self.usage()}, headers=KEPT)
