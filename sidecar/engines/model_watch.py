"""Monitors, without waiting for a document, whether the model server answers and has the model.

It only reports: calls are made whatever it found; only the circuit breaker stops them.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Protocol

from sidecar.errors import EngineUnavailableError, ServerState, SidecarError
from sidecar.gpu.vram import full_name

log = logging.getLogger(__name__)

POLL_S = 2.0
POLL_FAILED_S = 1.0
"""The interval in seconds while something is wrong, so that a server's return is noticed soon."""

SERVER = "model-server-"
"""Before the state of a server that cannot be used."""
STARTING = f"{SERVER}starting"
LOADING = SERVER + ServerState.LOADING
UNREACHABLE = SERVER + ServerState.UNREACHABLE
MISSING = "model-missing"


class WatchedServer(Protocol):
    """What a client of a model server has for its watch; see :class:`sidecar.engines.servers.chat.ModelClient`."""

    async def installed(self) -> Mapping[str, str | None]:
        """List its models, with the digest of each that it tells."""

    def missing(self, wanted: str, installed: Mapping[str, str | None]) -> str | None:
        """Return the model's whole name where a call that names it would not be answered; None where it would."""


class ModelWatch:
    """Polls every few seconds. ``failure`` is None while all is well; ``polled`` is set after the first round."""

    def __init__(
        self,
        server: WatchedServer,
        wanted: Callable[[], str],
        beside: Callable[[], Awaitable[object]],
        name: str = "",
    ) -> None:
        self._server = server
        self._wanted = wanted
        self._beside = beside
        self._name = name
        self.failure: str | None = STARTING
        self.detail: str | None = None
        """What the last error said, in our words."""
        self.polled = asyncio.Event()
        self.digests: Mapping[str, str | None] = {}
        """SHA-256 of the models that the server had when it last answered, by their full names."""

    async def poll(self) -> None:
        """Poll until cancelled. ``beside`` also runs each round, so that the GPU's figures are no older."""
        while True:
            before = self.failure
            self.failure = await self._check()
            if self.failure != before:
                level = logging.WARNING if self.failure else logging.INFO
                log.log(
                    level,
                    "the model server's state changed",
                    extra={"state": self.failure or "ready", "server": self._name, "detail": self.detail},
                )
            self.polled.set()
            await asyncio.sleep(POLL_FAILED_S if self.failure else POLL_S)

    async def asked_once(self, within_s: float) -> None:
        """Wait until the server has been asked once, or for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self.polled.wait()

    async def _check(self) -> str | None:
        self.detail = None
        try:
            installed = await self._server.installed()
            await self._beside()
            self.digests = {full_name(name): digest for name, digest in installed.items()}
            missing = self._server.missing(self._wanted(), installed)
        except EngineUnavailableError as exc:
            self.detail = exc.detail
            return SERVER + exc.state
        except SidecarError as exc:
            self.detail = exc.detail
            return UNREACHABLE
        except Exception:  # this loop supervises itself: it logs any error, and polls again
            log.exception("the model server cannot be polled")
            return UNREACHABLE
        return None if missing is None else f"{MISSING}: {missing}"
