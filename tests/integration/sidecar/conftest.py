from collections.abc import AsyncIterator

import pytest

from tests.conftest import Start
from tests.fakes.ollama import FakeOllama
from tests.integration.sidecar.model import Governed, Governor


@pytest.fixture
async def fake() -> AsyncIterator[FakeOllama]:
    async with FakeOllama(parallel=4) as one:
        yield one


@pytest.fixture
def govern(fake: FakeOllama, start: Start, tmp_path) -> Governor:
    return Governor(start, fake, tmp_path / "profiles")


@pytest.fixture
async def governed(govern: Governor) -> Governed:
    return await govern()
