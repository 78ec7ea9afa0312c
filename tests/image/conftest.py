"""The built images, and containers of them. `make image-check` builds them; without that these tests are skipped."""

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from tests.integration.controller.conftest import fake  # noqa: F401 - a fixture
from tests.integration.sidecar.conftest import models  # noqa: F401 - a fixture
from tools.image.container import Container, Image, started

BUILT = "OCR_IMAGES"

Run = Callable[..., Awaitable[Container]]


def built() -> dict[str, Image]:
    folder = os.environ.get(BUILT)
    if not folder:
        pytest.skip(f"{BUILT} is not set to a folder with built images: make image-check does that, as root")
    known = json.loads((Path(folder) / "images.json").read_text())
    return {target: Image.read(target, known[target]) for target in known}


@pytest.fixture(params=["controller", "sidecar"])
def image(request) -> Image:
    return built()[request.param]


@pytest.fixture
def sidecar() -> Image:
    return built()["sidecar"]


@pytest.fixture
def controller() -> Image:
    return built()["controller"]


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    """Run images; what still runs at the end of the test is killed."""
    tmp_path.chmod(0o755)
    async with AsyncExitStack() as stack:

        async def _run(image: Image, volumes: Mapping[str, Path] | None = None, **options) -> Container:
            environ = {name: value for name, value in options.items() if name.isupper()}
            others = {name: value for name, value in options.items() if not name.isupper()}
            log = tmp_path / f"{image.target}.log"
            return await stack.enter_async_context(
                started(image, log, environ=environ, volumes=volumes or {}, **others)
            )

        yield _run


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session
