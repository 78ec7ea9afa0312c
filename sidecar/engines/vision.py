"""The governed engine: a vision model in a model server or several, on a GPU that belongs to an LLM first.

Each page is drawn in a worker while the one before is read. Directly before each call the GPU's memory is read, to
decide whether the call may be made, and how long the model may stay.
"""

import time
from collections.abc import Callable, Sequence

from sidecar.engines.answers.model_answer import judge
from sidecar.engines.model_servers import ModelServers, PageQuestion
from sidecar.engines.page_drawer import PageDrawer
from sidecar.engines.servers.chat import wanted_parameters
from sidecar.errors import PageUnreadableError, SidecarError
from sidecar.gpu.call_gate import Asked, CallGate
from sidecar.gpu.residency_policy import OcrResidencyDecision
from sidecar.gpu.vram import full_name
from sidecar.ocr.engine import EngineModel, EngineTraits, PageText, PreparedPage, ReadOrder, TryFailedError
from sidecar.ocr.text import trim
from sidecar.profiles import prompt
from sidecar.profiles.payload import CANONICAL_MODEL
from sidecar.runtime.capability import Capability
from sidecar.runtime.fair_slots import FairSlots

AHEAD = 2
"""Pages in preparation or read, for each page read at a time: the next is drawn while this one is read."""
DIGEST_WAIT_S = 3.0
"""How long the first pages after a start wait for the model's digest, by which what it needs is known."""
FAIR_SHARE = 0.5
"""Share of a page's time that a call must have had before its timeout counts against the model server."""


class VisionEngine:
    """An :class:`sidecar.ocr.engine.OcrEngine` that lets the model of the document's order read each page."""

    traits = EngineTraits(
        CANONICAL_MODEL, takes_prompt=True, takes_parameters=True, is_believed_empty=False, on_gpu=True
    )

    def __init__(
        self,
        drawer: PageDrawer,
        servers: ModelServers,
        gate: CallGate,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read as many pages at a time as the servers may."""
        self._drawer = drawer
        self.servers = servers
        self.gate = gate
        self._clock = clock
        at_a_time = servers.parallel_pages * len(servers.all)
        self.read_slots = FairSlots(at_a_time)
        self.prepare_slots = FairSlots(AHEAD * at_a_time)

    @property
    def calls_running(self) -> int:
        """Model calls that run now, of all models."""
        return self.gate.calls.total

    @property
    def capability(self) -> Capability:
        """Return whether the model can be called."""
        return self.servers.capability

    async def loaded(self) -> None:
        """Return: the model server does the loading."""

    def check_languages(self, languages: str) -> None:
        """Refuse none: the model takes no languages."""

    def check(self, order: ReadOrder) -> None:
        """Refuse nothing: whether the model can be called is known when it is."""

    def model(self, order: ReadOrder) -> EngineModel:
        """Return the model of the profile, or of the settings, with its digest if the model server has told it."""
        name = order.instructions.model
        return EngineModel(name, self.servers.digest(name))

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
            EngineUnavailableError, EngineFailedError, DeadlineError: see :meth:`ModelServers.ask`.
        """
        if page.picture is None:
            raise PageUnreadableError(f"page {page.index + 1} was not drawn")
        if page.picture.blank:
            return PageText("", blank=True, done_reason="blank")
        ends_s = self._clock() + deadline_s
        await self.servers.asked_once(min(DIGEST_WAIT_S, deadline_s))
        admitted = await self.gate.admit(self._asked(order, ends_s))
        residency = admitted.decision
        question = PageQuestion(
            order.instructions,
            page.picture,
            wanted_parameters(
                order.instructions.params,
                order.instructions.retry.temperature_step,
                attempt,
                order.instructions.recipe.stop,
            ),
            residency.keep_alive_seconds,
            ends_s,
            FAIR_SHARE * order.page_timeout_s,
        )
        self.servers.refuse_if_held_back()
        try:
            async with self.gate.call(admitted):
                stream = await self.servers.ask(question)
        except SidecarError as exc:
            raise TryFailedError(self.gate.explain(exc, admitted), question.sent, residency) from exc
        answer = judge(
            stream.content, stream.done_reason, prompt.texts(order.instructions), order.instructions.recipe.answer
        )
        return PageText(
            trim(answer.text),
            verdict=answer.verdict,
            done_reason=answer.done_reason,
            error=stream.error and self.gate.explain(stream.error, admitted),
            parameters=question.sent,
            left_out=(*_missed(order, question.left_out), *_ungoverned(order, residency)),
            residency=residency,
            first_token_s=stream.first_token_s,
            picture_sha256=page.picture.sha256,
            certainty=stream.certainty,
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
            longest_side=instructions.recipe.longest_side or 0,
            ends_s=ends_s,
        )


def _missed(order: ReadOrder, left_out: Sequence[str]) -> tuple[str, ...]:
    """Name the parameters that somebody asked for, of those left out: what only the recipe set is nobody's wish."""
    asked = order.instructions.asked.model_dump(exclude_none=True)
    return tuple(name for name in left_out if name in asked)


def _ungoverned(order: ReadOrder, residency: OcrResidencyDecision) -> tuple[str, ...]:
    """Name what was said of the model's residency, where its server takes no word on that."""
    if residency.keep_alive_seconds is not None:
        return ()
    said = {"keep_alive": order.instructions.keep_alive_cap_s, "active_profile": order.active_profile}
    return tuple(name for name, value in said.items() if value)
