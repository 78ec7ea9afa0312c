"""The fake Ollama itself: its routes, and its interface for tests. Imported by its short name, `tools.fakes.ollama`."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from aiohttp import web

from tools.fakes.fake_server import CALL, FakeServer, Handler
from tools.fakes.ollama_answers import Answer, Pace, plan_steps
from tools.fakes.ollama_calls import Call, Outcome
from tools.fakes.ollama_models import Memory, Model, OutOfMemoryError, Resident, plan_runner
from tools.fakes.ollama_reply import StreamReply, WholeReply, refuse
from tools.fakes.ollama_wire import (
    NEVER_S,
    VERSION,
    ChatRequest,
    EmbedRequest,
    GenerateRequest,
    InferenceRequest,
    RequestError,
    ShowRequest,
    count_prompt,
    full_name,
    parse_json,
    parse_request,
    render_installed,
    render_message,
    render_metrics,
    render_resident,
    render_shown,
    render_time,
)

OCR_MODEL = "np-dms-ocr:latest"
NO_VISION = "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"
OUT_OF_MEMORY = "llama-server process has terminated: signal: aborted (core dumped): cudaMalloc failed: out of memory"
CONTEXT_LENGTH = 8192  # tokens; of models that `occupy` puts into memory


class FakeOllama(FakeServer):
    """An Ollama on a port of this machine, during the `async with` block."""

    def __init__(
        self,
        models: Iterable[str | Model] = (OCR_MODEL,),
        *,
        vram_mb: int = 16_384,
        latency_s: float = 0.0,
        per_token_s: float = 0.0,
        parallel: int = 1,
        load_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.latency_s = latency_s  # before the first token of each page
        self.per_token_s = per_token_s
        self.parallel = parallel  # of the models that specify none
        self.load_s = load_s  # likewise
        super().__init__(host, port)
        self.chats: list[Call] = []
        self.generates: list[Call] = []
        self.embeds: list[Call] = []
        self.ps_delay_s = 0.0
        self.ps_fails: int | None = None  # a status: /api/ps answers it, with an error
        self.memory = Memory(vram_mb, clock)
        self._clock = clock
        self._began = datetime.now(UTC), clock()
        self._installed: dict[str, Model] = {}
        for model in models:
            self.install(model)

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a service that uses it."""
        return {"OLLAMA_API_URL": self.url}

    def install(self, model: str | Model, **fields: Any) -> Model:
        """Install a model, described by a `Model` or by a name and the fields of one."""
        if isinstance(model, str):
            model = Model(model, **({"load_s": self.load_s, "parallel": self.parallel} | fields))
        model = replace(model, name=full_name(model.name))
        self._installed[model.name.lower()] = model
        return model

    def installed(self, name: str) -> Model | None:
        """The installed model of this name; a name without a tag means `latest`, and case does not matter."""
        return self._installed.get(full_name(name).lower())

    def uninstall(self, name: str) -> None:
        """Remove it, also from memory."""
        self.memory.free(self._installed.pop(full_name(name).lower()))

    def occupy(
        self,
        name: str,
        size_mb: int,
        context_length: int = CONTEXT_LENGTH,
        *,
        keep_alive_s: float = NEVER_S,
        busy: bool = False,
    ) -> None:
        """Put another user's model, such as the LLM, into memory; busy: it is never idle, so never evicted."""
        known = self.installed(name)
        model = self.install(name, size_mb=size_mb) if known is None else self.install(replace(known, size_mb=size_mb))
        self.memory.occupy(model, context_length, keep_alive_s, busy=busy)

    def free(self, name: str) -> None:
        """Remove a model from memory, as its other user would."""
        self.memory.free(self._installed[full_name(name).lower()])

    @property
    def resident(self) -> list[str]:
        """The names of the models in memory."""
        return [resident.model.name for resident in self.memory.residents()]

    @property
    def vram_used_mb(self) -> int:
        """GPU memory used by the models in memory, as `/api/ps` counts; `memory.used_mb` is what the GPU reports."""
        return sum(resident.size_vram_mb for resident in self.memory.residents())

    @property
    def aborts(self) -> list[str]:
        """Models whose runner ran out of memory, in order."""
        return self.memory.history.aborts

    @property
    def loads(self) -> list[str]:
        """Loaded models, in order; a reload counts again, `occupy` does not."""
        return self.memory.history.loads

    @property
    def aborted_loads(self) -> list[str]:
        """Models whose load was aborted because the client disconnected."""
        return self.memory.history.aborted_loads

    @property
    def reloads(self) -> list[str]:
        """Models that were unloaded because a request needed another num_ctx or the like."""
        return self.memory.history.reloads

    @property
    def unloads(self) -> list[str]:
        """Models that were unloaded by keep_alive or by request."""
        self.memory.residents()
        return self.memory.history.unloads

    @property
    def evictions(self) -> list[str]:
        """Models that were unloaded to make room for another."""
        return self.memory.history.evictions

    @property
    def refusals(self) -> list[str]:
        """The error texts of the chat and generate requests that were refused."""
        return [call.error for call in self.chats + self.generates if call.outcome is Outcome.REFUSED]

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self._root),
            web.get("/api/version", self._version),
            web.get("/api/tags", self._tags),
            web.get("/api/ps", self._ps),
            web.post("/api/show", self._show),
            web.post("/api/chat", self._chat),
            web.post("/api/generate", self._generate),
            web.post("/api/embed", self._embed),
        ]

    async def handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except RequestError as error:
            return web.json_response({"error": str(error)}, status=error.status)

    async def go_down(self) -> None:
        """End like a killed Ollama; the memory is then empty."""
        await super().go_down()
        self.memory.clear()

    async def _root(self, _: web.Request) -> web.Response:
        return web.Response(text="Ollama is running")

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": VERSION})

    async def _tags(self, _: web.Request) -> web.Response:
        return web.json_response(
            {"models": [render_installed(model, self._began[0]) for model in self._installed.values()]}
        )

    async def _ps(self, _: web.Request) -> web.Response:
        await asyncio.sleep(self.ps_delay_s)
        if self.ps_fails is not None:
            return web.json_response({"error": "internal error"}, status=self.ps_fails)
        residents = sorted(self.memory.residents(), key=self.memory.expires_s, reverse=True)
        date = {"Date": format_datetime(self._wall(self._clock()), usegmt=True)}
        return web.json_response({"models": [self._render_resident(one) for one in residents]}, headers=date)

    async def _show(self, request: web.Request) -> web.Response:
        asked = parse_request(ShowRequest, parse_json(await request.read()))
        if not asked.model:
            raise RequestError("model is required")
        model = self.installed(asked.model)
        if model is None:
            raise RequestError(f"model '{full_name(asked.model)}' not found", status=404)
        return web.json_response(render_shown(model, self._began[0]))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._infer(request, ChatRequest, self.chats, self._answer_chat)

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        return await self._infer(request, GenerateRequest, self.generates, self._answer_generate)

    async def _embed(self, request: web.Request) -> web.StreamResponse:
        return await self._infer(request, EmbedRequest, self.embeds, self._answer_embed)

    async def _answer_embed(self, _: web.Request, call: Call, asked: EmbedRequest, model: Model) -> web.StreamResponse:
        if asked.input:
            raise RequestError("the fake embeds nothing", status=501)
        runner = plan_runner(model, asked.sent_options(), self.memory.vram_mb)
        async with self.memory.using(model, runner, asked.keep_alive):
            call.status = 200
            return web.json_response({"model": asked.model, "embeddings": []})

    async def _infer(
        self,
        request: web.Request,
        kind: type[InferenceRequest],
        calls: list[Call],
        answer: Callable[..., Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Record the call, refuse it if it is wrong, and answer it."""
        body = parse_json(await request.read())
        call = Call(request.path, body, request.headers, self._clock())
        calls.append(call)
        request[CALL] = call
        try:
            asked = parse_request(kind, body)
            response = await answer(request, call, asked, self._find(asked))
            call.outcome = Outcome.ANSWERED
        except RequestError as error:
            call.outcome, call.status, call.error = Outcome.REFUSED, error.status, str(error)
            raise
        except (asyncio.CancelledError, ConnectionError) as error:
            if call.outcome is Outcome.RUNNING:
                call.outcome = Outcome.LEFT
            raise asyncio.CancelledError from error
        finally:
            call.ended_s = self._clock()
        return response

    def _find(self, asked: InferenceRequest) -> Model:
        """The model that a request names.

        Raises:
            RequestError: it is not installed, or cannot do what is asked.
        """
        if not asked.model and isinstance(asked, ChatRequest):
            raise RequestError("model is required")
        model = self.installed(asked.model)
        if model is None:
            raise RequestError(f"model '{asked.model}' not found", status=404)
        verb = {ChatRequest: "chat", GenerateRequest: "generate"}.get(type(asked))
        if verb and asked.wants_runner and "completion" not in model.capabilities:
            raise RequestError(f'"{asked.model}" does not support {verb}')
        if asked.think and "thinking" not in model.capabilities:
            raise RequestError(f'"{asked.model}" does not support thinking')
        return model

    async def _answer_chat(
        self, request: web.Request, call: Call, asked: ChatRequest, model: Model
    ) -> web.StreamResponse:
        said = {"message": render_message("")}
        if not asked.messages:
            return await self._load_or_unload(call, asked, model, said)
        if call.images and "vision" not in model.capabilities:
            return refuse(call, 500, NO_VISION)
        answer = self.next_answer(call)
        if answer.status >= 400:
            await asyncio.sleep(answer.first_token_s or 0)
            return refuse(call, answer.status, answer.error)
        runner = plan_runner(model, asked.sent_options(), self.memory.vram_mb, shift=asked.shift)
        async with self.memory.using(model, runner, asked.keep_alive) as resident:
            loaded_s = self._clock()
            async with resident.slots:
                call.speaking_s = self._clock()
                try:
                    with self.memory.encoding(resident, len(call.images)):
                        return await self._speak(request, call, asked, answer, loaded_s, resident)
                except OutOfMemoryError:
                    return refuse(call, 500, OUT_OF_MEMORY)

    async def _answer_generate(
        self, _: web.Request, call: Call, asked: GenerateRequest, model: Model
    ) -> web.StreamResponse:
        if asked.prompt:
            raise RequestError("the fake generates text in /api/chat only", status=501)
        return await self._load_or_unload(call, asked, model, {"response": ""})

    async def _load_or_unload(
        self, call: Call, asked: InferenceRequest, model: Model, said: dict[str, Any]
    ) -> web.StreamResponse:
        """Answer a request without text: load the model, or with keep_alive 0 unload it."""
        if asked.keep_alive == 0:
            self.memory.unload(model)
            reason = "unload"
        else:
            runner = plan_runner(model, asked.sent_options(), self.memory.vram_mb, shift=asked.shift)
            async with self.memory.using(model, runner, asked.keep_alive):
                reason = "load"
        call.status = 200
        return web.json_response(self._head(asked) | said | {"done": True, "done_reason": reason})

    async def _speak(
        self,
        request: web.Request,
        call: Call,
        asked: ChatRequest,
        answer: Answer,
        loaded_s: float,
        resident: Resident,
    ) -> web.StreamResponse:
        """Play the answer, as a stream or as one object."""
        began_s = self._clock()

        def render(message: dict[str, str]) -> dict[str, Any]:
            told = asked.logprobs and answer.logprob is not None and message.get("content")
            certainty = {"logprobs": [{"token": message["content"], "logprob": answer.logprob}]} if told else {}
            return self._head(asked) | {"message": message, "done": False} | certainty

        def render_last(message: dict[str, str], reason: str, tokens: int) -> dict[str, Any]:
            now_s = self._clock()
            load_s = loaded_s - call.started_s
            metrics = render_metrics(now_s - call.started_s, load_s, now_s - began_s, count_prompt(asked), tokens)
            return self._head(asked) | {"message": message, "done": True, "done_reason": reason} | metrics

        kind = StreamReply if asked.stream else WholeReply
        reply = kind(request, call, render, render_last, answer.wire_bytes)
        reply.is_gone = lambda: not self.memory.holds(resident)
        pace = Pace(self.latency_s, self.per_token_s)
        return await reply.play(plan_steps(answer, pace, asked.options.num_predict))

    def _head(self, asked: InferenceRequest) -> dict[str, Any]:
        return {"model": asked.model, "created_at": render_time(self._wall(self._clock()))}

    def _wall(self, clock_s: float) -> datetime:
        """The time of day at a reading of the clock."""
        began_at, began_s = self._began
        return began_at + timedelta(seconds=clock_s - began_s)

    def _render_resident(self, resident: Resident) -> dict[str, Any]:
        expires_at = self._wall(self.memory.expires_s(resident))
        return render_resident(resident.model, resident.size_vram_mb, resident.runner.context_length, expires_at)
