"""What the controller lives through: refusals, storms, outages, silence, its own death at any write, a second self."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.integration.controller.cluster_under_test import ROOT, until
from tools.fakes.kube import CONTROLLER, RefusalError


def refuse(times, refusal, *, resource, writes_only=False):
    """Make a fault that refuses the first so many calls that match."""
    left = [times]

    def fault(call):
        if left[0] and resource == call.resource and (call.is_write or not writes_only):
            left[0] -= 1
            return refusal
        return None

    return fault


BUSY = RefusalError(429, "TooManyRequests", "too many requests", {"Retry-After": "1"})
BUSY_FOR_NO_TIME = RefusalError(429, "TooManyRequests", "too many requests", {"Retry-After": "0"})
CONFLICT = RefusalError(409, "Conflict", "the object has been modified")
BROKEN = RefusalError(500, "InternalError", "etcdserver: request timed out")


@pytest.mark.parametrize(
    ("refusal", "resources"),
    [
        (BUSY_FOR_NO_TIME, ("ocrprofiles", "configmaps", "pods", "ocrprofiles/status", "events")),
        (CONFLICT, ("configmaps", "pods", "ocrprofiles/status", "events")),
        (BROKEN, ("ocrprofiles", "configmaps", "ocrprofiles/status")),
        (BROKEN, ("pods", "events")),
    ],
    ids=["429", "409", "500", "500 later"],
)
async def test_refused_calls_are_made_again(fake, sidecars, run_controller, refusal, resources):
    one = await sidecars.start("127.0.0.1")
    await fake.admin.create_pod("sidecar-1", "127.0.0.1")
    await run_controller(fake)
    await fake.admin.create_profile("a")
    one.load((await until(fake.admin.payloads))["a"])
    # At rest, the next look without an event is half a minute away.
    await until(lambda: fake.admin.conditions("a"), lambda seen: seen["Ready"] == ("True", "AllSidecars"))
    stamp = await fake.admin.stamp("sidecar-1")
    for resource in resources:
        fake.fake.faults.append(refuse(1, refusal, resource=resource, writes_only=refusal is CONFLICT))
    await fake.admin.patch_profile("a", {"temperature": 0.9})
    await until(fake.admin.payloads, lambda seen: seen["a"]["runtimeParams"]["temperature"] == 0.9, seconds=10)
    await until(lambda: fake.admin.conditions("a"), lambda seen: seen["Ready"][0] == "False", seconds=10)
    await until(lambda: fake.admin.stamp("sidecar-1"), lambda seen: seen != stamp, seconds=10)


async def test_a_busy_server_is_asked_when_it_says(fake, run_controller):
    fake.fake.faults.append(refuse(1, BUSY, resource="configmaps", writes_only=True))
    controller = await run_controller(fake)
    started = time.monotonic()
    await fake.admin.create_profile("a")
    await until(fake.admin.payloads)
    assert time.monotonic() - started >= 1
    assert await controller.metric("ocr_controller_passes_total", result="failed") == 0, "one busy answer is no failure"


async def test_one_profile_that_cannot_be_told_of_holds_up_no_other(fake, run_controller):
    def fault(call):
        return BROKEN if call.resource == "ocrprofiles/status" and call.name == "a" else None

    fake.fake.faults.append(fault)
    controller = await run_controller(fake)
    await fake.admin.create_profile("a")
    await fake.admin.create_profile("b")
    await until(lambda: fake.admin.conditions("b"))
    assert set(await until(fake.admin.payloads)) == {"a", "b"}
    _, reasons = await until(controller.readiness, lambda seen: seen[0] == 503)
    assert reasons == ["reconcile-failing"]
    assert "UnavailableError" in (await controller.get("/readyz"))[1]
    fake.fake.faults.clear()
    await until(lambda: fake.admin.conditions("a"), seconds=8)
    await until(controller.readiness, lambda seen: seen == (200, []))


async def test_an_api_server_that_restarts_is_found_again(fake, run_controller):
    controller = await run_controller(fake, CONTROLLER_RESYNC_SECONDS="0.5")
    await fake.admin.create_profile("a")
    await until(fake.admin.payloads)
    await fake.fake.stop()
    await until(controller.readiness, lambda seen: seen == (503, ["reconcile-failing"]))
    await fake.fake.start()
    await fake.admin.create_profile("b")
    await until(fake.admin.payloads, lambda seen: set(seen) == {"a", "b"}, seconds=8)
    await fake.admin.patch_profile("b", {"temperature": 0.9})
    await until(fake.admin.payloads, lambda seen: seen["b"]["runtimeParams"]["temperature"] == 0.9, seconds=8)


async def test_a_watch_that_is_forgotten_begins_anew(fake, run_controller):
    await run_controller(fake)
    await fake.admin.create_profile("a")
    await until(fake.admin.payloads)
    gone = {"kind": "Status", "code": 410, "reason": "Expired"}
    fake.fake.say_to_watches({"type": "ERROR", "object": gone})
    await fake.admin.create_profile("b")
    await until(fake.admin.payloads, lambda seen: set(seen) == {"a", "b"})


async def test_a_silent_watch_is_outlived(fake, run_controller):
    await run_controller(fake, CONTROLLER_RESYNC_SECONDS="0.5")
    await fake.admin.create_profile("a")
    await until(fake.admin.payloads)
    fake.fake.silent = True
    await fake.admin.create_profile("b")
    await until(fake.admin.payloads, lambda seen: set(seen) == {"a", "b"})


async def test_a_silent_watch_is_renewed(fake, run_controller):
    await run_controller(fake, CONTROLLER_RESYNC_SECONDS="3600", CONTROLLER_WATCH_SECONDS="1")
    await fake.admin.create_profile("a")
    await until(fake.admin.payloads)
    fake.fake.silent = True
    await fake.admin.create_profile("b")
    fake.fake.silent = False  # whoever watches now, hears it; the old watches are not woken for it
    await until(fake.admin.payloads, lambda seen: set(seen) == {"a", "b"})


async def test_without_the_crd_it_waits_and_says_so(fake, run_controller):
    fake.fake.is_crd_there = False
    controller = await run_controller(fake)
    assert await until(controller.readiness, lambda seen: seen[1]) == (503, ["crd-missing"])
    fake.fake.is_crd_there = True
    await fake.admin.create_profile("a")
    await until(fake.admin.payloads)
    await until(controller.readiness, lambda seen: seen == (200, []))


async def test_a_storm_of_events_is_a_few_passes(fake, run_controller):
    controller = await run_controller(fake)
    await fake.admin.create_profile("a")
    await until(fake.admin.payloads)
    fake.fake.written.clear()
    for number in range(1000):
        await fake.admin.patch_profile("a", {"temperature": (number % 100) / 100})
    await until(fake.admin.payloads, lambda seen: seen["a"]["runtimeParams"]["temperature"] == 0.99)
    writes = [call for call in fake.fake.written if call.resource == "configmaps"]
    assert 1 <= len(writes) <= 20
    assert (await controller.get("/livez"))[0] == 200


async def test_a_profile_that_is_deleted_in_the_middle_of_a_pass_is_no_error(fake, run_controller):
    controller = await run_controller(fake)
    armed = [True]

    def delete_it(call, when):
        if call.resource == "ocrprofiles/status" and when == "before" and armed[0]:
            armed[0] = False
            del fake.fake.objects["ocrprofiles", call.namespace, "a"]

    fake.fake.on_call = delete_it
    await fake.admin.create_profile("a")
    await until(lambda: fake.admin.get("ocrprofiles", "a"), lambda seen: seen is None)
    await fake.admin.create_profile("b")
    await until(lambda: fake.admin.conditions("b"))
    assert await controller.metric("ocr_controller_passes_total", result="failed") == 0


# ── two replicas ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_two_replicas_do_not_fight(fake, sidecars, run_controller):
    await sidecars.start("127.0.0.1")
    await fake.admin.create_pod("sidecar-1", "127.0.0.1")
    await run_controller(fake, CONTROLLER_RESYNC_SECONDS="0.2")
    # The second one sees other things: it asks at a port where nobody answers, and knocks where somebody does.
    other = {"SIDECAR_OPS_PORT": str(sidecars.api_port), "SIDECAR_API_PORT": str(sidecars.ops_port)}
    await run_controller(fake, CONTROLLER_RESYNC_SECONDS="0.2", **other)
    for name in ("a", "b"):
        await fake.admin.create_profile(name, {"temperature": 0.9})  # one revision each: one event each
    await until(fake.admin.payloads, lambda seen: len(seen) == 2)
    await until(lambda: fake.admin.conditions("b"))
    assert len([call for call in fake.fake.written if call.resource == "configmaps"]) <= 4
    assert len(await fake.admin.events()) == len(set(await fake.admin.events()))
    fake.fake.written.clear()
    await asyncio.sleep(0.7)  # three resyncs of each
    assert [call for call in fake.fake.written if call.resource != "ocrprofiles/status"] == []


async def test_two_replicas_that_prove_different_things_take_turns_at_the_most(fake, sidecars, run_controller):
    await sidecars.start("127.0.0.1")
    await fake.admin.create_pod("sidecar-1", "127.0.0.1")
    await fake.admin.create_profile("a")
    quick = {"CONTROLLER_RESYNC_SECONDS": "0.2", "OCR_AUTH_MODE": "network"}
    await run_controller(fake, **quick)
    await until(
        lambda: fake.admin.conditions("a"), lambda seen: seen.get("IsolationEnforced") == ("True", "ConnectionRefused")
    )
    await run_controller(fake, **quick, SIDECAR_API_PORT=str(sidecars.ops_port))
    await until(lambda: fake.admin.conditions("a"), lambda seen: seen["IsolationEnforced"][0] == "False")
    fake.fake.written.clear()
    await asyncio.sleep(0.7)  # three resyncs of each
    assert fake.fake.written == []


# ── its own death ─────────────────────────────────────────────────────────────────────────────────────────────────


def spawn(kube, sidecars):
    """Start a controller as a process of its own, which can be killed."""
    environ = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "KUBECONFIG": str(kube.kubeconfig()),
        "CONTROLLER_OPS_PORT": "0",
        "SIDECAR_OPS_PORT": str(sidecars.ops_port),
    }
    with (kube.folder / "controller.log").open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", "controller", "run"], cwd=ROOT, env=environ, stderr=log)


def wait_for_log(path, words):
    """Wait until the log holds something: the one sign of life of a process that has no API server."""
    deadline = time.monotonic() + 20
    while words not in path.read_text(encoding="utf-8"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def ended(process):
    return await asyncio.to_thread(process.wait, 20)


async def test_killed_after_any_write_it_ends_up_the_same(fake, sidecars):
    """Each process is killed as soon as the server has done its first write; so there is a death at every write."""
    one = await sidecars.start("127.0.0.1")
    await fake.admin.create_pod("sidecar-1", "127.0.0.1")
    await fake.admin.create_profile("a")
    processes, last_words = [], []

    def die(call, when):
        if len(last_words) == len(processes):
            raise BROKEN  # it has others under way, and is dead already
        if when == "after" and call.is_write:
            last_words.append(call.resource)
            processes[-1].kill()

    fake.fake.on_call = die
    while not await is_settled(fake, one):
        assert len(processes) < 25, "it gets nowhere"
        processes.append(spawn(fake, sidecars))
        assert await ended(processes[-1]) == -signal.SIGKILL
    assert last_words == ["configmaps", "pods", "events", "events", "ocrprofiles/status"]
    events = await fake.admin.events()
    assert len(events) == len(set(events)), "something is told twice"
    assert set(events) == {("a", "Normal", "Published"), ("a", "Normal", "AllSidecars")}
    fake.fake.calls.clear()
    fake.fake.on_call = lambda _call, _when: None
    last = spawn(fake, sidecars)
    processes.append(last)
    try:
        await until(lambda: listed(fake, "pods"), seconds=20)
        await until(lambda: is_settled(fake, one))
    finally:
        last.send_signal(signal.SIGTERM)
        assert await ended(last) == 0


async def listed(kube, resource):
    return [call for call in kube.fake.calls if (call.verb, call.resource) == ("list", resource)]


async def is_settled(kube, sidecar):
    payloads = await kube.admin.payloads()
    sidecar.load(*payloads.values())
    return set(payloads) == {"a"} and (await kube.admin.conditions("a"))["Ready"] == ("True", "AllSidecars")


async def test_told_to_stop_it_stops_with_status_0_even_without_an_api_server(fake, sidecars):
    await fake.fake.stop()
    process = spawn(fake, sidecars)
    await asyncio.to_thread(wait_for_log, fake.folder / "controller.log", "does not answer")
    process.send_signal(signal.SIGTERM)
    assert await ended(process) == 0


# ── what is heard of the watches, and who may watch ───────────────────────────────────────────────────────────────


async def watch_ages(controller):
    return json.loads((await controller.get("/readyz"))[1])["watchAgeSeconds"]


async def verbs_of(kube):
    return {call.verb for call in kube.fake.calls}


async def test_a_watch_that_is_refused_is_told_though_all_else_works(fake, run_controller):
    controller = await run_controller(fake, CONTROLLER_WATCH_SECONDS="1", CONTROLLER_RESYNC_SECONDS="0.2")
    await fake.admin.create_profile("a")
    await until(fake.admin.payloads)
    await until(controller.readiness, lambda seen: seen == (200, []))
    assert set(await watch_ages(controller)) == {"ocrprofiles", "configmaps", "pods"}
    fake.fake.faults.append(lambda call: BROKEN if (call.verb, call.resource) == ("watch", "pods") else None)
    await until(controller.readiness, lambda seen: seen == (503, ["watch-silent"]), seconds=20)
    assert await controller.metric("ocr_controller_watch_age_seconds", kind="pods") > 3
    assert await controller.metric("ocr_controller_watch_age_seconds", kind="ocrprofiles") < 3
    fake.fake.faults.clear()
    await until(controller.readiness, lambda seen: seen == (200, []), seconds=30)


async def kopf_is_refused(kube, controller):
    """Wait until kopf's watches have ended, and it has in vain asked for another token."""
    await until(lambda: refused_watches(kube), lambda seen: seen > 0)
    await until(controller.readiness, lambda seen: "watch-silent" in seen[1], seconds=20)


