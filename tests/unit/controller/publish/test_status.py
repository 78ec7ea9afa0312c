from dataclasses import replace

import pytest

from controller.publish.config_map import plan_entries
from controller.publish.status import (
    Surroundings,
    conditions_of,
    find_reload_conflicts,
    is_told,
    next_status,
    plan_events,
)
from controller.resource.condition import Condition
from controller.resource.sidecar_pod import Sidecar
from controller.resource.spec import read_resource
from tests.unit.controller.bodies import body

NOW, LATER = "2026-01-01T10:00:00Z", "2026-01-01T11:00:00Z"
OPEN = Condition("IsolationEnforced", "False", "ConnectionAccepted", "open")
SHUT = Condition("IsolationEnforced", "True", "ConnectionRefused", "shut")


def around(*sidecars, now=NOW, conflicts=None, mirrored=None, isolation=None, is_fresh=False):
    return Surroundings("ocr-profiles", sidecars, conflicts or {}, mirrored or {}, isolation, is_fresh, now)


def told(resource, surroundings, last_good=None):
    entries = plan_entries([resource], last_good or {}).entries
    return next_status(resource, entries[resource.name], surroundings)


def revision():
    return read_resource(body()).payload.revision


def sidecar(number=1, loaded=None, **more):
    return Sidecar(f"sidecar-{number}", f"uid-{number}", "10.0.0.1", is_ready=True, stamped=None, loaded=loaded, **more)


def brief(status, *kinds):
    found = conditions_of(status)
    return [(found[kind]["status"], found[kind]["reason"]) for kind in kinds]


LOADED = {"ocr-extract": revision()}
OLD = {"ocr-extract": "000000000000"}


@pytest.mark.parametrize(
    ("spec", "sidecars", "applied", "ready", "summary"),
    [
        ({}, [], ("False", "NoSidecars"), ("False", "NoSidecars"), "0/0"),
        ({}, [sidecar(1, LOADED)], ("True", "AllSidecars"), ("True", "AllSidecars"), "1/1"),
        ({}, [sidecar(1, LOADED), sidecar(2, OLD)], ("False", "Waiting"), ("False", "Waiting"), "1/2"),
        ({}, [sidecar(1, LOADED), sidecar(2, None)], ("False", "Unreachable"), ("False", "Unreachable"), "1/2"),
        ({}, [sidecar(1, {}, refused={"ocr-extract": "no"})], ("False", "Refused"), ("False", "Refused"), "0/1"),
        ({"isActive": False}, [sidecar(1, {})], ("True", "Withdrawn"), ("True", "Withdrawn"), "1/1"),
        ({"isActive": False}, [sidecar(1, LOADED)], ("False", "Waiting"), ("False", "Waiting"), "0/1"),
        ({"isActive": False}, [], ("True", "Withdrawn"), ("True", "Withdrawn"), "0/0"),
        ({"canonicalModel": "np-dms-ai"}, [], ("True", "Withdrawn"), ("True", "Withdrawn"), "0/0"),
        ({"temperature": 9}, [sidecar(1, {})], ("True", "Withdrawn"), ("False", "Invalid"), "1/1"),
    ],
)
def test_what_the_sidecars_do_is_counted(spec, sidecars, applied, ready, summary):
    status = told(read_resource(body(spec=spec)), around(*sidecars))
    assert brief(status, "Applied", "Ready") == [applied, ready]
    assert status["sidecars"]["summary"] == summary


def test_a_pod_that_is_not_ready_does_not_count():
    waiting = replace(sidecar(2, None), is_ready=False)
    status = told(read_resource(body()), around(sidecar(1, LOADED), waiting))
    assert status["sidecars"] == {"ready": 1, "applied": 1, "summary": "1/1"}


def test_an_invalid_spec_names_its_field_and_what_is_served():
    good = plan_entries([read_resource(body())], {}).data["ocr-extract.json"]
    resource = read_resource(body(spec={"temperature": 9}, generation=2))
    status = told(resource, around(sidecar(1, LOADED)), last_good={"ocr-extract": good})
    assert brief(status, "Accepted", "Published", "Applied", "Ready") == [
        ("False", "Invalid"),
        ("True", "LastGoodPublished"),
        ("True", "AllSidecars"),
        ("False", "Invalid"),
    ]
    assert conditions_of(status)["Accepted"]["message"].startswith("spec.temperature:")
    assert (status["revision"], status["observedGeneration"]) == (revision(), 2)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Read it.", ("True", "Clean")),
        ("{} {x} {{}} { {x} }", ("True", "Clean")),
        ("Read {{document_number}} and {{ date }}", ("False", "Placeholders")),
    ],
)
def test_a_prompt_with_placeholders_is_not_clean(prompt, expected):
    status = told(read_resource(body(spec={"prompt": {"systemPrompt": prompt}})), around())
    assert brief(status, "PromptClean") == [expected]


def test_placeholders_are_named():
    spec = {"prompt": {"systemPrompt": "{{b}} {{a}} {{b}}"}}
    message = conditions_of(told(read_resource(body(spec=spec)), around()))["PromptClean"]["message"]
    assert message == "the prompt still holds {{a}}, {{b}}"


