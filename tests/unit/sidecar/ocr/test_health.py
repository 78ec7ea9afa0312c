"""Liveness and readiness: the facts, and what follows from them."""

from dataclasses import replace

import pytest

from sidecar.ocr.health import Facts, death, missing, ocr_capability
from sidecar.runtime.capability import Capability

READY = Capability("ready")
LOADING = Capability("loading", "loading-a")
BROKEN = Capability("unavailable", "broken-a")
OTHER = Capability("unavailable", "broken-b")
WELL = Facts(
    stopping=False, workers_alive=True, engines={"a": READY, "b": READY}, default_engine="a", fallback_engine="b"
)
ALONE = {"fallback_engine": None}
ITS_OWN = {"fallback_engine": "a"}


def engines(a: Capability, b: Capability = READY) -> dict:
    return {"engines": {"a": a, "b": b}}


def test_a_service_with_nothing_wrong_is_ready_and_alive():
    assert ocr_capability(WELL) == Capability("ready")
    assert ocr_capability(WELL).ready
    assert death(WELL) is None


@pytest.mark.parametrize(
    ("changed", "state", "reason"),
    [
        ({"stopping": True}, "unavailable", "shutting-down"),
        ({"workers_alive": False}, "unavailable", "workers-stopped"),
        (engines(LOADING) | ALONE, "loading", "loading-a"),
        (engines(LOADING) | ITS_OWN, "loading", "loading-a"),
        (engines(BROKEN) | ALONE, "unavailable", "broken-a"),
        (engines(BROKEN, OTHER), "unavailable", "broken-b"),
        (engines(BROKEN, LOADING), "loading", "loading-a"),
        (engines(missing("a")) | ALONE, "unavailable", "engine-missing: a"),
        ({"stopping": True, "workers_alive": False} | engines(BROKEN, OTHER), "unavailable", "shutting-down"),
        ({"workers_alive": False} | engines(BROKEN, OTHER), "unavailable", "workers-stopped"),
    ],
    ids=str,
)
def test_what_is_wrong_first_of_all_is_the_reason(changed, state, reason):
    capability = ocr_capability(replace(WELL, **changed))
    assert (capability.state, capability.reason, capability.ready) == (state, reason, False)


@pytest.mark.parametrize(
    ("stopping", "workers_alive", "alive"),
    [(False, True, True), (True, True, True), (True, False, True), (False, False, False)],
)
def test_a_process_is_dead_when_its_workers_are_and_it_does_not_stop_on_purpose(stopping, workers_alive, alive):
    assert (death(replace(WELL, stopping=stopping, workers_alive=workers_alive)) is None) is alive


@pytest.mark.parametrize("changed", [engines(LOADING, OTHER), engines(BROKEN, OTHER)])
def test_what_a_restart_would_not_mend_leaves_the_process_alive(changed):
    assert death(replace(WELL, **changed)) is None


@pytest.mark.parametrize(
    ("still_s", "reason", "cause_of_death"),
    [(4, None, None), (6, "event-loop-stalled", None), (31, "event-loop-stalled", "event-loop-stalled")],
)
def test_an_event_loop_that_stands_still_takes_nothing_and_is_given_longer_to_live(still_s, reason, cause_of_death):
    facts = replace(WELL, still_s=still_s, stall_s=30)
    assert (ocr_capability(facts).reason, death(facts)) == (reason, cause_of_death)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (engines(READY, OTHER), None),
        (engines(READY, OTHER) | ALONE, None),
        (engines(missing("a")), "engine-missing: a"),
        (engines(BROKEN), "broken-a"),
        (engines(LOADING), "loading-a"),
    ],
)
def test_it_is_ready_by_either_engine_and_says_which_is_not(changed, reason):
    assert ocr_capability(replace(WELL, **changed)) == Capability("ready", reason)
