"""A real API server for what the chart renders to, and namespaces that admit restricted pods alone."""

import itertools
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import yaml

from tests.integration.controller import envtest
from tests.integration.controller.cluster_under_test import CRD, Admin
from tests.integration.controller.conftest import put_crd
from tests.integration.helm.cluster import apply
from tools.charts import base
from tools.charts.kustomization import build

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[envtest.ApiServer]:
    if (reason := envtest.why_not()) is not None:
        pytest.skip(reason)
    with envtest.api_server(tmp_path_factory.mktemp("envtest")) as server:
        yield server


@pytest.fixture
async def admin(api_server: envtest.ApiServer) -> AsyncIterator[Admin]:
    """An administrator, the CRD, and a namespace of one's own that enforces the standard."""
    admin = Admin(api_server.url, api_server.admin_token, "admin")
    await put_crd(admin, yaml.safe_load(CRD.read_text(encoding="utf-8")))
    await use_restricted_namespace(admin)
    yield admin
    await admin.close()


async def use_restricted_namespace(admin: Admin) -> str:
    """Make the namespace of the base, under a name that no other test uses."""
    admin.namespace = f"chart-{next(_NUMBERS)}-{time.time_ns() % 10**9}"
    (namespace,) = [one for one in build(base.BASE) if one["kind"] == "Namespace"]
    namespace["metadata"]["name"] = admin.namespace
    await apply(admin, namespace)
    return admin.namespace
