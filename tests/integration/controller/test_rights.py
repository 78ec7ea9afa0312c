"""What the controller asks of the API server: all that its Role has, and nothing else."""

import sqlite3

from tests.integration.controller.cluster_under_test import until

TABLES = """
CREATE TABLE ai_execution_profiles (
  id INTEGER PRIMARY KEY, profile_name VARCHAR(50) UNIQUE, canonical_model VARCHAR(20), temperature DECIMAL(4,3),
  top_p DECIMAL(4,3), max_tokens INT, num_ctx INT, repeat_penalty DECIMAL(5,3), keep_alive_seconds INT,
  is_active TINYINT(1) DEFAULT 1, updated_by INT, updated_at TIMESTAMP, created_at TIMESTAMP);
CREATE TABLE ai_prompts (
  id INTEGER PRIMARY KEY, public_id TEXT, prompt_type VARCHAR(50), version_number INT, template TEXT,
  field_schema TEXT, is_active TINYINT(1), test_result_json TEXT, manual_note TEXT, last_tested_at TIMESTAMP,
  activated_at TIMESTAMP, created_by INT, created_at TIMESTAMP, context_config TEXT, version INT);
INSERT INTO ai_execution_profiles (profile_name, canonical_model, temperature, top_p, num_ctx, repeat_penalty,
  keep_alive_seconds)
VALUES ('ocr-extract', 'np-dms-ocr', 0.1, 0.5, 8192, 1.0, 0), ('second', 'np-dms-ocr', 0, 1, 8192, 1, 0);
"""


async def live_through_everything(kube, run_controller, sidecars, **environ):
    """Let the controller do all that it ever does."""
    database = kube.folder / "profiles.db"
    with sqlite3.connect(database) as connection:
        connection.executescript(TABLES)
    connection.close()
    await sidecars.start("127.0.0.1")
    await kube.admin.create_pod("sidecar-1", "127.0.0.1")
    mirror = {"DATABASE_URL": f"sqlite+aiosqlite:///{database}", "MIRROR_INTERVAL_SECONDS": "0.1"}
    controller = await run_controller(kube, **mirror, MIRROR_DELETE_AFTER_SECONDS="0", **environ)
    await until(kube.admin.payloads, lambda seen: set(seen) == {"ocr-extract", "second"}, seconds=10)
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM ai_execution_profiles WHERE profile_name = 'second'")
    connection.close()
    await until(lambda: kube.admin.get("ocrprofiles", "second"), lambda seen: seen is None, seconds=10)
    await kube.admin.merge("configmaps", "ocr-profiles", {"immutable": True})
    await until(
        lambda: kube.admin.get("configmaps", "ocr-profiles"),
        lambda seen: seen and not seen.get("immutable"),
        seconds=10,
    )
    await until(lambda: kube.admin.conditions("ocr-extract"), lambda seen: "Applied" in seen)
    await until(lambda: kube.admin.stamp("sidecar-1"))
    await until(kube.admin.events)
    await until(controller.readiness, lambda seen: seen == (200, []))


async def test_the_role_is_enough_for_everything(kube, run_controller, sidecars):
    await live_through_everything(kube, run_controller, sidecars)


async def test_every_verb_of_the_role_is_used_and_no_other_asked_for(fake, run_controller, sidecars):
    await live_through_everything(fake, run_controller, sidecars)
    unused = {
        (*rule["resources"], verb) for rule in fake.fake.rules for verb in set(rule["verbs"]) - rule.get("used", set())
    }
    assert unused == set()
    assert fake.fake.refused == []
    pods = [call for call in fake.fake.calls if call.resource == "pods"]
    assert {(call.verb, call.selector) for call in pods if not call.is_write} == {
        ("list", "app.kubernetes.io/name=ocr-sidecar"),
        ("watch", "app.kubernetes.io/name=ocr-sidecar"),
    }


async def test_without_a_right_it_says_so_and_goes_on_when_it_has_it(fake, run_controller):
    rules, fake.fake.rules = fake.fake.rules, [rule for rule in fake.fake.rules if "pods" not in rule["resources"]]
    controller = await run_controller(fake)
    await fake.admin.create_profile("a")
    await until(fake.admin.payloads)  # what it may do, it does
    await until(controller.readiness, lambda seen: seen == (503, ["reconcile-failing"]))
    fake.fake.rules = rules
    await until(controller.readiness, lambda seen: seen == (200, []), seconds=8)


async def test_cluster_wide_every_namespace_with_profiles_is_served(fake, run_controller):
    first = fake.admin.namespace
    foreign = {"metadata": {"name": "ocr-profiles"}, "data": {"theirs": "x"}}
    await fake.admin.create_profile("a")
    await run_controller(fake, WATCH_NAMESPACE="*")
    await until(fake.admin.payloads, lambda seen: set(seen) == {"a"})
    second = await fake.admin.use_new_namespace()
    await fake.admin.ask("POST", fake.admin.path("configmaps"), foreign)
    third = await fake.admin.use_new_namespace()
    await fake.admin.create_profile("b")
    await until(fake.admin.payloads, lambda seen: set(seen) == {"b"})
    fake.admin.namespace = second
    assert (await fake.admin.get("configmaps", "ocr-profiles"))["data"] == foreign["data"], "it is not ours"
    fake.admin.namespace = third
    await fake.admin.delete("ocrprofiles", "b")
    await until(fake.admin.payloads, lambda seen: seen == {})
    fake.admin.namespace = first
    assert set(await fake.admin.payloads()) == {"a"}
