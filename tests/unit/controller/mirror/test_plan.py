"""What the mirror does about rows and resources: a table of situations."""

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.mirror.plan import Apply, Delete, Plan, render_plan
from controller.mirror.planner import Clock, MirrorRules, plan_mirror
from controller.mirror.rows import Snapshot
from controller.resource.mirror_state import STATE_ANNOTATION, State, parse_state, render_state, warnings_of
from tests.unit.controller.mirror.row_makers import NOTHING, OTHERS_ONLY, profile, prompt, rows

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
RULES = MirrorRules(namespace="ocr")
OURS = {"app.kubernetes.io/managed-by": "ocr-mirror"}


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def plan(
    snapshot: Snapshot,
    *live: dict[str, Any],
    now: datetime = NOW,
    up_since: datetime | None = None,
    rules: MirrorRules = RULES,
) -> Plan:
    return plan_mirror(snapshot, live, rules, Clock(now, up_since))


def resource(name: str = "ocr-extract", state: State | None = None, **spec: Any) -> dict[str, Any]:
    """A resource as the API server gives it: the seed row's, defaults filled in, but for these fields."""
    given = {
        "canonicalModel": "np-dms-ocr",
        "isActive": True,
        "temperature": 0.1,
        "topP": 0.5,
        "repeatPenalty": 1,
        "numCtx": 8192,
        "keepAliveSeconds": 0,
        "retry": {"maxAttempts": 2, "temperatureStep": 0.1},
        "prompt": {
            "promptType": "ocr_extraction",
            "versionNumber": 2,
            "systemPrompt": "ถอดข้อความ {{text}}",
            "dmsTags": {"documentNumber": True},
        },
    } | spec
    metadata = {
        "name": name,
        "namespace": "ocr",
        "uid": f"uid-{name}",
        "generation": 7,
        "resourceVersion": "41",
        "labels": OURS,
        "annotations": {STATE_ANNOTATION: render_state(state or State())},
    }
    return {"metadata": metadata, "spec": given}


def only(found: Plan) -> Apply | Delete:
    (action,) = found.actions
    return action


def changed(found: Plan) -> dict[str, tuple[object, object]]:
    action = only(found)
    assert isinstance(action, Apply)
    return {change.field: (change.before, change.after) for change in action.changes}


def reasons(found: Plan) -> list[tuple[str, str]]:
    return [(notice.name, notice.reason) for notice in found.notices]


def state_of(found: Plan) -> State:
    action = only(found)
    assert isinstance(action, Apply)
    return parse_state(action.body, NOW)


# ── a row that is there ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_row_is_applied_whole():
    action = only(plan(rows(profile())))
    assert isinstance(action, Apply)
    assert action.verb == "create"
    assert action.body == {
        "apiVersion": "ocr.np-dms.work/v1beta1",
        "kind": "OcrProfile",
        "metadata": {
            "name": "ocr-extract",
            "namespace": "ocr",
            "labels": OURS,
            "annotations": {"ocr.np-dms.work/mirror": "{}"},
        },
        "spec": {
            "canonicalModel": "np-dms-ocr",
            "isActive": True,
            "temperature": 0.1,
            "topP": 0.5,
            "repeatPenalty": 1,
            "numCtx": 8192,
            "keepAliveSeconds": 0,
            "prompt": {
                "promptType": "ocr_extraction",
                "versionNumber": 2,
                "systemPrompt": "ถอดข้อความ {{text}}",
                "dmsTags": {"documentNumber": True},
            },
        },
    }


@pytest.mark.parametrize("spec", [{}, {"maxTokens": None}, {"model": "other:latest"}, {"retry": {"maxAttempts": 1}}])
def test_nothing_is_done_when_the_mirrored_fields_say_it_already(spec):
    assert plan(rows(profile()), resource(**spec)) == Plan()


