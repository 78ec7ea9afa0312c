import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sidecar.runtime.workers.pool import WorkerLimits, WorkerPool
from tests.conftest import Running, Start, start_service
from tests.integration.sidecar.model import Governed, Governor
from tests.integration.sidecar.retrieving import Models, loaded
from tools.fakes.ollama import FakeOllama


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


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Models:
    return Models.make(tmp_path_factory.mktemp("models"))


@pytest.fixture
async def retrieving(start: Start, models: Models) -> Running:
    return await loaded(await start(**models.environment))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_retrieving(tmp_path_factory, models: Models) -> AsyncIterator[Running]:
    """One service with models for those tests of a file that change nothing in it; they run in the module's loop."""
    running = await start_service(tmp_path_factory.mktemp("retrieving"), **models.environment)
    yield await loaded(running)
    await running.stop()


@pytest.fixture
async def unstarted(tmp_path, models):
    """A service that is put together and not yet started."""
    from sidecar.service.server import Service  # noqa: PLC0415 - started by the tests
    from sidecar.settings import parse_settings  # noqa: PLC0415

    environment = {
        "OCR_AUTH_MODE": "network",
        "OCR_PORT": "0",
        "OCR_OPS_PORT": "0",
        "OCR_SPOOL_DIR": str(tmp_path / "spool"),
    }
    settings = parse_settings(environment | models.environment)
    service = Service(settings)
    yield service, settings
    await service.stop(0)


@pytest.fixture
async def make_pool():
    pools: list[WorkerPool] = []

    def make(**limits: int) -> WorkerPool:
        defaults = {"count": 2, "memory_bytes": 1024 * 1024 * 1024, "tasks": 100, "nice": 5}
        pools.append(WorkerPool(WorkerLimits(**defaults | limits)))
        return pools[-1]

    yield make
    for pool in pools:
        await asyncio.to_thread(pool.stop)
