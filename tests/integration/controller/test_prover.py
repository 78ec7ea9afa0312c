"""When the isolation is proved: a sidecar that comes during a proof, too, and no namespace that is gone."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from bench.harness.service import free_ports
from controller.isolation.prover import IsolationProver
from controller.ops.telemetry import Metrics
from controller.resource.sidecar_pod import Sidecar
from controller.settings import parse_settings
from tests.integration.controller.cluster_under_test import until
from tests.integration.controller.doors import API_ANSWER, OPS_ANSWER, answering, serving

SLOW, QUICK = "127.0.0.2", "127.0.0.3"


@pytest.fixture
def ports() -> Iterator[dict[str, int]]:
    """The API port hangs at one address, where nobody accepts, and is shut at the other, which can be reached."""
    api_port, ops_port = free_ports(2)
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server((SLOW, api_port), backlog=0))
        stack.enter_context(socket.create_connection(full.getsockname()))
        with serving(QUICK, ops_port, answering(OPS_ANSWER)):
            yield {"SIDECAR_API_PORT": str(api_port), "SIDECAR_OPS_PORT": str(ops_port)}


class Events:
    """Of the API server, the part that a proof needs."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def emit_event(self, _about, event, _component, _now) -> None:
        self.told.append(event.reason)


def ready(address: str) -> Sidecar:
    return Sidecar(address, f"uid of {address}", address, is_ready=True, stamped=None)


@contextlib.asynccontextmanager
async def running(ports: dict[str, int], **rhythm: float):
    settings = parse_settings({"OCR_AUTH_MODE": "network", "CONTROLLER_ISOLATION_TIMEOUT_SECONDS": "0.5"} | ports)
    told = []
    prover = IsolationProver(settings, Events(), Metrics(), told.append, **rhythm)
    task = asyncio.create_task(prover.run())
    yield prover, told
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def is_begun(prover, namespace):
    """Whether a proof is being made; it takes half a second."""
    return prover._namespaces[namespace].proved is not None


async def test_a_sidecar_that_comes_during_a_proof_is_proved_right_after_it(ports):
    async with running(ports) as (prover, told):
        prover.observe("ocr", [ready(SLOW)])
        await until(lambda: is_begun(prover, "ocr"))
        assert prover.latest("ocr") == (None, False)
        prover.observe("ocr", [ready(SLOW), ready(QUICK)])

        async def reason():
            proof, _ = prover.latest("ocr")
            return proof and proof.reason

        assert await until(reason) == "SidecarsUnreachable"
        await until(reason, lambda seen: seen == "ConnectionRefused", seconds=3)
        assert told == ["ocr", "ocr"]


async def test_a_pass_during_a_proof_that_brings_nobody_new_costs_no_second_proof(ports):
    async with running(ports) as (prover, _):
        prover.observe("ocr", [ready(SLOW)])
        await until(lambda: is_begun(prover, "ocr"))
        prover.observe("ocr", [ready(SLOW)])
        proof, _ = await until(lambda: latest(prover), lambda seen: seen[0] is not None)
        prover.reported("ocr", proof)
        await asyncio.sleep(0.7)  # longer than a proof
        assert prover.latest("ocr") == (proof, False)


async def latest(prover):
    return prover.latest("ocr")


async def test_a_namespace_that_is_forgotten_during_its_proof_leaves_nothing(ports):
    async with running(ports) as (prover, told):
        prover.observe("gone", [ready(SLOW)])
        await until(lambda: is_begun(prover, "gone"))
        prover.forget("gone")
        prover.observe("ocr", [ready(QUICK)])
        await until(lambda: latest(prover), lambda seen: seen[0] is not None)
        assert prover.latest("gone") == (None, False)
        assert told == ["ocr"]
        assert b'namespace="gone"' not in prover.metrics.render()


async def test_an_open_door_is_told_and_so_is_that_it_is_shut_soon_after(ports):
    async with running(ports, pause_s=0.05, again_s=0.2) as (prover, told):

        async def reason():
            proof, _ = prover.latest("ocr")
            return proof and proof.reason

        with serving(QUICK, int(ports["SIDECAR_API_PORT"]), answering(API_ANSWER)):
            prover.observe("ocr", [ready(QUICK)])
            await until(reason, lambda seen: seen == "ConnectionAccepted")
            assert prover.cluster.told == ["IsolationNotEnforced"]
        # Nothing new is observed, and the interval is four minutes.
        await until(reason, lambda seen: seen == "ConnectionRefused", seconds=10)
        assert told == ["ocr", "ocr"]


async def test_one_namespace_whose_doors_hang_holds_up_no_other(ports):
    async with running(ports) as (prover, _):
        prover.observe("slow", [ready(SLOW)])
        prover.observe("ocr", [ready(QUICK)])
        await until(lambda: is_begun(prover, "slow"))
        assert await is_begun(prover, "ocr")