@pytest.mark.parametrize(
    ("columns", "spec", "change"),
    [
        ({"temperature": 0}, {}, {"temperature": (0.1, 0)}),
        ({}, {"temperature": 0.7}, {"temperature": (0.7, 0.1)}),
        ({}, {"maxTokens": 100}, {"maxTokens": (100, None)}),
        ({"max_tokens": 100}, {"maxTokens": None}, {"maxTokens": (None, 100)}),
        ({"is_active": 0}, {}, {"isActive": (True, False)}),
        ({}, {"prompt": "junk"}, None),
        ({}, {"prompt": None}, None),
    ],
)
def test_any_difference_is_applied_and_the_database_wins(columns, spec, change):
    found = plan(rows(profile(**columns)), resource(**spec))
    assert isinstance(only(found), Apply)
    assert change is None or changed(found) == change


def test_a_field_that_has_to_lose_its_value_is_sent_as_null_and_the_version_is_a_precondition():
    action = only(plan(rows(profile()), resource(maxTokens=100)))
    assert isinstance(action, Apply)
    assert action.body["spec"]["maxTokens"] is None
    assert action.body["metadata"]["resourceVersion"] == "41"


def test_tags_of_a_hand_edit_go_away_with_the_prompt_as_a_whole():
    edited = resource()
    edited["spec"]["prompt"]["dmsTags"]["mine"] = True
    found = plan(rows(profile()), edited)
    both = {"documentNumber": True, "mine": True}
    assert changed(found) == {"prompt.dmsTags": (both, {"documentNumber": True})}


def test_no_tags_and_the_default_tags_are_two_things():
    none = rows(profile(), prompts=(prompt(context_config='{"dmsTags": []}'),))
    default = rows(profile(), prompts=(prompt(context_config=None),))
    assert changed(plan(none, resource())) == {"prompt.dmsTags": ({"documentNumber": True}, {})}
    assert changed(plan(default, resource())) == {"prompt.dmsTags": ({"documentNumber": True}, None)}


def test_a_resource_that_is_being_deleted_is_left_until_it_is_gone():
    going = resource(temperature=1)
    going["metadata"]["deletionTimestamp"] = "2026-11-24T12:00:00Z"
    assert plan(rows(profile()), going) == Plan()


def test_a_mangled_annotation_is_put_right():
    mangled = resource()
    mangled["metadata"]["annotations"][STATE_ANNOTATION] = "{"
    assert changed(plan(rows(profile()), mangled)) == {STATE_ANNOTATION: ("{", "{}")}


# ── somebody else's ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("labels", [None, {}, {"app.kubernetes.io/managed-by": "Helm"}])
@pytest.mark.parametrize("snapshot", [rows(profile()), rows(profile(temperature=9)), OTHERS_ONLY, NOTHING])
def test_a_resource_without_the_label_is_never_touched(labels, snapshot):
    theirs = resource(temperature=1.5)
    theirs["metadata"]["labels"] = labels
    found = plan(snapshot, theirs)
    assert found.actions == ()
    assert reasons(found) == ([("ocr-extract", "NameClash")] if snapshot.profiles else [])


# ── junk ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_junk_row_keeps_the_last_good_resource_and_says_so():
    found = plan(rows(profile(temperature=9)), resource(temperature=0.7))
    assert set(changed(found)) == {STATE_ANNOTATION}
    action = only(found)
    assert isinstance(action, Apply)
    assert action.body["spec"]["temperature"] == 0.7
    (notice,) = found.notices
    assert (notice.reason, notice.uid, notice.generation) == ("RowInvalid", "uid-ocr-extract", 7)
    assert notice.message == "temperature is 9: input should be less than or equal to 2; the last good values stay"
    assert state_of(found).warnings == (f"RowInvalid: {notice.message}",)


def test_what_is_amiss_can_be_read_off_the_resource():
    action = only(plan(rows(profile(), prompts=(prompt(version_number=3), prompt()))))
    assert isinstance(action, Apply)
    ((reason, message),) = warnings_of(action.body)
    assert reason == "TwoActivePrompts"
    assert message.endswith("versions 3 and 2 among them; the higher wins")
    assert warnings_of(resource()) == ()
    theirs = resource(state=State(warnings=("RowInvalid: mine",)))
    theirs["metadata"]["labels"] = {}
    assert warnings_of(theirs) == ()


