"""The rules of residency as a table, and when a call would cost another model its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.gpu.residency_policy import (
    OcrResidencyDecision,
    ResidencyLimits,
    calculate_ocr_residency,
    may_still_be_freed,
    would_evict,
)
from sidecar.gpu.vram import UNREADABLE, ResidentModel, VramHeadroom, full_name, same_model

OCR = "np-dms-ocr:latest"
LLM = "np-dms-ai:latest"
LIMITS = ResidencyLimits(window_s=120, main_model_pressure_mb=12_000, headroom_mb=3000)
LARGE = OcrResidencyDecision(0, -1, "large-context-active")
FAILED = OcrResidencyDecision(0, -1, "query-failed")


def reading(used_mb: int, *models: ResidentModel, available_mb: int | None = None) -> VramHeadroom:
    free_mb = 16_000 - used_mb if available_mb is None else available_mb
    return VramHeadroom(16_000, used_mb, free_mb, query_success=True, models=models)


def pressure(available_mb: int) -> OcrResidencyDecision:
    return OcrResidencyDecision(0, available_mb, "high-pressure")


def room(available_mb: int, keep_alive_s: int = 120) -> OcrResidencyDecision:
    return OcrResidencyDecision(keep_alive_s, available_mb, "headroom-sufficient")


def llm(vram_mb: int = 8000, context_length: int = 8192) -> ResidentModel:
    return ResidentModel(LLM, vram_mb, context_length)


def on_card(total_mb: int, context_length: int) -> VramHeadroom:
    """A larger card, with an LLM that holds 8,000 MiB."""
    models = (llm(context_length=context_length),)
    return VramHeadroom(total_mb, 8000, total_mb - 8000, query_success=True, models=models)


def ocr(vram_mb: int = 5000, context_length: int = 8192) -> ResidentModel:
    return ResidentModel(OCR, vram_mb, context_length)


# ── keep_alive ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("headroom", "active", "decision"),
    [
        pytest.param(reading(0), "deep-analysis", LARGE, id="deep analysis"),
        pytest.param(reading(0), "large-context", LARGE, id="large context"),
        pytest.param(reading(8000, llm(context_length=32_768)), None, LARGE, id="an LLM with a large context"),
        pytest.param(reading(8000, llm(context_length=32_767)), None, room(8000), id="one token less"),
        pytest.param(on_card(24_000, 32_768), None, room(16_000), id="the default of a card of 24 GB"),
        pytest.param(on_card(24_000, 32_769), None, LARGE, id="more than that"),
        pytest.param(on_card(81_920, 262_144), None, room(73_920), id="the default of a card of 80 GB"),
        pytest.param(on_card(81_920, 131_072), None, room(73_920), id="as much as the model can have of it"),
        pytest.param(reading(8000, llm()), "interactive", room(8000), id="another profile"),
        pytest.param(UNREADABLE, "deep-analysis", LARGE, id="the first rule that fits"),
        pytest.param(UNREADABLE, None, FAILED, id="not readable"),
        pytest.param(reading(12_001), None, pressure(3999), id="much used"),
        pytest.param(reading(12_000), None, room(4000), id="as much as may be used"),
        pytest.param(reading(0, available_mb=2999), None, pressure(2999), id="little left"),
        pytest.param(reading(0, available_mb=3000), None, room(3000), id="as much as must be left"),
        pytest.param(reading(15_000, llm(10_000), ocr()), None, room(1000), id="its own residency is no pressure"),
        pytest.param(reading(15_000, llm(12_001), ocr(2999)), None, pressure(1000), id="the others' is"),
        pytest.param(reading(13_001, ocr(1000)), None, pressure(2999), id="not told by Ollama, yet used"),
        pytest.param(reading(5000, ocr(context_length=131_072)), None, room(11_000), id="its own context is no LLM's"),
    ],
)
def test_the_first_rule_that_fits_decides(headroom, active, decision):
    assert calculate_ocr_residency(headroom, OCR, active, LIMITS) == decision


@pytest.mark.parametrize(("cap_s", "keep_alive_s"), [(0, 120), (1, 1), (119, 119), (120, 120), (86_400, 120)])
def test_a_profile_caps_the_window_and_never_widens_it(cap_s, keep_alive_s):
    assert calculate_ocr_residency(reading(0), OCR, None, LIMITS, cap_s) == room(16_000, keep_alive_s)


def test_a_cap_gives_no_residency_under_pressure():
    assert calculate_ocr_residency(reading(13_000), OCR, None, LIMITS, 60) == pressure(3000)


def test_a_name_without_a_tag_is_the_same_model():
    assert calculate_ocr_residency(reading(15_000, ocr()), "np-dms-ocr", None, LIMITS) == room(1000)


models = st.builds(ResidentModel, st.sampled_from([OCR, LLM, "bge"]), st.integers(0, 16_000), st.integers(0, 40_000))
readings = st.builds(
    VramHeadroom,
    st.just(16_000),
    st.integers(0, 16_000),
    st.integers(0, 16_000),
    st.booleans(),
    st.lists(models, max_size=3).map(tuple),
)
profiles = st.sampled_from([None, "interactive", "deep-analysis", "large-context"])


@given(readings, profiles, st.integers(0, 200))
def test_the_model_stays_only_where_there_is_room_and_never_longer_than_the_window(headroom, active, cap_s):
    decision = calculate_ocr_residency(headroom, OCR, active, LIMITS, cap_s)
    assert 0 <= decision.keep_alive_seconds <= 120
    assert (decision.keep_alive_seconds > 0) == (decision.reason == "headroom-sufficient")
    assert (decision.vram_headroom_mb == -1) == (decision.reason in {"query-failed", "large-context-active"})


@given(st.integers(0, 11_000), st.integers(0, 5000))
def test_whether_it_stays_does_not_depend_on_what_it_holds_itself(others_mb, own_mb):
    alone = calculate_ocr_residency(reading(others_mb, llm(others_mb)), OCR, None, LIMITS)
    resident = calculate_ocr_residency(reading(others_mb + own_mb, llm(others_mb), ocr(own_mb)), OCR, None, LIMITS)
    assert (resident.keep_alive_seconds, resident.reason) == (alone.keep_alive_seconds, alone.reason)


# ── would a call push the LLM out? ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("headroom", "calls_running", "pushes"),
    [
        pytest.param(reading(12_001, llm(12_001)), 0, True, id="no room beside the LLM"),
        pytest.param(reading(12_000, llm(12_000)), 0, False, id="exactly enough"),
        pytest.param(reading(15_000), 0, False, id="nobody there to push out"),
        pytest.param(reading(15_000, llm(10_000), ocr()), 0, False, id="resident already"),
        pytest.param(reading(15_000, llm(15_000)), 1, False, id="being loaded for another page"),
        pytest.param(UNREADABLE, 0, False, id="not readable"),
        pytest.param(VramHeadroom(0, 0, 0, False, (llm(),)), 0, False, id="not readable, whoever was there"),
        pytest.param(reading(15_000, ResidentModel("bge", 100)), 0, True, id="any other model counts"),
        pytest.param(reading(15_000, ocr()), 0, False, id="alone"),
    ],
)
def test_a_call_pushes_out_only_when_it_would_be_loaded_where_there_is_no_room(headroom, calls_running, pushes):
    assert would_evict(headroom, OCR, 4000, calls_running) is pushes


@pytest.mark.parametrize(
    ("headroom", "may"),
    [
        pytest.param(reading(13_000, llm(8000)), True, id="nobody is known to hold the rest"),
        pytest.param(reading(13_000, llm(12_000)), True, id="exactly enough"),
        pytest.param(reading(13_000, llm(12_001)), False, id="not enough"),
        pytest.param(reading(13_000, llm(8000), ocr()), False, id="all of it is accounted for"),
    ],
)
def test_what_no_model_holds_may_still_become_free(headroom, may):
    assert may_still_be_freed(headroom, 4000) is may


# ── names ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("a", "a:latest"),
        ("a:q4", "a:q4"),
        ("registry:5000/a", "registry:5000/a:latest"),
        ("registry:5000/a:q4", "registry:5000/a:q4"),
        ("hf.co/x/a", "hf.co/x/a:latest"),
    ],
)
def test_a_name_without_a_tag_means_latest_and_a_port_is_no_tag(name, full):
    assert full_name(name) == full
    assert same_model(name, full)
    assert not same_model(name, "other")


def test_a_reading_tells_what_a_model_holds_and_who_else_is_there():
    headroom = reading(13_000, llm(), ocr())
    assert (headroom.held_by("np-dms-ocr"), headroom.held_by("bge")) == (5000, 0)
    assert (headroom.is_resident("np-dms-ocr"), headroom.is_resident("bge")) == (True, False)
    assert (headroom.others("np-dms-ocr"), headroom.others("bge")) == ((llm(),), (llm(), ocr()))