# ── reload conflicts ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("second", "names"),
    [
        ({"numCtx": 8192}, set()),
        ({"numCtx": 4096}, {"a", "b"}),
        ({"numCtx": None}, set()),
        ({"numCtx": 4096, "model": "default"}, {"a", "b"}),
        ({"numCtx": 4096, "model": "other"}, set()),
        ({"numCtx": 4096, "isActive": False}, set()),
        ({"numCtx": 4096, "canonicalModel": "np-dms-ai"}, set()),
    ],
)
def test_two_active_profiles_with_different_contexts_of_one_model_are_a_conflict(second, names):
    resources = [read_resource(body("a")), read_resource(body("b", second))]
    conflicts = find_reload_conflicts(resources, plan_entries(resources, {}).entries, "default")
    assert set(conflicts) == names
    for message in conflicts.values():
        assert message == "active profiles want 2 values of numCtx for default: 4096 (b), 8192 (a)"


# ── times, and what is told ───────────────────────────────────────────────────────────────────────────────────────


def test_a_condition_keeps_its_time_while_it_says_the_same():
    first = told(read_resource(body()), around())
    resource = read_resource(body(status=first))
    second = told(resource, around(sidecar(1, LOADED), now=LATER))
    times = {kind: one["lastTransitionTime"] for kind, one in conditions_of(second).items()}
    assert {kind for kind, time in times.items() if time == LATER} == {"Applied", "Ready"}


def test_the_same_again_is_told_already_whatever_others_added():
    first = told(read_resource(body()), around())
    theirs = {"type": "Theirs", "status": "True", "reason": "R", "message": "", "lastTransitionTime": NOW}
    live = first | {"note": 1, "conditions": [*first["conditions"], theirs]}
    again = told(read_resource(body(status=live)), around(now=LATER))
    assert is_told(live, again)
    assert not is_told({}, again)


def test_a_revision_that_is_served_no_more_is_not_told_already():
    served = told(read_resource(body()), around())
    withdrawn = read_resource(body(spec={"isActive": False}, status=served))
    status = told(withdrawn, around(now=LATER))
    assert "revision" not in status
    assert not is_told(status | {"revision": served["revision"]}, status)


# ── isolation: told once, so that two replicas do not correct each other ──────────────────────────────────────────


@pytest.mark.parametrize(
    ("known", "isolation", "is_fresh", "expected"),
    [
        (None, None, False, ("Unknown", "NotProvedYet")),
        (None, SHUT, False, ("True", "ConnectionRefused")),
        (SHUT, OPEN, True, ("False", "ConnectionAccepted")),
        (SHUT, OPEN, False, ("True", "ConnectionRefused")),
        (OPEN, None, False, ("False", "ConnectionAccepted")),
    ],
    ids=["nothing known", "new profile", "fresh proof", "old proof", "after a restart"],
)
def test_only_a_fresh_proof_changes_what_is_told(known, isolation, is_fresh, expected):
    status = told(read_resource(body()), around(isolation=known, is_fresh=True)) if known else {}
    resource = read_resource(body(status=status))
    assert brief(told(resource, around(isolation=isolation, is_fresh=is_fresh)), "IsolationEnforced") == [expected]


# ── events ────────────────────────────────────────────────────────────────────────────────────────────────────────


def events(before, spec, *sidecars, **more):
    resource = read_resource(body(spec=spec, status=before, generation=2))
    return [(event.type, event.reason) for event in plan_events(resource, told(resource, around(*sidecars, **more)))]


def test_events_tell_changes_and_nothing_twice():
    first = told(read_resource(body()), around())
    assert events({}, {}) == [("Normal", "Published")]
    assert events(first, {}) == []
    assert events(first, {"temperature": 0.2}) == [("Normal", "Published")]
    assert events(first, {}, sidecar(1, LOADED)) == [("Normal", "AllSidecars")]
    assert events(first, {"isActive": False}) == [("Normal", "Inactive")]
    assert events(first, {"temperature": 9}) == [("Warning", "Invalid"), ("Warning", "Invalid")]
    assert events(first, {"prompt": {"systemPrompt": "{{x}}"}})[1:] == [("Warning", "Placeholders")]
    assert events(first, {}, conflicts={"ocr-extract": "!"}) == [("Warning", "NumCtxDiffers")]


def test_a_problem_that_is_over_is_told():
    broken = told(read_resource(body(spec={"temperature": 9})), around())
    assert events(broken, {}) == [("Normal", "Valid"), ("Normal", "Published")]


def test_the_same_change_is_the_same_event_whoever_tells_it_and_when():
    resource = read_resource(body())
    first = plan_events(resource, told(resource, around()))
    second = plan_events(resource, told(resource, around(now=LATER)))
    assert [event.name for event in first] == [event.name for event in second]
    other = read_resource(body(generation=2))
    assert first[0].name != plan_events(other, told(other, around()))[0].name


def test_event_names_are_valid_for_the_longest_profile_name():
    resource = read_resource(body("a" * 199 + "." + "b" * 40))
    name = plan_events(resource, told(resource, around()))[0].name
    assert len(name) <= 253
    assert ".." not in name


def test_only_a_mirrored_profile_tells_of_its_row():
    assert "Mirrored" not in conditions_of(told(read_resource(body()), around()))


@pytest.mark.parametrize(
    ("warnings", "expected", "message"),
    [
        ((), ("True", "AsTheRow"), "the resource is what its row says"),
        (
            (("TwoActivePrompts", "versions 2 and 3 are active; 3 is used"),),
            ("False", "TwoActivePrompts"),
            "versions 2 and 3 are active; 3 is used",
        ),
        ((("RowInvalid", "a"), ("PromptInvalid", "b")), ("False", "RowInvalid"), "a; b"),
    ],
)
def test_a_mirrored_profile_tells_what_is_amiss_with_its_row(warnings, expected, message):
    status = told(read_resource(body()), around(mirrored={"ocr-extract": warnings}))
    assert brief(status, "Mirrored") == [expected]
    assert conditions_of(status)["Mirrored"]["message"] == message