async def refused_watches(kube):
    return kube.fake.unknown_users["watch"]


async def test_a_token_that_is_revoked_before_the_next_one_is_there_ends_nothing(fake, run_controller):
    controller = await run_controller(fake, CONTROLLER_WATCH_SECONDS="1", CONTROLLER_RESYNC_SECONDS="0.2")
    await until(controller.readiness, lambda seen: seen == (200, []))
    del fake.fake.tokens[CONTROLLER]
    await until(controller.readiness, lambda seen: "reconcile-failing" in seen[1])
    await kopf_is_refused(fake, controller)
    fake.token = "the-next-token"
    fake.fake.tokens[fake.token] = CONTROLLER
    fake.kubeconfig()
    await until(controller.readiness, lambda seen: seen == (200, []), seconds=20)
    fake.fake.calls.clear()
    await fake.admin.create_profile("a")
    await until(fake.admin.payloads)
    await until(lambda: verbs_of(fake), lambda seen: "watch" in seen)


async def test_a_token_that_is_refused_by_mistake_is_tried_again(fake, run_controller):
    controller = await run_controller(fake, CONTROLLER_WATCH_SECONDS="1", CONTROLLER_RESYNC_SECONDS="0.2")
    await until(controller.readiness, lambda seen: seen == (200, []))
    del fake.fake.tokens[CONTROLLER]
    await until(controller.readiness, lambda seen: "reconcile-failing" in seen[1])
    await kopf_is_refused(fake, controller)
    fake.fake.tokens[CONTROLLER] = CONTROLLER
    await until(controller.readiness, lambda seen: seen == (200, []), seconds=20)


async def test_a_status_that_somebody_spoils_is_put_right_though_nothing_else_changed(fake, run_controller):
    """At rest statuses are not thought about again, unless one of them is another."""
    controller = await run_controller(fake, CONTROLLER_RESYNC_SECONDS="0.5")
    await fake.admin.create_profile("a")
    told = await until(lambda: fake.admin.conditions("a"), lambda seen: "Published" in seen)
    passes = await controller.metric("ocr_controller_passes_total", result="good")
    await until(lambda: controller.metric("ocr_controller_passes_total", result="good"), lambda seen: seen > passes + 2)
    await fake.admin.merge("ocrprofiles", "a", {"status": {"conditions": []}}, "/status")
    assert await until(lambda: fake.admin.conditions("a"), lambda seen: seen == told) == told
