"""From the ConfigMap to the sidecars and back: the pods' annotation, what they have loaded, the proof of isolation."""

import asyncio

import pytest

from tests.integration.controller.cluster_under_test import until


async def sidecars_of(kube, name):
    status = ((await kube.admin.get("ocrprofiles", name)) or {}).get("status") or {}
    return status.get("sidecars", {}).get("summary")


async def config_hash(kube):
    found = await kube.admin.get("configmaps", "ocr-profiles")
    return (found or {}).get("metadata", {}).get("annotations", {}).get("ocr.np-dms.work/profiles-hash")


async def test_the_status_counts_the_sidecars_that_have_the_revision(kube, sidecars, run_controller):
    one, two = await sidecars.start("127.0.0.1"), await sidecars.start("127.0.0.2")
    await kube.admin.create_pod("sidecar-1", "127.0.0.1")
    await kube.admin.create_pod("sidecar-2", "127.0.0.2")
    await kube.admin.create_pod("sidecar-3", "127.0.0.3", is_ready=False)
    await run_controller(kube)
    await kube.admin.create_profile("a")
    payload = (await until(kube.admin.payloads))["a"]
    await until(lambda: sidecars_of(kube, "a"), lambda seen: seen == "0/2")
    one.load(payload)
    await until(lambda: sidecars_of(kube, "a"), lambda seen: seen == "1/2")
    assert (await kube.admin.conditions("a"))["Ready"] == ("False", "Waiting")
    two.load(payload)
    await until(lambda: kube.admin.conditions("a"), lambda seen: seen["Ready"] == ("True", "AllSidecars"))
    assert await sidecars_of(kube, "a") == "2/2"
    assert await kube.admin.events() == [("a", "Normal", "AllSidecars"), ("a", "Normal", "Published")]


async def test_a_withdrawn_profile_is_ready_when_no_sidecar_has_it_any_more(kube, sidecars, run_controller):
    one = await sidecars.start("127.0.0.1")
    await kube.admin.create_pod("sidecar-1", "127.0.0.1")
    await run_controller(kube)
    await kube.admin.create_profile("a")
    one.load((await until(kube.admin.payloads))["a"])
    await until(lambda: kube.admin.conditions("a"), lambda seen: seen.get("Ready") == ("True", "AllSidecars"))
    await kube.admin.patch_profile("a", {"isActive": False})
    await until(lambda: kube.admin.conditions("a"), lambda seen: seen["Ready"] == ("False", "Waiting"))
    one.load()
    await until(lambda: kube.admin.conditions("a"), lambda seen: seen["Ready"] == ("True", "Withdrawn"))


@pytest.mark.parametrize("answer", [{"profiles": 7}, {}, [], {"profiles": [{"name": "a"}]}, "x" * 100_000])
async def test_a_sidecar_that_answers_nonsense_is_unreachable_and_no_more(kube, sidecars, run_controller, answer):
    one = await sidecars.start("127.0.0.1")
    one.answer = answer
    await kube.admin.create_pod("sidecar-1", "127.0.0.1")
    await run_controller(kube)
    await kube.admin.create_profile("a")
    await until(lambda: kube.admin.conditions("a"), lambda seen: seen.get("Applied") == ("False", "Unreachable"))
    assert "sidecar-1" in await kube.admin.message("a", "Applied")


async def test_a_sidecar_where_nobody_answers_is_named_and_holds_up_nothing(kube, run_controller):
    await kube.admin.create_pod("sidecar-1", "127.0.0.9")
    controller = await run_controller(kube)
    await kube.admin.create_profile("a")
    await until(lambda: kube.admin.conditions("a"), lambda seen: seen["Applied"] == ("False", "Unreachable"))
    assert "sidecar-1" in await kube.admin.message("a", "Applied")
    assert await controller.metric("ocr_controller_passes_total", result="failed") == 0


async def test_a_sidecar_that_refuses_a_profile_is_named_with_its_reason(kube, sidecars, run_controller):
    one = await sidecars.start("127.0.0.1")
    one.answer["refused"] = [{"name": "a", "reason": "numCtx: too large"}]
    await kube.admin.create_pod("sidecar-1", "127.0.0.1")
    await run_controller(kube)
    await kube.admin.create_profile("a")
    await until(lambda: kube.admin.conditions("a"), lambda seen: seen.get("Applied") == ("False", "Refused"))
    assert await kube.admin.message("a", "Applied") == "sidecar-1 refuses it: numCtx: too large"


