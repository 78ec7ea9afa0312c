"""Whose answer opens a door: the service's own, and nobody else's, over real sockets."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from bench.harness.service import free_ports
from controller.isolation.probe import prove
from controller.resource.sidecar_pod import Sidecar
from tests.integration.controller.doors import (
    API_ANSWER,
    OPS_ANSWER,
    Handler,
    answering,
    babbling,
    hanging_up,
    refusing_by_id,
    serving,
)

ADDRESS, OTHER_ADDRESS = "127.0.0.3", "127.0.0.4"
TIMEOUT_S, PAUSE_S = 0.5, 0.05


@pytest.fixture(scope="module")
def ports() -> tuple[int, int]:
    first, second = free_ports(2)
    return first, second


@pytest.fixture
def reachable(ports: tuple[int, int]) -> Iterator[None]:
    """The ops port answers, as it does to the controller."""
    with serving(ADDRESS, ports[1], answering(OPS_ANSWER)):
        yield


def ready(address: str = ADDRESS) -> Sidecar:
    return Sidecar(f"pod at {address}", f"uid of {address}", address, is_ready=True, stamped=None)


async def proof(ports: tuple[int, int], *sidecars: Sidecar) -> tuple[str, str, list[str]]:
    condition, exposed = await prove(sidecars or [ready()], *ports, TIMEOUT_S, PAUSE_S)
    return condition.status, condition.reason, [one.name for one in exposed]


@pytest.mark.parametrize(
    "handler",
    [
        answering(API_ANSWER),
        answering(API_ANSWER, "503 Service Unavailable"),
        answering(b"", "404 Not Found", server="ocr-sidecar"),
        refusing_by_id,
    ],
    ids=["behind a proxy", "not ready", "by its name", "an error of ours"],
)
async def test_a_door_where_the_service_answers_is_open(ports, reachable, handler: Handler):
    with serving(ADDRESS, ports[0], handler):
        assert await proof(ports) == ("False", "ConnectionAccepted", [f"pod at {ADDRESS}"])


@pytest.mark.parametrize(
    "handler",
    [
        answering(b"RBAC: access denied", "403 Forbidden"),
        answering(b"upstream connect error", "503 Service Unavailable"),
        answering(b'{"status": "ok"}'),
        answering(b'{"requestId": "another"}'),
        answering(b"[" * 100_000),
        hanging_up,
        babbling,
    ],
    ids=["refuses", "nothing behind", "another service", "another request", "no JSON", "hangs up", "no HTTP"],
)
async def test_a_door_where_something_else_answers_is_none_of_ours(ports, reachable, handler: Handler):
    with serving(ADDRESS, ports[0], handler):
        assert await proof(ports) == ("True", "AcceptedByOther", [])


async def test_a_mesh_that_accepts_all_and_reaches_nobody_proves_nothing(ports):
    with serving(ADDRESS, ports[0], hanging_up), serving(ADDRESS, ports[1], hanging_up):
        assert await proof(ports) == ("Unknown", "SidecarsUnreachable", [])


async def test_a_door_that_accepts_and_says_nothing_proves_nothing(ports, reachable):
    """It may be the service, with more to do than it can."""
    with socket.create_server((ADDRESS, ports[0])):
        assert await proof(ports) == ("Unknown", "NoAnswer", [])


async def test_a_door_that_is_shut_is_shut(ports, reachable):
    assert await proof(ports) == ("True", "ConnectionRefused", [])


async def test_a_policy_that_comes_after_the_pod_was_never_missing(ports, reachable):
    """It answers once, and is shut when it is knocked at again."""
    is_over = threading.Event()

    def once(connection: socket.socket, asked: bytes) -> None:
        answering(b"denied" if is_over.is_set() else API_ANSWER)(connection, asked)
        is_over.set()

    with serving(ADDRESS, ports[0], once):
        assert await proof(ports) == ("True", "AcceptedByOther", [])


async def test_one_open_door_among_shut_ones_is_named(ports, reachable):
    with contextlib.ExitStack() as stack:
        stack.enter_context(serving(OTHER_ADDRESS, ports[0], answering(API_ANSWER)))
        found = await proof(ports, ready(), ready(OTHER_ADDRESS))
    assert found == ("False", "ConnectionAccepted", [f"pod at {OTHER_ADDRESS}"])


async def test_an_address_that_is_none_is_no_open_door(ports):
    assert await proof(ports, ready("no such host.")) == ("Unknown", "SidecarsUnreachable", [])
