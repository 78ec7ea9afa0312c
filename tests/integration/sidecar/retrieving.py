"""Tiny models, and a service that has loaded them."""

import asyncio
import io
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sidecar.api.app_keys import EMBEDDER, RERANKER
from tests.conftest import Running

LOADED_S = 60.0
"""The first of a run imports torch."""


@dataclass(frozen=True)
class Models:
    """Folders of an embedder and a reranker."""

    embedder: Path
    reranker: Path

    @classmethod
    def make(cls, folder: Path) -> Self:
        from tools.fakes import tiny_models  # noqa: PLC0415 - torch: seconds, in each process that collects tests

        return cls(
            tiny_models.make_embedder(folder / "embedder"),
            tiny_models.make_reranker(folder / "reranker"),
        )

    @property
    def environment(self) -> dict[str, str]:
        """Settings of a service that uses them, and computes as exactly on every machine."""
        return {
            "BGE_M3_MODEL": str(self.embedder),
            "RERANKER_MODEL": str(self.reranker),
            "RETRIEVAL_DTYPE": "float32",
            "RETRIEVAL_BACKEND": "torch",
            "RETRIEVAL_DEVICE": "cpu",
        }


async def loaded(running: Running) -> Running:
    """Wait for both models."""
    async with asyncio.timeout(LOADED_S):
        await running.service.api[EMBEDDER].keeper.loaded.wait()
        await running.service.api[RERANKER].keeper.loaded.wait()
    return running


async def post(running: Running, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    """Send JSON; give status and parsed answer."""
    data = io.BytesIO(json.dumps(body).encode())
    async with running.client.post(f"{running.url}{path}", data=data, headers=headers) as response:
        return response.status, await response.json()


async def readyz(running):
    async with running.client.get(f"{running.ops}/readyz") as response:
        return response.status, await response.json()


class Gate:
    """Holds a load up until it is opened, as a large model does."""

    def __init__(self, retriever):
        self.opened = threading.Event()
        self._load = retriever.keeper.load
        retriever.keeper.load = self

    def __call__(self):
        assert self.opened.wait(30)
        return self._load()


class Slow:
    """A copy that answers once it is let."""

    device = "cpu"

    def __init__(self, copy):
        self.copy = copy
        self.go = threading.Event()
        self.batches = 0

    def run(self, batch, is_wanted):
        self.batches += 1
        assert self.go.wait(30)
        return self.copy.run(batch, is_wanted)


async def slowed(running):
    model = running.service.api[EMBEDDER].keeper.model
    model.cpu = Slow(model.cpu)
    return model.cpu
