"""The rows that stand-ins and real servers have in common, with llama.cpp's own server."""

import pytest

from tests.integration.sidecar.server_rows import *  # noqa: F403 - its tests and its fixtures


@pytest.fixture
def stage(shared_stage):
    return shared_stage


@pytest.fixture
def any_stage(shared_stage):
    return shared_stage
