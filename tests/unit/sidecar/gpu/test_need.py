"""What is learned of the OCR model's need, from readings that are replayed, and what is then required."""

import pytest

from sidecar.gpu.burst import begin, learn, next_burst, room_mb
from sidecar.gpu.need import DAY_S, PEAKS_KEPT, Need, NeedKey, learn_idle, learn_lack, learn_peak, own_mb, requirement
from sidecar.gpu.vram import ResidentModel, VramHeadroom

KEY = NeedKey(gpu="GPU-1", model="sha", num_ctx=8192, longest_side=1800)
EMPTY = Need(key=KEY)
OCR, LLM = ResidentModel("ocr:latest", 5000), ResidentModel("llm:latest", 7000)
ESTIMATE_MB = 4000


def required(need: Need | None, calls: int = 1, now_s: float = 0) -> int:
    return requirement(need, calls, ESTIMATE_MB, now_s).mb


def seen(**peaks: int) -> Need:
    need = EMPTY
    for calls, mb in peaks.items():
        need = learn_peak(need, int(calls.removeprefix("n")), mb, 0)
    return need


# ── what is required ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_estimate_stands_until_something_was_seen():
    assert (required(None), required(EMPTY)) == (4000, 4000)
    assert requirement(None, 1, 4000, 0).is_seen is False
    assert requirement(seen(n1=14_300), 1, 4000, 0).is_seen is True


def test_what_was_seen_counts_whether_more_or_less_than_the_estimate():
    assert (required(seen(n1=14_300)), required(seen(n1=3000))) == (14_300, 3000)


@pytest.mark.parametrize(
    ("peaks", "idle_mb", "calls", "mb"),
    [
        pytest.param({"n1": 9000, "n4": 12_000}, 5000, 4, 12_000, id="as many as were seen"),
        pytest.param({"n1": 9000, "n3": 11_000, "n4": 12_000}, 5000, 2, 11_000, id="bounded by the next larger number"),
        pytest.param({"n1": 9000, "n2": 11_000}, 5000, 4, 17_000, id="beyond: each like those seen on average"),
        pytest.param({"n1": 9000}, 5000, 3, 17_000, id="from one alone"),
        pytest.param({"n1": 9000}, 0, 3, 9000, id="nothing is known of a call's own share"),
    ],
)
def test_a_number_of_calls_that_was_not_seen_is_told_from_those_that_were(peaks, idle_mb, calls, mb):
    need = seen(**peaks)
    assert required(learn_idle(need, idle_mb, 0) if idle_mb else need, calls) == mb


def test_the_highest_of_the_latest_peaks_counts_and_an_outlier_is_forgotten():
    need = seen(n1=15_000)
    for _ in range(PEAKS_KEPT - 1):
        need = learn_peak(need, 1, 9000, 0)
    assert required(need) == 15_000
    assert required(learn_peak(need, 1, 9000, 0)) == 9000


def test_peaks_are_forgotten_after_a_week():
    assert required(seen(n1=14_300), now_s=7 * DAY_S - 1) == 14_300
    assert required(seen(n1=14_300), now_s=7 * DAY_S) == 4000


def test_a_call_that_lacked_memory_raises_the_need_at_once_and_for_a_day():
    need = learn_lack(seen(n1=9000), 1, 11_000, 0)
    assert required(need) == 12_024
    assert required(learn_lack(need, 1, 10_000, 0)) == 12_024
    assert required(need, now_s=DAY_S) == 9000


def test_without_a_peak_lack_never_lowers_the_estimate():
    assert required(learn_lack(EMPTY, 1, 1000, 0)) == 4000


def test_where_several_calls_lacked_memory_one_at_a_time_is_tried_next():
    need = learn_lack(EMPTY, 4, 11_000, 0)
    assert [required(need, calls) for calls in (1, 2, 3, 4)] == [4000, 12_024, 12_024, 12_024]
    known = learn_peak(learn_idle(need, 5000, 0), 1, 7000, 0)
    assert [required(known, calls) for calls in (1, 2, 4)] == [7000, 9000, 13_000]


def test_a_loaded_model_holds_what_the_device_showed_not_what_the_server_counts():
    need = learn_idle(EMPTY, 5600, 0)
    assert (own_mb(need, 5000), own_mb(need, 0), own_mb(EMPTY, 5000)) == (5600, 0, 5000)


# ── what a burst of calls shows ───────────────────────────────────────────────────────────────────────────────────


def reading(used_mb: int, *models: ResidentModel, gpu: str = "GPU-1") -> VramHeadroom:
    return VramHeadroom(16_384, used_mb, 16_384 - used_mb, query_success=True, models=models, gpu=gpu)


def test_production_as_it_was_seen():
    """5 GB idle, 14.3 GB while it reads: the setting said 4."""
    burst = begin(reading(500), "ocr", 0)
    for used_mb in (3500, 5500, 14_800, 14_800, 9000):
        burst = next_burst(burst, reading(used_mb, OCR), 1)
    burst = next_burst(burst, reading(5600, OCR), 0)
    need = learn(EMPTY, burst, 0)
    assert (required(need), need.idle.mb) == (14_300, 5100)


def test_what_others_hold_is_theirs():
    burst = next_burst(begin(reading(7500, LLM), "ocr", 0), reading(13_500, LLM, OCR), 1)
    assert required(learn(EMPTY, burst, 0)) == 6000


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(reading(14_000, OCR, LLM), id="another came"),
        pytest.param(reading(14_000, OCR, ResidentModel("llm:latest", 8000)), id="another grew"),
    ],
)
def test_a_burst_in_which_others_changed_teaches_nothing_from_then_on(later):
    burst = begin(reading(500), "ocr", 0)
    burst = next_burst(burst, reading(6500, OCR), 1)
    burst = next_burst(next_burst(burst, later, 1), reading(15_000, OCR), 1)
    assert required(learn(EMPTY, burst, 0)) == 6000


def test_without_the_device_s_own_word_nothing_is_measured():
    burst = next_burst(begin(reading(500, gpu=""), "ocr", 0), reading(9000, OCR, gpu=""), 1)
    assert learn(EMPTY, burst, 0) == EMPTY


def test_fewer_calls_after_more_show_nothing_of_their_own():
    burst = begin(reading(0), "ocr", 0)
    for calls, used_mb in ((1, 7000), (4, 13_000), (1, 13_000)):
        burst = next_burst(burst, reading(used_mb, OCR), calls)
    assert burst.peaks == {1: 7000, 4: 13_000}


def test_a_burst_that_began_with_the_model_loaded_only_ever_raises():
    warm = next_burst(begin(reading(5500, OCR), "ocr", 5000), reading(9000, OCR), 1)
    assert required(learn(seen(n1=9000), warm, 0)) == 9000
    assert len(learn(seen(n1=9000), warm, 0).peaks[1]) == 1
    assert required(learn(seen(n1=8000), warm, 0)) == 8500


def test_the_room_of_a_burst_shrinks_as_others_grow():
    burst = begin(reading(7000, LLM), "ocr", 0)
    assert room_mb(burst, reading(15_000, LLM, OCR)) == 9384
    assert room_mb(burst, reading(15_000, ResidentModel("llm:latest", 8000), OCR)) == 8384