def test_junk_that_is_known_already_is_not_written_again():
    junk = rows(profile(temperature=9))
    once = plan(junk, resource())
    told = resource(state=state_of(once))
    again = plan(junk, told)
    assert again.actions == ()
    assert again.notices == once.notices


def test_a_junk_row_without_a_resource_makes_none():
    found = plan(rows(profile(temperature=9)))
    assert found.actions == ()
    assert reasons(found) == [("ocr-extract", "RowInvalid")]


def test_a_row_with_an_impossible_name_is_told_about_without_a_resource():
    assert reasons(plan(rows(profile(profile_name="OCR Extract")))) == [("", "RowInvalid")]


def test_a_junk_prompt_keeps_the_last_good_one_while_the_row_still_counts():
    found = plan(rows(profile(temperature=1), prompts=(prompt(version_number=3, template=""),)), resource())
    assert changed(found)["temperature"] == (0.1, 1)
    assert not any(field.startswith("prompt") for field in changed(found))
    assert reasons(found) == [("ocr-extract", "PromptInvalid")]


def test_two_active_prompts_are_told_on_every_resource():
    found = plan(rows(profile(), prompts=(prompt(version_number=3), prompt())), resource())
    assert changed(found)["prompt.versionNumber"] == (2, 3)
    assert reasons(found) == [("ocr-extract", "TwoActivePrompts")]


WITH_USER_PROMPT = MirrorRules(namespace="ocr", user_prompt_type="ocr_user")


def with_user_prompt(text: str) -> dict[str, Any]:
    """A resource that has this user prompt beside its system prompt."""
    body = resource()
    return resource(prompt=body["spec"]["prompt"] | {"userPrompt": text})


def test_the_user_prompt_comes_from_its_own_type():
    snapshot = rows(profile(), user_prompts=(prompt(version_number=9, template=" ถอด\r\nRAW ", context_config="junk"),))
    found = plan(snapshot, resource(), rules=WITH_USER_PROMPT)
    assert changed(found) == {"prompt.userPrompt": (None, "ถอด\nRAW")}
    assert only(found).body["spec"]["prompt"]["versionNumber"] == 2, "that of the system prompt"
    assert "ถอด" not in render_plan(found)
    assert plan(snapshot, with_user_prompt("ถอด\nRAW"), rules=WITH_USER_PROMPT).actions == ()


def test_without_its_type_a_user_prompt_is_left_as_somebody_set_it():
    assert plan(rows(profile()), with_user_prompt("mine")).actions == ()
    found = plan(rows(profile(temperature=1)), with_user_prompt("mine"))
    assert only(found).body["spec"]["prompt"]["userPrompt"] == "mine", "a prompt is applied as a whole"


def test_no_active_user_prompt_takes_it_away_and_says_so():
    found = plan(rows(profile()), with_user_prompt("old"), rules=WITH_USER_PROMPT)
    assert changed(found)["prompt.userPrompt"] == ("old", None)
    ((_, reason),) = reasons(found)
    assert (reason, found.notices[0].message) == ("NoActivePrompt", "no prompt of type ocr_user is active")


@pytest.mark.parametrize("template", ["", " ", "x" * 10_001, None])
def test_a_junk_user_prompt_keeps_the_last_good_one(template):
    snapshot = rows(profile(), user_prompts=(prompt(template=template),))
    found = plan(snapshot, with_user_prompt("good"), rules=WITH_USER_PROMPT)
    assert reasons(found) == [("ocr-extract", "PromptInvalid")]
    assert "type ocr_user" in found.notices[0].message
    assert only(found).body["spec"]["prompt"]["userPrompt"] == "good"


