"""Has the model server unload and load models for the lease. What fails is told, and tried again by who decides."""

import logging
from collections.abc import Iterable
from enum import Enum, auto
from typing import Protocol

from sidecar.errors import ModelMissingError, SidecarError
from sidecar.gpu.lease import policy
from sidecar.gpu.lease.state import Owed
from sidecar.gpu.vram import VramHeadroom

log = logging.getLogger(__name__)

LOAD_S = 120.0
"""Deadline of one load: an LLM from a cold disk takes a minute."""


class ModelServer(Protocol):
    """What the lease asks of the model server; see :class:`sidecar.engines.servers.ollama.Ollama`."""

    async def load(self, model: str, keep_alive_s: float, num_ctx: int, deadline_s: float) -> None:
        """Load a model, to stay for so long after its last request."""

    async def unload(self, model: str) -> None:
        """Have a model leave, when its last request has ended."""


class Load(Enum):
    """What became of a load."""

    DONE = auto()
    MISSING = auto()
    FAILED = auto()


async def unload(server: ModelServer, models: Iterable[str]) -> None:
    """Have models leave; one that does not is seen in the next reading."""
    for model in models:
        try:
            await server.unload(model)
        except SidecarError as exc:
            log.warning("a model cannot be unloaded", extra={"model": model, "error": exc.code})


async def load(server: ModelServer, owed: Owed, headroom: VramHeadroom, tries: int) -> Load:
    """Load a model as it was; one that is there only in part leaves first."""
    if headroom.is_resident(owed.name) and not policy.is_whole(owed, headroom):
        await unload(server, [owed.name])
    try:
        await server.load(owed.name, owed.keep_alive_s, owed.context_length, LOAD_S)
    except ModelMissingError:  # it was removed meanwhile, and will never be back
        return Load.MISSING
    except SidecarError as exc:
        tried = {"model": owed.name, "tries": tries, "error": exc.code}
        log.error("the LLM could not be loaded again", extra=tried)  # noqa: TRY400 - an expected error
        return Load.FAILED
    return Load.DONE
