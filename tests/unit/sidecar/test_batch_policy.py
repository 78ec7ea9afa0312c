"""Which texts go together, and how long they wait for company."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.batch_policy import BatchLimits, LastBatch, next_batch, wait_for_company_s

LIMITS = BatchLimits(tokens=100, padding=0.2, max_wait_s=0.02)


@pytest.mark.parametrize(
    ("lengths", "chosen"),
    [
        ([10], [0]),
        ([500], [0]),  # over the limit itself: alone
        ([500, 500], [0]),
        ([10, 10, 10], [0, 1, 2]),
        ([10, 500, 10], [0, 2]),
        ([50, 50, 50], [0, 1]),  # 3 times 50 are too many tokens
        ([10, 11, 30, 12], [0, 1, 3]),  # 30 would pad the others by more than a fifth
        ([30, 10, 11, 12], [0]),
        ([10] * 11, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ([20, 19, 21, 5], [1, 0, 2]),
        ([40, 1, 45, 38], [3, 0]),  # the nearer of two that do not both fit
    ],
)
def test_the_oldest_goes_with_its_nearest_neighbours_by_length(lengths, chosen):
    assert next_batch(lengths, LIMITS) == chosen


lengths_lists = st.lists(st.integers(1, 8192), min_size=1, max_size=60)
limits_values = st.builds(
    BatchLimits, tokens=st.integers(16, 20_000), padding=st.floats(0, 0.9), max_wait_s=st.floats(0, 1)
)


@given(lengths_lists, limits_values)
def test_every_batch_has_the_oldest_and_stays_within_its_limits(lengths, limits):
    chosen = next_batch(lengths, limits)
    assert 0 in chosen
    assert len(set(chosen)) == len(chosen)
    of_batch = [lengths[position] for position in chosen]
    padded = len(of_batch) * max(of_batch)
    assert len(chosen) == 1 or padded <= limits.tokens
    assert padded - sum(of_batch) <= limits.padding * padded + 1e-6


@given(lengths_lists, limits_values)
def test_every_text_goes_before_as_many_batches_as_came_before_it(lengths, limits):
    line = list(enumerate(lengths))
    batches = 0
    while line:
        chosen = set(next_batch([length for _, length in line], limits))
        oldest = line[0][0]
        assert oldest in {line[position][0] for position in chosen}
        assert batches <= oldest
        line = [one for position, one in enumerate(line) if position not in chosen]
        batches += 1


@pytest.mark.parametrize(
    ("waiting", "tokens", "last", "wait_s"),
    [
        (1, 10, LastBatch(0, 0.0, 99.0), 0.0),  # nothing was answered yet
        (1, 10, LastBatch(1, 0.5, 0.0), 0.0),  # a single caller is back
        (1, 10, LastBatch(8, 0.5, 0.0), 0.02),  # eight were answered, seven may come back
        (1, 10, LastBatch(8, 0.5, 0.015), 0.005),
        (1, 10, LastBatch(8, 0.5, 0.02), 0.0),
        (1, 10, LastBatch(8, 0.5, 5.0), 0.0),
        (8, 80, LastBatch(8, 0.5, 0.0), 0.0),
        (9, 90, LastBatch(8, 0.5, 0.0), 0.0),
        (2, 100, LastBatch(8, 0.5, 0.0), 0.0),  # the batch is full
        (1, 10, LastBatch(8, 0.05, 0.0), 0.005),  # a tenth of a quick batch
    ],
)
def test_callers_just_answered_have_a_moment_to_come_back(waiting, tokens, last, wait_s):
    assert wait_for_company_s(waiting, tokens, last, LIMITS) == pytest.approx(wait_s)


@given(st.integers(1, 99), st.integers(1, 9999), st.integers(0, 99), st.floats(0, 60), st.floats(0, 60), limits_values)
def test_no_text_waits_longer_for_company_than_it_may(waiting, tokens, texts, took_s, ago_s, limits):
    assert 0 <= wait_for_company_s(waiting, tokens, LastBatch(texts, took_s, ago_s), limits) <= limits.max_wait_s
