"""One network for all of these tests; skipped where there can be none."""

from collections.abc import Iterator

import pytest

from tests.fakes.network import Network, why_not
from tests.integration.network.cluster import Cluster

REASON = why_not()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    if REASON is not None:
        pytest.skip(REASON)
    with Network() as network:
        yield Cluster(network)
