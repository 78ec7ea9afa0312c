"""A server of the queue for each test, or a cluster of three, and pods that end with it."""

import pytest

from tests.integration.sidecar.jobs.pods import Cluster, Pod, Server, running, server_access


@pytest.fixture(params=["one", pytest.param("three", marks=pytest.mark.matrix)])
def server(request, tmp_path):
    one = Server(tmp_path / "store") if request.param == "one" else Cluster(tmp_path / "stores")
    one.start()
    yield one
    one.kill()


@pytest.fixture
async def pod(server, tmp_path):
    async with running(Pod(server_access(server.port), tmp_path / "spool")) as one:
        yield one
