"""What tests of a host without Kubernetes share: a real database, a model, and processes that end with the test."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.controller.mariadb import mariadb, mariadb_server  # noqa: F401 - fixtures
from tests.integration.host.processes import Host
from tools.fakes.ollama import FakeOllama


@pytest.fixture
async def fake() -> AsyncIterator[FakeOllama]:
    async with FakeOllama(parallel=4) as one:
        yield one


@pytest.fixture
async def host(tmp_path) -> AsyncIterator[Host]:
    async with Host(tmp_path) as one:
        yield one