def test_a_format_stays_as_somebody_set_it():
    live = resource(prompt=resource()["spec"]["prompt"] | {"format": "json"})
    assert plan(rows(profile()), live).actions == ()
    found = plan(rows(profile(), prompts=(prompt(version_number=3),)), live)
    assert only(found).body["spec"]["prompt"]["format"] == "json"


def test_a_user_prompt_alone_is_a_prompt():
    found = plan(rows(profile(), prompts=(), user_prompts=(prompt(template="ถอด"),)), rules=WITH_USER_PROMPT)
    assert only(found).body["spec"]["prompt"] == {"userPrompt": "ถอด"}


def test_no_active_prompt_takes_the_prompt_away():
    found = plan(rows(profile(), prompts=()), resource())
    action = only(found)
    assert isinstance(action, Apply)
    assert action.body["spec"]["prompt"] == {}
    assert reasons(found) == [("ocr-extract", "NoActivePrompt")]


# ── a row that goes away ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_row_that_is_gone_makes_the_resource_inactive_and_dates_it():
    found = plan(OTHERS_ONLY, resource())
    action = only(found)
    assert isinstance(action, Apply)
    assert (action.verb, action.body["spec"]["isActive"]) == ("withdraw", False)
    assert action.body["spec"]["temperature"] == 0.1
    since, due = "2026-11-24T12:00:00Z", "2026-11-24T12:10:00Z"
    warning = f"RowGone: its row is gone since {since}; inactive now, to be deleted at {due}"
    told = json.loads(action.body["metadata"]["annotations"][STATE_ANNOTATION])
    assert told == {"rowGoneSince": since, "warnings": [warning]}


@pytest.mark.parametrize(("seconds", "deleted"), [(0, False), (599.999, False), (600, True), (90_000, True)])
def test_it_is_deleted_when_the_time_is_over_whoever_has_counted(seconds, deleted):
    state = state_of(plan(OTHERS_ONLY, resource(), now=NOW))
    gone = resource(state=state, isActive=False)
    found = plan(OTHERS_ONLY, gone, now=NOW + timedelta(seconds=seconds))
    why = "its row is gone since 2026-11-24T12:00:00Z"
    assert found.actions == ((Delete("ocr-extract", "uid-ocr-extract", why),) if deleted else ())


def test_a_row_that_comes_back_makes_it_active_again():
    found = plan(rows(profile()), resource(state=State(row_gone_since=ago(599)), isActive=False))
    assert changed(found)["isActive"] == (False, True)
    assert state_of(found) == State()


def test_a_resource_that_somebody_makes_active_again_is_withdrawn_again():
    state = state_of(plan(OTHERS_ONLY, resource()))
    assert changed(plan(OTHERS_ONLY, resource(state=state))) == {"isActive": (True, False)}


@pytest.mark.parametrize(
    "since",
    [
        '"2026-11-24T12:00:01Z"',
        '"2026-11-24T00:00:00"',
        '"9999-12-31T23:59:59-23:59"',
        '"0001-01-01T00:00:00+23:59"',
        '"then"',
        "7",
        "null",
    ],
)
def test_a_date_that_cannot_be_is_set_anew(since):
    live = resource()
    live["metadata"]["annotations"][STATE_ANNOTATION] = f'{{"rowGoneSince": {since}}}'
    assert state_of(plan(OTHERS_ONLY, live)).row_gone_since == NOW


# ── an empty table ────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_empty_table_changes_no_spec_and_is_told():
    found = plan(NOTHING, resource(), resource("second"))
    assert [isinstance(action, Apply) for action in found.actions] == [True, True]
    for action in found.actions:
        assert isinstance(action, Apply)
        assert [change.field for change in action.changes] == [STATE_ANNOTATION]
    assert reasons(found) == [("ocr-extract", "TableEmpty"), ("second", "TableEmpty")]


@pytest.mark.parametrize(
    ("empty_for", "up_for", "deleted"),
    [(599, None, False), (600, None, True), (600, 599, False), (90_000, 1, False), (600, 600, True), (600, 9e4, True)],
)
def test_a_table_that_stays_empty_deletes_after_the_time_that_an_outage_begins_anew(empty_for, up_for, deleted):
    live = resource(state=State(row_gone_since=ago(empty_for)))
    found = plan(NOTHING, live, up_since=None if up_for is None else ago(up_for))
    assert [type(action) for action in found.actions] == [Delete if deleted else Apply]


