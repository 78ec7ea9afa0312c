"""A server of the queue for each test, and pods that end with it."""

import pytest

from tests.integration.sidecar.jobs.pods import Pod, Server, running, server_access


@pytest.fixture
def server(tmp_path):
    one = Server(tmp_path / "store")
    one.start()
    yield one
    one.kill()


@pytest.fixture
async def pod(server, tmp_path):
    async with running(Pod(server_access(server.port), tmp_path / "spool")) as one:
        yield one