async def test_only_sidecar_pods_are_annotated_and_only_when_the_hash_changes(kube, sidecars, run_controller):
    await sidecars.start("127.0.0.1")
    await kube.admin.create_pod("sidecar-1", "127.0.0.1")
    await kube.admin.create_pod("other", "127.0.0.9", app="backend")
    await run_controller(kube, CONTROLLER_RESYNC_SECONDS="0.2")
    await kube.admin.create_profile("a")
    await until(kube.admin.payloads)
    await until(lambda: kube.admin.stamp("sidecar-1"))
    wanted = await until(lambda: config_hash(kube))
    await until(lambda: kube.admin.stamp("sidecar-1"), lambda seen: seen == wanted)
    pod = await kube.admin.get("pods", "sidecar-1")
    await kube.admin.merge("ocrprofiles", "a", {"metadata": {"labels": {"x": "y"}}})
    await kube.admin.create_profile("off", {"isActive": False})
    await until(lambda: kube.admin.conditions("off"))
    assert (await kube.admin.get("pods", "sidecar-1"))["metadata"]["resourceVersion"] == pod["metadata"][
        "resourceVersion"
    ]
    await kube.admin.patch_profile("a", {"temperature": 0.9})
    await until(lambda: kube.admin.stamp("sidecar-1"), lambda seen: seen != wanted)
    assert await kube.admin.stamp("other") is None


async def test_a_new_sidecar_is_annotated_and_counted(kube, sidecars, run_controller):
    one = await sidecars.start("127.0.0.1")
    await run_controller(kube)
    await kube.admin.create_profile("a")
    one.load((await until(kube.admin.payloads))["a"])
    await until(lambda: sidecars_of(kube, "a"), lambda seen: seen == "0/0")
    await kube.admin.create_pod("sidecar-1", "127.0.0.1")
    await until(lambda: sidecars_of(kube, "a"), lambda seen: seen == "1/1")
    assert await kube.admin.stamp("sidecar-1") == await config_hash(kube)
    await kube.admin.delete("pods", "sidecar-1")
    await until(lambda: sidecars_of(kube, "a"), lambda seen: seen == "0/0")


async def status_writes(controller):
    return await controller.metric("ocr_controller_api_calls_total", verb="patch", kind="ocrprofiles/status")


async def test_a_rollout_is_told_now_and_then_and_an_edit_during_it_at_once(fake, sidecars, run_controller):
    profiles, pods = [f"p{number}" for number in range(10)], range(2, 12)
    controller = await run_controller(fake, CONTROLLER_RESYNC_SECONDS="2")
    for name in profiles:
        await fake.admin.create_profile(name)
    payloads = await until(fake.admin.payloads, lambda seen: len(seen) == 10)
    for number in (1, *pods):
        (await sidecars.start(f"127.0.0.{number}")).load(*payloads.values())
    await fake.admin.create_pod("sidecar-1", "127.0.0.1")
    for name in profiles:
        await until(lambda name=name: sidecars_of(fake, name), lambda seen: seen == "1/1")
    before = await status_writes(controller)
    for number in pods:
        await fake.admin.create_pod(f"sidecar-{number}", f"127.0.0.{number}")
        await until(lambda number=number: fake.admin.stamp(f"sidecar-{number}"))
    assert await status_writes(controller) - before <= 2 * len(profiles), "ten pods came, which would be 100 writes"
    await fake.admin.patch_profile("p0", {"temperature": 0.9})
    await until(lambda: fake.admin.conditions("p0"), lambda seen: seen["Ready"] == ("False", "Waiting"))
    for name in profiles[1:]:
        await until(lambda name=name: sidecars_of(fake, name), lambda seen: seen == "11/11")
    assert await status_writes(controller) - before <= 5 * len(profiles)


# ── the proof of isolation ────────────────────────────────────────────────────────────────────────────────────────


async def isolation(kube):
    return (await kube.admin.conditions("a")).get("IsolationEnforced")


