"""Knows, without waiting for a document, whether the model server answers and has the model.

A watch, not a guard: calls are made whatever it saw, the circuit breaker alone holds them back.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sidecar.errors import SidecarError
from sidecar.gpu.vram import full_name

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
LOOK_AGAIN_S = 1.0
"""While something is wrong: what comes back should be seen soon."""

STARTING = "model-server-starting"
UNREACHABLE = "model-server-unreachable"
MISSING = "model-missing"


class ModelWatch:
    """Looks every few seconds. ``failure`` is None while all is well; ``looked`` is set once it is known."""

    def __init__(
        self,
        installed: Callable[[], Awaitable[frozenset[str]]],
        wanted: Callable[[], str],
        beside: Callable[[], Awaitable[object]],
    ) -> None:
        self._installed = installed
        self._wanted = wanted
        self._beside = beside
        self.failure: str | None = STARTING
        self.looked = asyncio.Event()

    async def keep_looking(self) -> None:
        """Look until cancelled. ``beside`` is read along: what is shown of the GPU is not older than this."""
        while True:
            before = self.failure
            self.failure = await self._look()
            if self.failure != before:
                level = logging.WARNING if self.failure else logging.INFO
                log.log(level, "the model server was looked at", extra={"state": self.failure or "ready"})
            self.looked.set()
            await asyncio.sleep(LOOK_AGAIN_S if self.failure else LOOK_EVERY_S)

    async def _look(self) -> str | None:
        wanted = full_name(self._wanted())
        try:
            installed = await self._installed()
            await self._beside()
        except SidecarError:
            return UNREACHABLE
        except Exception:  # this loop is its own supervisor: whatever it is, it is told, and looked at again
            log.exception("the model server cannot be looked at")
            return UNREACHABLE
        return None if wanted in {full_name(name) for name in installed} else f"{MISSING}: {wanted}"
