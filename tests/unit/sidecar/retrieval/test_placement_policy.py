"""Where embed and rerank run, replayed reading by reading."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.gpu.vram import UNREADABLE, VramHeadroom
from sidecar.retrieval import placement_policy
from sidecar.retrieval.placement_policy import BARRED_S, DWELL_S, SETTLE_S, CopyState, bar, leave, place

THRESHOLD_MB = 3000
EMBEDDER_MB, RERANKER_MB = 2600, 2600
START = [CopyState(EMBEDDER_MB), CopyState(RERANKER_MB)]


def free(available_mb: int) -> VramHeadroom:
    return VramHeadroom(16384, 16384 - available_mb, available_mb, query_success=True)


def replay(readings, states=START, begin_s=0.0, every_s=0.5):
    """Follow readings, one each half second; give the states after each."""
    seen = []
    for number, reading in enumerate(readings):
        states = place(states, reading, THRESHOLD_MB, begin_s + number * every_s)
        seen.append(states)
    return seen


def where(states):
    return [copy.on_gpu for copy in states]


def reasons(states):
    return [copy.reason for copy in states]


def test_a_copy_comes_when_there_has_been_room_for_ten_seconds():
    seen = replay([free(16_000)] * 21)
    assert [where(states) for states in seen[:20]] == [[False, False]] * 20
    assert reasons(seen[19]) == ["warming-up", "warming-up"]
    assert where(seen[20]) == [True, True]
    assert reasons(seen[20]) == ["headroom-sufficient", "headroom-sufficient"]


def test_a_moment_without_room_starts_the_ten_seconds_anew():
    seen = replay([*[free(16_000)] * 19, free(5000), *[free(16_000)] * 20])
    assert not any(any(where(states)) for states in seen)
    assert reasons(seen[19]) == ["gpu-headroom-below-threshold"] * 2


@pytest.mark.parametrize(
    ("available_mb", "expected"),
    [
        (THRESHOLD_MB + EMBEDDER_MB - 1, [False, False]),
        (THRESHOLD_MB + EMBEDDER_MB, [True, False]),  # equality is room enough
        (THRESHOLD_MB + EMBEDDER_MB + RERANKER_MB - 1, [True, False]),
        (THRESHOLD_MB + EMBEDDER_MB + RERANKER_MB, [True, True]),
    ],
)
def test_the_embedder_comes_before_the_reranker(available_mb, expected):
    assert where(replay([free(available_mb)] * 21)[-1]) == expected


ON = [
    CopyState(EMBEDDER_MB, on_gpu=True, reason="headroom-sufficient", changed_at_s=0.0),
    CopyState(RERANKER_MB, on_gpu=True, reason="headroom-sufficient", changed_at_s=0.0),
]


@pytest.mark.parametrize(
    ("available_mb", "expected"),
    [
        (THRESHOLD_MB, [True, True]),  # equality is no pressure
        (THRESHOLD_MB - 1, [True, False]),
        (THRESHOLD_MB - RERANKER_MB, [True, False]),
        (THRESHOLD_MB - RERANKER_MB - 1, [False, False]),
        (0, [False, False]),
    ],
)
def test_the_reranker_leaves_before_the_embedder_and_both_where_one_is_not_enough(available_mb, expected):
    placed = place(ON, free(available_mb), THRESHOLD_MB, 5.0)
    assert where(placed) == expected
    assert [copy.reason for copy in placed if not copy.on_gpu] == ["gpu-headroom-below-threshold"] * expected.count(
        False
    )


def test_a_reading_that_fails_sends_them_away_and_they_come_back_by_themselves():
    placed = place(ON, UNREADABLE, THRESHOLD_MB, 5.0)
    assert (where(placed), reasons(placed)) == ([False, False], ["gpu-query-failed"] * 2)
    assert where(replay([free(16_000)] * 21, placed, 5.5)[-1]) == [True, True]


def test_after_out_of_memory_a_copy_stays_away_for_a_minute_with_its_reason():
    barred = [bar(ON[0], placement_policy.OUT_OF_MEMORY, 5.0), ON[1]]
    seen = replay([free(16_000)] * 200, barred, 5.5)
    came = next(number for number, states in enumerate(seen) if states[0].on_gpu)
    assert 5.5 + came * 0.5 == pytest.approx(5 + BARRED_S + SETTLE_S, abs=0.6)
    assert {states[0].reason for states in seen[:100]} == {"gpu-out-of-memory"}
    assert all(states[1].on_gpu for states in seen)


def test_a_copy_that_has_just_come_stays_for_its_second():
    just_come = [CopyState(EMBEDDER_MB, on_gpu=True, reason="headroom-sufficient", changed_at_s=5.0)]
    assert where(place(just_come, free(0), THRESHOLD_MB, 5.9)) == [True]
    assert where(place(just_come, free(0), THRESHOLD_MB, 6.0)) == [False]
    assert leave(just_come[0], "gpu-query-failed", 5.5) == just_come[0]


class Card:
    """A GPU of 16 GiB: what an LLM and OCR take, and our copies; told in readings that count all."""

    def __init__(self):
        self.llm_mb = self.ocr_mb = 0
        self.states = list(START)
        self.evictions = 0

    def tick(self, now_s):
        copies_mb = sum(copy.needed_mb for copy in self.states if copy.on_gpu)
        available_mb = 16_384 - self.llm_mb - self.ocr_mb - copies_mb
        self.evictions += available_mb < 0
        self.states = place(self.states, free(max(0, available_mb)), THRESHOLD_MB, now_s)


def test_the_scripted_scenario():
    """The LLM grows, OCR loads, embeds stream in, the LLM shrinks: each step has its placement."""
    card = Card()
    script = [  # until when, the LLM's and OCR's MiB, and where both models are at the end of it
        (15, 9000, 0, [True, False]),  # 7,384 free: room for the embedder beside the threshold, not for both
        (25, 11_500, 0, [False, False]),  # the LLM grows: 2,284 would be left
        (40, 13_500, 0, [False, False]),
        (55, 7000, 4500, [False, False]),  # OCR loads
        (70, 9000, 0, [True, False]),  # OCR has left
        (90, 4000, 0, [True, True]),  # the LLM shrinks
        (97, 15_300, 0, [False, False]),  # and is back at its largest
    ]
    now_s, changes = 0.0, {0: [], 1: []}
    for until_s, llm_mb, ocr_mb, expected in script:
        while now_s < until_s:
            card.llm_mb = min(llm_mb, card.llm_mb + 2500)  # a model is loaded in steps that a reading sees
            card.ocr_mb = ocr_mb
            before = where(card.states)
            card.tick(now_s)
            for rank, (was, now) in enumerate(zip(before, where(card.states), strict=True)):
                if was != now:
                    changes[rank].append(now_s)
            now_s += 0.5
        assert where(card.states) == expected, until_s
    assert card.evictions == 0
    for times in changes.values():
        assert all(later - earlier >= DWELL_S for earlier, later in itertools.pairwise(times))
    assert [len(times) for times in changes.values()] == [4, 2]


readings = st.lists(
    st.one_of(st.just(UNREADABLE), st.builds(free, st.integers(0, 16_384))) | st.just(free(16_000)), max_size=150
)


@given(readings, st.floats(0.05, 2))
def test_whatever_is_read_no_copy_changes_twice_in_a_second_or_comes_without_ten_of_room(seen, every_s):
    states, changed_s, enough_s = list(START), [float("-inf")] * 2, [0.0, 0.0]
    for number, reading in enumerate(seen):
        now_s = number * every_s
        for rank, copy in enumerate(states):
            needed_mb = sum(one.needed_mb for one in states[: rank + 1] if not one.on_gpu) if not copy.on_gpu else 0
            if not reading.query_success or reading.available_mb < THRESHOLD_MB + needed_mb:
                enough_s[rank] = now_s
        before, states = states, place(states, reading, THRESHOLD_MB, now_s)
        for rank, (was, now) in enumerate(zip(before, states, strict=True)):
            if was.on_gpu != now.on_gpu:
                assert now_s - changed_s[rank] >= DWELL_S
                changed_s[rank] = now_s
            if now.on_gpu and not was.on_gpu:
                assert now_s - enough_s[rank] >= SETTLE_S - 2 * every_s
                assert reading.available_mb >= THRESHOLD_MB + now.needed_mb
            if now.on_gpu and reading.available_mb < THRESHOLD_MB - EMBEDDER_MB - RERANKER_MB:
                assert now_s - was.changed_at_s < DWELL_S
