"""One network for all of these tests; skipped where there can be none."""

from collections.abc import Iterator

import pytest

from tests.integration.network.cluster import Cluster
from tools.fakes.network import Network, why_not

REASON = why_not()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    if REASON is not None:
        pytest.skip(REASON)
    with Network() as network:
        yield Cluster(network)
