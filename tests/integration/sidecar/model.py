"""What tests of the governed engine share: a service beside a fake Ollama, and a folder of profiles."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import Running
from tests.integration.sidecar.documents import as_png, as_tiff, picture_of_text
from tools.fakes.ollama import FakeOllama
from tools.fakes.openai import FakeOpenAI

PAGE = as_png(picture_of_text(lines=2, size=(700, 400)))
"""A page that is quickly drawn, and quickly read by Tesseract."""


def pages(count: int) -> bytes:
    """A document of so many pages."""
    return as_tiff([picture_of_text(lines=2, size=(700, 400), text=f"page {n}") for n in range(1, count + 1)])


def publish(folder: Path, name: str = "ocr-extract", **payload: Any) -> None:
    """Write a profile whole or not at all, as a ConfigMap brings it."""
    folder.mkdir(exist_ok=True)
    partial = folder / f".{name}.partial"
    partial.write_text(json.dumps({"name": name} | payload, ensure_ascii=False), encoding="utf-8")
    partial.rename(folder / f"{name}.json")


@dataclass
class Governed:
    """A service whose engine is a model in a fake Ollama, or in another fake server."""

    service: Running
    fake: FakeOllama | FakeOpenAI
    folder: Path

    def publish(self, name: str = "ocr-extract", **payload: Any) -> None:
        publish(self.folder, name, **payload)

    def withdraw(self, name: str = "ocr-extract") -> None:
        (self.folder / f"{name}.json").unlink()

    async def read(self, document: bytes = PAGE, **fields: str) -> dict[str, Any]:
        """Have a document read by the model; fail if it is not answered."""
        status, body = await self.service.upload(document, **({"engine": "np-dms-ocr"} | fields))
        assert status == 200, body
        return body

    async def ops(self, path: str) -> dict[str, Any]:
        async with self.service.client.get(f"{self.service.ops}/{path}") as response:
            return await response.json()

    async def metric(self, name: str) -> float:
        """The value of one line of /metrics; 0 where there is none yet."""
        async with self.service.client.get(f"{self.service.ops}/metrics") as response:
            lines = (await response.text()).splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == name), 0.0)

    @property
    def options(self) -> list[dict[str, Any]]:
        """The options of each chat, as they came over the wire."""
        return [call.options for call in self.fake.chats]

    @property
    def system_prompts(self) -> list[str | None]:
        return [next((m["content"] for m in call.messages if m["role"] == "system"), None) for call in self.fake.chats]

    @property
    def user_prompts(self) -> list[str]:
        return [m["content"] for call in self.fake.chats for m in call.messages if m["role"] == "user"]


@dataclass
class Governor:
    """Starts governed services; ``fake`` may be scripted before."""

    start: Callable[..., Awaitable[Running]]
    fake: FakeOllama | FakeOpenAI
    folder: Path

    def publish(self, name: str = "ocr-extract", **payload: Any) -> None:
        publish(self.folder, name, **payload)

    async def __call__(self, **environ: str) -> Governed:
        self.folder.mkdir(exist_ok=True)
        settings = self.fake.environment | {"OCR_PROFILE_DIR": str(self.folder), "OCR_LANGUAGES": "eng"}
        return Governed(await self.start(**(settings | environ)), self.fake, self.folder)