def test_a_table_that_is_filled_again_without_the_row_withdraws_it():
    found = plan(OTHERS_ONLY, resource(state=State(row_gone_since=ago(100))))
    assert changed(found)["isActive"] == (True, False)
    assert state_of(found).row_gone_since == ago(100)


def test_an_empty_table_of_prompts_keeps_the_last_prompt_for_the_same_time():
    empty = Snapshot((profile(temperature=1),), (), has_prompts=False)
    found = plan(empty, resource())
    assert set(changed(found)) == {"temperature", STATE_ANNOTATION}
    assert reasons(found) == [("ocr-extract", "TableEmpty")]
    assert state_of(found).prompts_empty_since == NOW
    late = plan(empty, resource(state=State(prompts_empty_since=ago(600))))
    assert changed(late)["prompt.systemPrompt"][1] is None
    assert reasons(late) == [("ocr-extract", "NoActivePrompt")]


# ── all situations ────────────────────────────────────────────────────────────────────────────────────────────────

LIVES = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.fixed_dictionaries(
        {"temperature": st.sampled_from([0.1, 0.2, 9, None, "x"]), "isActive": st.booleans()},
        optional={"prompt": st.sampled_from([None, {}, {"versionNumber": 1}, []])},
    ),
)
TABLES = st.lists(
    st.builds(
        profile,
        profile_name=st.sampled_from(["a", "b", "c", "D"]),
        temperature=st.sampled_from([0.1, 0.2, 9, None]),
    ),
    max_size=3,
)
PROMPT_SETS = st.sampled_from([(), (prompt(),), (prompt(template=""),), (prompt(version_number=3), prompt())])


@given(live=LIVES, table=TABLES, prompts=PROMPT_SETS, foreign=st.booleans(), empty=st.booleans())
def test_what_is_applied_needs_nothing_more(live, table, prompts, foreign, empty):
    """Whatever the situation: once the plan is done, the same rows give no further action."""
    snapshot = Snapshot(
        tuple(table), prompts, has_profiles=not empty or bool(table), has_prompts=not empty or bool(prompts)
    )
    bodies = {name: resource(name, **spec) for name, spec in live.items()}
    if foreign and "a" in bodies:
        bodies["a"]["metadata"]["labels"] = {}
    first = plan(snapshot, *copy.deepcopy(list(bodies.values())))
    for action in first.actions:
        assert isinstance(action, Apply)
        assert not (foreign and action.name == "a" and "a" in live)
        spec = bodies.get(action.name, {"spec": {}})["spec"] | action.body["spec"]
        bodies[action.name] = {**resource(action.name), **action.body, "spec": spec}
        bodies[action.name]["metadata"]["uid"] = "1"
    assert plan(snapshot, *bodies.values()).actions == ()


# ── what people see ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_dry_run_shows_every_change_and_no_prompt():
    found = plan(
        rows(profile(temperature=0), profile(profile_name="second"), profile(profile_name="Third")),
        resource(),
        resource("gone"),
        resource("long-gone", State(row_gone_since=ago(601)), isActive=False),
    )
    text = render_plan(found)
    assert "gone would be set inactive: isActive true → false, " in text
    assert "long-gone would be deleted: its row is gone since 2026-11-24T11:49:59Z" in text
    assert "ocr-extract would be changed: temperature 0.1 → 0" in text
    assert "second would be created: canonicalModel np-dms-ocr, isActive true, " in text
    assert "prompt.systemPrompt (19 characters)" in text
    assert "warning RowInvalid -: row 5: profile_name is 'Third'" in text
    assert "ถอดข้อความ" not in text


def test_a_dry_run_says_when_nothing_would_change():
    assert render_plan(Plan()) == "nothing would change"
