"""Liveness and readiness: the facts, and what follows from them."""

from dataclasses import replace

import pytest

from sidecar.ocr.health import Facts, death, ocr_capability
from sidecar.runtime.capability import Capability

WELL = Facts(
    stopping=False,
    workers_alive=True,
    tesseract_loaded=True,
    tesseract_failure=None,
    default_language_missing=None,
)
LOADING = {"tesseract_loaded": False}
MODEL = {"model_configured": True}
FALLS_BACK = {"default_engine": "np-dms-ocr"}
MODEL_ALONE = FALLS_BACK | {"fallback_engine": None}


def test_a_service_with_nothing_wrong_is_ready_and_alive():
    assert ocr_capability(WELL) == Capability("ready")
    assert ocr_capability(WELL).ready
    assert death(WELL) is None


@pytest.mark.parametrize(
    ("changed", "state", "reason"),
    [
        ({"stopping": True}, "unavailable", "shutting-down"),
        ({"workers_alive": False}, "unavailable", "workers-stopped"),
        (LOADING, "loading", "workers-starting"),
        (LOADING | {"default_language_missing": "tha"}, "loading", "workers-starting"),
        (LOADING | {"tesseract_failure": "tesseract-data-missing"}, "unavailable", "tesseract-data-missing"),
        ({"tesseract_failure": "workers-do-not-start"}, "unavailable", "workers-do-not-start"),
        ({"default_language_missing": "tha"}, "unavailable", "language-missing: tha"),
        (MODEL_ALONE, "unavailable", "engine-missing: np-dms-ocr"),
        (LOADING | MODEL_ALONE, "unavailable", "engine-missing: np-dms-ocr"),
        (MODEL_ALONE | MODEL | {"model_failure": "model-server-starting"}, "loading", "model-server-starting"),
        (MODEL_ALONE | MODEL | {"model_failure": "model-missing: m"}, "unavailable", "model-missing: m"),
        (MODEL_ALONE | MODEL | {"circuit_open": True}, "unavailable", "circuit-open"),
        (MODEL_ALONE | MODEL | {"circuit_open": True, "model_failure": "x"}, "unavailable", "circuit-open"),
        (FALLS_BACK | MODEL | LOADING | {"model_failure": "x"}, "loading", "workers-starting"),
        (
            FALLS_BACK | MODEL | {"circuit_open": True, "default_language_missing": "tha"},
            "unavailable",
            "language-missing: tha",
        ),
        ({"stopping": True, "workers_alive": False} | LOADING, "unavailable", "shutting-down"),
        ({"workers_alive": False, "tesseract_failure": "x"}, "unavailable", "workers-stopped"),
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


@pytest.mark.parametrize(
    "changed", [LOADING, {"tesseract_failure": "x"}, {"default_language_missing": "x"}, {"model_failure": "x"}]
)
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
        (FALLS_BACK | MODEL, None),
        (MODEL_ALONE | MODEL, None),
        (MODEL_ALONE | MODEL | {"tesseract_failure": "tesseract-data-missing"}, None),
        (FALLS_BACK | MODEL | {"tesseract_failure": "tesseract-data-missing"}, None),
        (FALLS_BACK, "engine-missing: np-dms-ocr"),
        (FALLS_BACK | MODEL | {"model_failure": "model-server-unreachable"}, "model-server-unreachable"),
        (FALLS_BACK | MODEL | {"circuit_open": True}, "circuit-open"),
    ],
)
def test_it_is_ready_by_either_engine_and_says_which_is_not(changed, reason):
    assert ocr_capability(replace(WELL, **changed)) == Capability("ready", reason)