async def test_a_door_that_is_shut_is_proved_and_one_that_opens_is_found(kube, sidecars, run_controller):
    await sidecars.start("127.0.0.1")
    await kube.admin.create_pod("sidecar-1", "127.0.0.1")
    await kube.admin.create_profile("a")
    controller = await run_controller(kube, OCR_AUTH_MODE="network", CONTROLLER_ISOLATION_SECONDS="0.3")
    await until(lambda: isolation(kube), lambda seen: seen == ("True", "ConnectionRefused"))
    assert await controller.metric("ocr_controller_isolation_enforced") == 1
    spoken = []

    async def open_door(reader, writer):
        spoken.append((await reader.readline()).decode().strip())
        writer.write(b"HTTP/1.1 200 OK\r\nServer: ocr-sidecar\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    told = ("sidecar-1", "Warning", "IsolationNotEnforced")
    for times in (1, 2):  # what happens again is told again
        server = await asyncio.start_server(open_door, "127.0.0.1", sidecars.api_port)
        try:
            await until(lambda: isolation(kube), lambda seen: seen == ("False", "ConnectionAccepted"))
            assert await controller.metric("ocr_controller_isolation_enforced") == 0
            await until(kube.admin.events, lambda seen, times=times: seen.count(told) == times)
            assert "sidecar-1" in await kube.admin.message("a", "IsolationEnforced")
        finally:
            server.close()
        await until(lambda: isolation(kube), lambda seen: seen == ("True", "ConnectionRefused"))
    assert set(spoken) == {"GET /health HTTP/1.1"}, "the proof asks for what anybody may have, and no more"


async def test_a_new_sidecar_is_proved_at_once_and_a_new_profile_told(kube, sidecars, run_controller):
    await kube.admin.create_profile("a")
    await run_controller(kube, OCR_AUTH_MODE="network")
    await until(lambda: isolation(kube), lambda seen: seen == ("Unknown", "NoSidecars"))
    await sidecars.start("127.0.0.1")
    await kube.admin.create_pod("sidecar-1", "127.0.0.1")
    await until(lambda: isolation(kube), lambda seen: seen == ("True", "ConnectionRefused"))
    await kube.admin.create_profile("b")
    await until(
        lambda: kube.admin.conditions("b"), lambda seen: seen.get("IsolationEnforced") == ("True", "ConnectionRefused")
    )


async def test_what_somebody_else_told_of_the_isolation_is_corrected_by_the_next_proof(kube, sidecars, run_controller):
    await sidecars.start("127.0.0.1")
    await kube.admin.create_pod("sidecar-1", "127.0.0.1")
    await kube.admin.create_profile("a")
    quick = {"CONTROLLER_ISOLATION_SECONDS": "0.5", "CONTROLLER_RESYNC_SECONDS": "0.2"}
    await run_controller(kube, OCR_AUTH_MODE="network", **quick)
    await until(lambda: isolation(kube), lambda seen: seen == ("True", "ConnectionRefused"))
    status = (await kube.admin.get("ocrprofiles", "a"))["status"]
    for condition in status["conditions"]:
        if condition["type"] == "IsolationEnforced":
            condition.update(status="False", reason="ConnectionAccepted")
    await kube.admin.merge("ocrprofiles", "a", {"status": status}, "/status")
    await until(lambda: isolation(kube), lambda seen: seen == ("True", "ConnectionRefused"))


async def test_where_nobody_can_be_reached_a_shut_door_proves_nothing(kube, sidecars, run_controller):
    await kube.admin.create_pod("sidecar-1", "127.0.0.9")
    await kube.admin.create_profile("a")
    controller = await run_controller(kube, OCR_AUTH_MODE="network")
    await until(lambda: isolation(kube), lambda seen: seen == ("Unknown", "SidecarsUnreachable"))
    assert await controller.metric("ocr_controller_isolation_enforced") == -1

    await sidecars.start("127.0.0.1")
    await kube.admin.create_pod("sidecar-2", "127.0.0.1")
    await until(lambda: isolation(kube), lambda seen: seen == ("True", "ConnectionRefused"))
    told = await kube.admin.message("a", "IsolationEnforced")
    assert told.endswith(f"which reaches port {sidecars.ops_port} on 1 of 2: sidecar-2")
