"""The rows that stand-ins and real servers have in common, with each stand-in."""

import pytest

from tests.integration.sidecar.server_rows import *  # noqa: F403 - its tests and its fixtures
from tests.integration.sidecar.stages import staged_fake
from tools.fakes.openai import Kind


@pytest.fixture(params=[kind.value for kind in Kind])
def staged(request):
    return staged_fake(request.param)


@pytest.fixture(params=["ollama", *(kind.value for kind in Kind)])
def staged_any(request):
    return staged_fake(request.param)
