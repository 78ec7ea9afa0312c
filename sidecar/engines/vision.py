"""The governed engine: a vision model in a model server, on a GPU that belongs to an LLM first.

Each page is drawn in a worker while the one before is read. Directly before each call the GPU's memory is read, to
decide whether the call may be made, and how long the model may stay.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sidecar.engines.answers.model_answer import judge
from sidecar.engines.model_watch import STARTING, ModelWatch
from sidecar.engines.page_drawer import PageDrawer
from sidecar.engines.servers.chat import ChatStream, ChatTimeouts, ModelClient, PageCall, wanted_parameters
from sidecar.errors import (
    DeadlineError,
    EngineRefusedError,
    EngineUnavailableError,
    ModelMissingError,
    PageUnreadableError,
    SidecarError,
)
from sidecar.gpu.call_gate import Asked, CallGate
from sidecar.gpu.vram import full_name
from sidecar.ocr.engine import EngineModel, EngineTraits, PageText, PreparedPage, ReadOrder, TryFailedError
from sidecar.ocr.text import trim
from sidecar.profiles import prompt
from sidecar.profiles.payload import CANONICAL_MODEL
from sidecar.runtime.capability import Capability
from sidecar.runtime.circuit_breaker import CircuitBreaker
from sidecar.runtime.fair_slots import FairSlots

AHEAD = 2
"""Pages in preparation or read, for each page read at a time: the next is drawn while this one is read."""
DIGEST_WAIT_S = 3.0
"""How long the first pages after a start wait for the model's digest, by which what it needs is known."""
FAIR_SHARE = 0.5
"""Share of a page's time that a call must have had before its timeout counts against the model server."""


@dataclass(frozen=True, slots=True)
class VisionPolicy:
    """What the operator decided. Times in seconds."""

    parallel_pages: int
    connect_s: float
    first_token_s: float


class VisionEngine:
    """An :class:`sidecar.ocr.engine.OcrEngine` that lets the model of the document's order read each page."""

    traits = EngineTraits(
        CANONICAL_MODEL, takes_prompt=True, takes_parameters=True, is_believed_empty=False, on_gpu=True
    )

    def __init__(
        self,
        drawer: PageDrawer,
        client: ModelClient,
        gate: CallGate,
        policy: VisionPolicy,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._drawer = drawer
        self._client = client
        self.gate = gate
        self._policy = policy
        self._clock = clock
        self.circuit = CircuitBreaker(clock)
        self.read_slots = FairSlots(policy.parallel_pages)
        self.prepare_slots = FairSlots(AHEAD * policy.parallel_pages)
        self.watch: ModelWatch | None = None
        """Knows whether the model server answers."""

    @property
    def calls_running(self) -> int:
        """Model calls that run now, of all models."""
        return self.gate.calls.total

    @property
    def capability(self) -> Capability:
        """Return whether the model can be called."""
        if self.circuit.holds_back:
            return Capability("unavailable", "circuit-open")
        failure = self.watch.failure if self.watch else None
        if failure:
            return Capability("loading" if failure == STARTING else "unavailable", failure)
        return Capability("ready")

    async def loaded(self) -> None:
        """Return: the model server does the loading."""

    def check_languages(self, languages: str) -> None:
        """Refuse none: the model takes no languages."""

    def check(self, order: ReadOrder) -> None:
        """Refuse nothing: whether the model can be called is known when it is."""

    def model(self, order: ReadOrder) -> EngineModel:
        """Return the model of the profile, or of the settings, with its digest if the model server has told it."""
        name = order.instructions.model
        return EngineModel(name, self.watch.digests.get(full_name(name)) if self.watch else None)

    def max_attempts(self, order: ReadOrder) -> int:
        """Return what the profile says."""
        return order.instructions.retry.max_attempts

    async def prepare(self, order: ReadOrder, index: int) -> PreparedPage:
        """Draw the page, in a worker."""
        return PreparedPage(index, *await self._drawer.draw(order, index))

    async def read(self, order: ReadOrder, page: PreparedPage, attempt: int, deadline_s: float) -> PageText:
        """Let the model read one page.

        Raises:
            GpuPressureError: the call would evict another model.
            EngineUnavailableError, EngineFailedError, DeadlineError: see :class:`ModelClient`.
        """
        if page.picture is None:
            raise PageUnreadableError(f"page {page.index + 1} was not drawn")
        if page.picture.blank:
            return PageText("", blank=True, done_reason="blank")
        ends_s = self._clock() + deadline_s
        if self.watch:
            await self.watch.asked_once(min(DIGEST_WAIT_S, deadline_s))
        admitted = await self.gate.admit(self._asked(order, ends_s))
        residency = admitted.decision
        wanted = wanted_parameters(order.instructions.params, order.instructions.retry.temperature_step, attempt)
        sent = self._client.parameters(wanted)
        call = PageCall(order.instructions, page.picture, sent, residency.keep_alive_seconds)
        request = self._client.request(call)
        timeouts = ChatTimeouts(self._policy.connect_s, self._policy.first_token_s, max(0.001, ends_s - self._clock()))
        is_fair = timeouts.whole_s >= FAIR_SHARE * order.page_timeout_s
        is_probe = self._pass_circuit()
        try:
            async with self.gate.call(admitted):
                stream = await self._call(request, timeouts, is_fair=is_fair, is_probe=is_probe)
        except SidecarError as exc:
            raise TryFailedError(self.gate.explain(exc, admitted), sent, residency) from exc
        answer = judge(stream.content, stream.done_reason, prompt.texts(order.instructions))
        return PageText(
            trim(answer.text),
            verdict=answer.verdict,
            done_reason=answer.done_reason,
            error=stream.error and self.gate.explain(stream.error, admitted),
            parameters=sent,
            residency=residency,
            first_token_s=stream.first_token_s,
        )

    def _asked(self, order: ReadOrder, ends_s: float) -> Asked:
        """Tell the gate what it decides by."""
        instructions, model = order.instructions, self.model(order)
        return Asked(
            model=model.name,
            model_key=model.digest or full_name(model.name),
            num_ctx=instructions.params.num_ctx or 0,
            active_profile=order.active_profile,
            cap_s=instructions.keep_alive_cap_s,
            ends_s=ends_s,
        )

    def _pass_circuit(self) -> bool:
        """Ask the circuit breaker for permission; return whether this call is its probe."""
        is_probe = self.circuit.is_open
        if not self.circuit.admit():
            raise EngineUnavailableError(
                "the model server failed several times in a row, it is tried again soon",
                retry_after_s=self.circuit.retry_after_s,
            )
        return is_probe

    async def _call(
        self, request: Mapping[str, object], timeouts: ChatTimeouts, *, is_fair: bool, is_probe: bool
    ) -> ChatStream:
        """Make one call and report its outcome to the circuit breaker; a timeout counts only after enough time."""
        try:
            stream = await self._client.chat(request, timeouts)
        except (ModelMissingError, EngineRefusedError):
            self.circuit.succeeded()  # the server runs and reports what is wrong
            raise
        except Exception as exc:
            self._judge(exc, is_fair=is_fair, was_probe=is_probe)
            raise
        except BaseException:
            if is_probe:
                self.circuit.cancelled()
            raise
        if stream.error:
            self._judge(stream.error, is_fair=is_fair, was_probe=is_probe)
        else:
            self.circuit.succeeded()
        return stream

    def _judge(self, exc: Exception, *, is_fair: bool, was_probe: bool) -> None:
        if is_fair or not isinstance(exc, DeadlineError):
            self.circuit.failed(was_probe=was_probe)
        elif was_probe:
            self.circuit.cancelled()
