"""Tiny models, and a service that has loaded them."""

import asyncio
import io
import json
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
            "RETRIEVAL_DEVICE": "cpu",
        }


async def loaded(running: Running) -> Running:
    """Wait for both models."""
    async with asyncio.timeout(LOADED_S):
        await running.service.api[EMBEDDER].loaded.wait()
        await running.service.api[RERANKER].loaded.wait()
    return running


async def post(running: Running, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    """Send JSON; give status and parsed answer."""
    data = io.BytesIO(json.dumps(body).encode())
    async with running.client.post(f"{running.url}{path}", data=data, headers=headers) as response:
        return response.status, await response.json()
