"""A namespace where nothing of ours is left has no loop, no memory and no metrics; what comes back is served again."""

import pytest

from tests.integration.controller.cluster_under_test import until

EVERYTHING = {
    "apiGroups": ["", "ocr.np-dms.work"],
    "resources": ["configmaps", "pods", "events", "ocrprofiles", "ocrprofiles/status"],
    "verbs": ["get", "list", "watch", "create", "patch", "delete"],
}


@pytest.fixture
def cluster_wide(fake):
    """The API server, with the rights of the ClusterRole."""
    fake.fake.rules[:] = [EVERYTHING]
    return fake


async def lines_about(controller, namespace):
    text = (await controller.get("/metrics"))[1]
    return [line for line in text.splitlines() if f'namespace="{namespace}"' in line]


async def end_namespace(kube):
    """Take away all that the namespace holds, as the API server does when somebody deletes it."""
    for resource, namespace, name in list(kube.fake.objects):
        if namespace == kube.admin.namespace and resource != "events":
            await kube.admin.delete(resource, name)


async def test_a_namespace_that_is_gone_leaves_nothing_and_may_come_back(cluster_wide, sidecars, run_controller):
    kube = cluster_wide
    quick = {"CONTROLLER_RESYNC_SECONDS": "0.2", "CONTROLLER_ISOLATION_SECONDS": "0.3"}
    controller = await run_controller(kube, WATCH_NAMESPACE="*", OCR_AUTH_MODE="network", **quick)
    await sidecars.start("127.0.0.1")
    staying = kube.admin.namespace
    await kube.admin.create_profile("a")
    await until(kube.admin.payloads)
    going = await kube.admin.use_new_namespace()
    await kube.admin.create_pod("sidecar-1", "127.0.0.1")
    await kube.admin.create_profile("b")
    await until(lambda: kube.admin.conditions("b"), lambda seen: seen["IsolationEnforced"][0] == "True")
    kinds = {"passes_total", "last_success_timestamp_seconds", "profiles", "sidecars", "isolation_enforced"}
    shown = {line.partition("{")[0].removeprefix("ocr_controller_") for line in await lines_about(controller, going)}
    assert kinds <= shown
    await end_namespace(kube)
    await until(lambda: lines_about(controller, going), lambda seen: seen == [], seconds=10)
    kube.fake.calls.clear()
    await until(lambda: listed(kube, staying), lambda seen: len(seen) > 3)
    assert [call for call in kube.fake.calls if call.namespace == going] == [], "nobody looks there any more"
    assert await lines_about(controller, going) == []
    assert await lines_about(controller, staying)
    await kube.admin.create_profile("b", {"temperature": 0.9})
    await until(kube.admin.payloads, lambda seen: set(seen) == {"b"})
    await until(lambda: lines_about(controller, going))


async def listed(kube, namespace):
    return [call for call in kube.fake.calls if (call.verb, call.namespace) == ("list", namespace)]


async def test_a_namespace_that_never_had_a_profile_gets_no_lasting_loop(cluster_wide, run_controller):
    kube = cluster_wide
    controller = await run_controller(kube, WATCH_NAMESPACE="*", CONTROLLER_RESYNC_SECONDS="0.2")
    await kube.admin.create_profile("a")
    await until(kube.admin.payloads)
    other = await kube.admin.use_new_namespace()
    await kube.admin.create_pod("sidecar-1", "127.0.0.9")
    await until(lambda: listed(kube, other))
    await until(lambda: lines_about(controller, other), lambda seen: seen == [])
    assert await kube.admin.get("configmaps", "ocr-profiles") is None


async def test_the_one_namespace_that_is_served_is_served_empty_as_well(fake, run_controller):
    controller = await run_controller(fake, CONTROLLER_RESYNC_SECONDS="0.2")
    namespace = fake.admin.namespace
    await until(lambda: lines_about(controller, namespace))
    await end_namespace(fake)
    await until(lambda: fake.admin.get("configmaps", "ocr-profiles"), bool)
    assert await lines_about(controller, namespace)


async def test_a_namespace_that_is_stuck_in_its_end_leaves_the_controller_ready_and_itself_alone(
    cluster_wide, sidecars, run_controller
):
    """A finalizer that nobody takes off holds its profile; meanwhile nothing new can be made there."""
    kube = cluster_wide
    controller = await run_controller(kube, WATCH_NAMESPACE="*", CONTROLLER_RESYNC_SECONDS="0.2")
    await kube.admin.create_profile("a")
    await until(kube.admin.payloads)
    staying = kube.admin.namespace
    stuck = await kube.admin.use_new_namespace()
    await kube.admin.create_profile("b", finalizers=["example.org/stuck"])
    await kube.admin.create_profile("c")
    await until(kube.admin.payloads, lambda seen: set(seen) == {"b", "c"})
    kube.fake.terminating.add(stuck)
    await kube.admin.delete("configmaps", "ocr-profiles")
    await kube.admin.delete("ocrprofiles", "b")
    await until(lambda: lines_about(controller, stuck), lambda seen: seen == [])
    for _ in range(20):  # many passes that are made in vain
        assert await controller.readiness() == (200, [])
    await kube.admin.delete("ocrprofiles", "c")

    async def calls_while_the_other_is_served():
        kube.fake.calls.clear()
        await until(lambda: listed(kube, staying), lambda seen: len(seen) > 3)
        return [call for call in kube.fake.calls if call.namespace == stuck]

    await until(calls_while_the_other_is_served, lambda seen: seen == [])
    assert await lines_about(controller, stuck) == []
    assert await kube.admin.get("configmaps", "ocr-profiles") is None
    assert await kube.admin.get("ocrprofiles", "b")
