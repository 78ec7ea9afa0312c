"""Two controllers and a Lease: one works, the other takes over when it ends, is killed, or falls silent."""

import time

import pytest
import yaml

from controller.errors import UnavailableError
from controller.schedule.leader import Leader, LostLeaseError
from tests.integration.controller.cluster_under_test import ROOT, until
from tests.integration.controller.test_controller_cli import running
from tools.fakes.kube import RefusalError

RIGHTS = ROOT / "manifests" / "rbac" / "controller-lease.yaml"
LEASE = {"CONTROLLER_LEASE_SECONDS": "2"}


@pytest.fixture
async def leasing(kube):
    """An API server where the controller has the right to its Lease."""
    for one in yaml.safe_load_all(RIGHTS.read_text(encoding="utf-8")):
        if kube.fake is not None:
            kube.fake.rules += one.get("rules", [])
            continue
        for subject in one.get("subjects", ()):
            subject["namespace"] = kube.admin.namespace
        await kube.admin.ask("POST", kube.admin.path(one["kind"].lower() + "s"), one)
    return kube


async def holder(kube):
    path = f"/apis/coordination.k8s.io/v1/namespaces/{kube.admin.namespace}/leases/ocr-controller"
    return (await kube.admin.ask("GET", path))["spec"]["holderIdentity"]


async def test_one_works_and_the_other_takes_over_at_once_when_it_is_stopped(leasing, run_controller):
    first = await run_controller(leasing, **LEASE)
    await until(lambda: first.metric_of("ocr_controller_leading"), lambda seen: seen == 1)
    second = await run_controller(leasing, **LEASE)
    await leasing.admin.create_profile("a")
    await until(leasing.admin.payloads, lambda seen: set(seen) == {"a"})
    assert await second.readiness() == (200, [])
    assert (await second.metric_of("ocr_controller_leading"), await second.writes()) == (0, 0)
    began = time.monotonic()
    await first.stop()
    await until(lambda: second.metric_of("ocr_controller_leading"), lambda seen: seen == 1)
    took_s = time.monotonic() - began
    await leasing.admin.create_profile("b")
    await until(leasing.admin.payloads, lambda seen: set(seen) == {"a", "b"})
    await until(second.readiness, lambda seen: seen == (200, []))
    assert took_s < 15, "the lease was not given back"


async def test_when_its_node_is_lost_the_other_takes_over_after_a_term(leasing, run_controller):
    async with running(leasing, "run", CONTROLLER_OPS_PORT="0", **LEASE) as process:
        await leasing.admin.create_profile("a")
        await until(leasing.admin.payloads, lambda seen: set(seen) == {"a"}, seconds=20)
        lost = await holder(leasing)
        second = await run_controller(leasing, **LEASE)
        process.kill()
        await process.wait()
    await leasing.admin.create_profile("b")
    await until(leasing.admin.payloads, lambda seen: set(seen) == {"a", "b"}, seconds=20)
    assert await holder(leasing) != lost
    await until(second.readiness, lambda seen: seen == (200, []))


async def test_a_standby_that_may_not_see_the_lease_says_so(fake, run_controller):
    controller = await run_controller(fake, **LEASE)
    assert await until(controller.readiness, lambda seen: seen[1]) == (503, ["lease-failing"])


# ── its holder ────────────────────────────────────────────────────────────────────────────────────────────────────


class Shelf:
    """Holds one Lease, and may be away."""

    def __init__(self) -> None:
        self.body, self.is_away, self.version = None, False, 0

    async def get_lease(self, namespace):  # noqa: ARG002 - as the API client
        if self.is_away:
            raise UnavailableError("away")
        return self.body

    async def put_lease(self, manifest):
        if self.is_away:
            raise UnavailableError("away")
        self.version += 1
        metadata = manifest["metadata"] | {"resourceVersion": str(self.version)}
        self.body = {**manifest, "metadata": metadata}
        return self.body


class World:
    def __init__(self) -> None:
        self.now, self.shelf = 0.0, Shelf()

    def leader(self, name, term_s=1):
        return Leader(self.shelf, "ocr", name, term_s, clock=lambda: self.now)


async def test_the_holder_works_on_while_the_api_server_is_away():
    world = World()
    leader = world.leader("one")
    await leader.acquire()
    world.shelf.is_away = True
    world.now += 1000
    assert await leader.look() is False
    assert (leader.leads, leader.problem) == (True, "away")
    world.shelf.is_away = False
    assert await leader.look() is True
    assert leader.problem == ""


async def test_a_holder_that_was_silent_for_a_term_ends_when_another_one_has_it():
    world = World()
    first, second = world.leader("one"), world.leader("two")
    await first.acquire()
    assert await second.look() is False
    world.now += 1.1
    assert await second.look() is True
    with pytest.raises(LostLeaseError, match="two has the lease"):
        await first.hold()
    assert not first.leads


async def test_a_clock_that_differs_does_not_matter():
    """Only how long the Lease was seen unchanged counts, never the time that its holder wrote."""
    world = World()
    first, second = world.leader("one"), world.leader("two")
    await first.acquire()
    for _ in range(5):
        world.now += 0.9
        assert await first.look() is True
        assert await second.look() is False


async def test_what_cannot_be_given_back_lapses():
    world = World()
    leader = world.leader("one")
    await leader.acquire()
    world.shelf.is_away = True
    await leader.release()
    assert not leader.leads


async def test_of_two_that_write_at_once_one_succeeds(leasing, run_controller):
    """The API server refuses the older version; the loser stands by."""
    if leasing.fake is not None:
        once = iter([RefusalError(409, "AlreadyExists", "leases already exists")])
        leasing.fake.faults.append(lambda call: next(once, None) if call.verb == "create" else None)
    controllers = [await run_controller(leasing, **LEASE) for _ in range(2)]

    async def leading():
        return sum([await one.metric_of("ocr_controller_leading") for one in controllers])

    await until(leading, lambda seen: seen == 1)
    assert await leading() == 1
