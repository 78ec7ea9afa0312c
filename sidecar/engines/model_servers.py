"""The servers that a model answers from: each with its circuit and its watch, and which of them gets the next page.

A page goes to the least busy server of those that are well, and waits where they all read as many pages as they may: a
server that reads for one that is away is not overloaded. One that cannot be reached at all passes it on; a call that
failed otherwise is not repeated elsewhere, since a page that ends one server would end them all.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from sidecar.documents.pages import PagePicture
from sidecar.engines.model_watch import LOADING, STARTING, ModelWatch
from sidecar.engines.servers.chat import ChatStream, ChatTimeouts, ModelClient, PageCall
from sidecar.errors import DeadlineError, EngineRefusedError, EngineUnavailableError, ModelMissingError, SidecarError
from sidecar.gpu.vram import full_name
from sidecar.profiles.precedence import Instructions
from sidecar.runtime.capability import Capability
from sidecar.runtime.circuit_breaker import CircuitBreaker

CIRCUIT_OPEN = "circuit-open"
LEAST_S = 0.001
"""A deadline that has passed still is one: the call then ends at once."""
LOOK_AGAIN_S = 1.0
"""A page that waits for room looks this often, too: a server that comes back tells nobody."""


@dataclass(slots=True)
class PageQuestion:
    """One page for whichever server has the time. ``wanted``: parameters by our names; ``ends_s``: on the clock.

    ``fair_s``: with less time than this, a call's timeout does not count against its server.
    """

    instructions: Instructions
    picture: PagePicture
    wanted: Mapping[str, object]
    keep_alive_s: int | None
    ends_s: float
    fair_s: float
    sent: Mapping[str, object] = field(default_factory=dict)
    """The parameters that went to the server that was asked last, as it names them."""
    left_out: tuple[str, ...] = ()
    """Those that it could not be sent."""


@dataclass(slots=True, eq=False)
class ModelServer:
    """One server; ``running``: the calls that it answers now."""

    name: str
    client: ModelClient
    circuit: CircuitBreaker
    watch: ModelWatch | None = None
    """Knows whether it answers and has the model."""
    running: int = 0

    @property
    def failure(self) -> str | None:
        """Why it is not to be asked, as far as is known."""
        if self.circuit.holds_back:
            return CIRCUIT_OPEN
        return self.watch.failure if self.watch else None


class ModelServers:
    """All servers of the model, as they stand in the settings. Deadlines in seconds.

    Each reads ``parallel_pages`` pages at a time and no more, however many are left to read for it.
    ``wants_certainty``: they are asked for the probabilities of their tokens.
    """

    def __init__(  # noqa: PLR0913 - what an operator sets of them
        self,
        clients: Mapping[str, ModelClient],
        connect_s: float,
        first_token_s: float,
        parallel_pages: int,
        clock: Callable[[], float] = time.monotonic,
        *,
        wants_certainty: bool = False,
    ) -> None:
        self.all: Sequence[ModelServer] = [
            ModelServer(name, client, CircuitBreaker(clock)) for name, client in clients.items()
        ]
        self._connect_s, self._first_token_s = connect_s, first_token_s
        self.parallel_pages = parallel_pages
        self._wants_certainty = wants_certainty
        self._freed = asyncio.Event()
        self._clock = clock

    @property
    def hold_back(self) -> bool:
        """Whether calls fail at once now, whichever server they would go to."""
        return all(one.circuit.holds_back for one in self.all)

    @property
    def capability(self) -> Capability:
        """Return whether any can be asked; if none, why not."""
        failures = [one.failure for one in self.all]
        if None in failures:
            return Capability("ready")
        starts = next((one for one in failures if one in (STARTING, LOADING)), None)
        return Capability("loading", starts) if starts else Capability("unavailable", failures[0])

    @property
    def any_has_model(self) -> bool:
        """Whether one of them answered last time, and has the model."""
        return any(one.watch is not None and one.watch.failure is None for one in self.all)

    def digest(self, model: str) -> str | None:
        """Return the digest of a model, if a server has told it."""
        digests = (one.watch.digests.get(full_name(model)) for one in self.all if one.watch)
        return next(filter(None, digests), None)

    async def asked_once(self, within_s: float) -> None:
        """Wait until each server has been asked for its models, or for so long."""
        await asyncio.gather(*(one.watch.asked_once(within_s) for one in self.all if one.watch))

    async def poll(self) -> None:
        """Watch all of them until cancelled."""
        await asyncio.gather(*(one.watch.poll() for one in self.all if one.watch))

    async def ask(self, page: PageQuestion) -> ChatStream:
        """Have a page read by the next server.

        Raises:
            EngineUnavailableError: none can be reached, or all failed several times in a row.
            DeadlineError: none had room in time.
            EngineFailedError, EngineRefusedError, ModelMissingError, DeadlineError: see
                :meth:`sidecar.engines.servers.connection.Connection.chat`.
        """
        error: SidecarError | None = None
        tried: list[ModelServer] = []
        while server := await self._next(tried, page.ends_s):
            tried.append(server)
            try:
                return await self._call(server, page)
            except EngineUnavailableError as exc:
                error = exc
        raise error or self._held_back()

    def refuse_if_held_back(self) -> None:
        """Refuse a page that no server would be asked for.

        Raises:
            EngineUnavailableError: all failed several times in a row.
        """
        if not any(one.circuit.would_admit for one in self.all):
            raise self._held_back()

    def _held_back(self) -> EngineUnavailableError:
        return EngineUnavailableError(
            "the model server failed several times in a row, it is tried again soon",
            retry_after_s=min(one.circuit.retry_after_s for one in self.all),
        )

    async def _next(self, tried: Sequence[ModelServer], ends_s: float) -> ModelServer | None:
        """Wait until a server has room that was not tried yet, and return it; None where no other may be called.

        Those that are not well come last, and a page does not wait for them where another is well.
        """
        while able := [one for one in self.all if one not in tried and one.circuit.would_admit]:
            well = [one for one in able if one.failure is None]
            server = min(well or able, key=lambda one: one.running)
            if server.running < self.parallel_pages:
                return server
            await self._wait_for_room(ends_s - self._clock())
        return None

    async def _wait_for_room(self, left_s: float) -> None:
        """Wait until a call ends, or it is time to look again.

        Raises:
            DeadlineError: the page has no time left.
        """
        if left_s <= 0:
            raise DeadlineError("no model server had room for the page in time")
        with suppress(TimeoutError):
            async with asyncio.timeout(min(left_s, LOOK_AGAIN_S)):
                await self._freed.wait()

    def _free(self, server: ModelServer) -> None:
        """Count a call's end, and wake all that wait for one."""
        server.running -= 1
        self._freed.set()
        self._freed = asyncio.Event()

    async def _call(self, server: ModelServer, page: PageQuestion) -> ChatStream:
        """Make one call and report its outcome to the circuit breaker; a timeout counts only after enough time."""
        client = server.client
        page.sent, page.left_out = client.parameters(page.wanted), client.left_out(page.wanted)
        request = client.request(
            PageCall(page.instructions, page.picture, page.sent, page.keep_alive_s, self._wants_certainty)
        )
        whole_s = max(LEAST_S, page.ends_s - self._clock())
        is_fair = whole_s >= page.fair_s
        is_probe = server.circuit.is_open
        server.circuit.admit()  # from here on nothing may raise outside of the try: a probe must have an outcome
        server.running += 1
        try:
            stream = await client.chat(request, ChatTimeouts(self._connect_s, self._first_token_s, whole_s))
        except (ModelMissingError, EngineRefusedError):
            server.circuit.succeeded()  # the server runs and reports what is wrong
            raise
        except Exception as exc:
            _judge(server.circuit, exc, is_fair=is_fair, was_probe=is_probe)
            raise
        except BaseException:
            if is_probe:
                server.circuit.cancelled()
            raise
        finally:
            self._free(server)
        if stream.error:
            _judge(server.circuit, stream.error, is_fair=is_fair, was_probe=is_probe)
        else:
            server.circuit.succeeded()
        return stream


def _judge(circuit: CircuitBreaker, exc: Exception, *, is_fair: bool, was_probe: bool) -> None:
    if is_fair or not isinstance(exc, DeadlineError):
        circuit.failed(was_probe=was_probe)
    elif was_probe:
        circuit.cancelled()
