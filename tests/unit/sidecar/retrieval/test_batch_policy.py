"""Which texts go together, and how long they wait for company."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.retrieval.batch_policy import (
    BatchLimits,
    LastBatch,
    free_cores,
    next_batch,
    plan_batch,
    wait_for_more_s,
)

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
def test_the_first_in_line_goes_with_its_nearest_neighbours_by_length(lengths, chosen):
    assert next_batch(lengths, LIMITS) == chosen


lengths_lists = st.lists(st.integers(1, 8192), min_size=1, max_size=60)
limits_values = st.builds(
    BatchLimits, tokens=st.integers(16, 20_000), padding=st.floats(0, 0.9), max_wait_s=st.floats(0, 1)
)


@given(lengths_lists, limits_values)
def test_every_batch_has_the_first_in_line_and_stays_within_its_limits(lengths, limits):
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
    assert wait_for_more_s(waiting, tokens, last, LIMITS) == pytest.approx(wait_s)


@given(st.integers(1, 99), st.integers(1, 9999), st.integers(0, 99), st.floats(0, 60), st.floats(0, 60), limits_values)
def test_no_text_waits_longer_for_company_than_it_may(waiting, tokens, texts, took_s, ago_s, limits):
    assert 0 <= wait_for_more_s(waiting, tokens, LastBatch(texts, took_s, ago_s), limits) <= limits.max_wait_s


@pytest.mark.parametrize(
    ("cores", "ahead", "taken", "waiting_tokens", "free"),
    [
        (4, 0, 0, 10, 4),
        (4, 0, 3, 10, 1),
        (4, 0, 4, 1000, 0),
        (1, 1, 0, 10, 1),
        (1, 1, 1, 99, 0),  # not a full batch: company may come
        (1, 1, 1, 100, 1),
        (1, 1, 2, 1000, 0),  # one goes ahead, and no more
        (2, 0, 2, 1000, 0),
    ],
)
def test_a_full_batch_may_wait_behind_those_that_are_computed(cores, ahead, taken, waiting_tokens, free):
    assert free_cores(taken, waiting_tokens, replace(LIMITS, cores=cores, ahead=ahead)) == free


@pytest.mark.parametrize(
    ("lengths", "free", "planned"),
    [
        ([10], 1, ([0], 1)),
        ([10], 4, ([0], 4)),  # alone, it has them all
        ([10, 10], 4, ([0, 1], 4)),
        ([10] * 3, 4, ([0, 1, 2], 4)),
        ([130] * 3, 4, ([0, 1, 2], 4)),  # four times a core's limit of 100 tokens
        ([130] * 3 + [1], 4, ([0], 1)),
        ([400], 4, ([0], 4)),
        ([401], 4, ([0], 3)),  # longer than four full batches: a core is left to others
        ([500, 10], 4, ([0], 3)),
        ([10] * 4, 4, ([0], 1)),  # one each
        ([10] * 3, 3, ([0], 1)),  # something is computed already
        ([10] * 2, 3, ([0], 1)),
        ([10] * 3, 2, ([0], 1)),  # 15 tokens are a core's share: two texts would be too many
        ([10] * 8, 2, ([0, 1, 2, 3], 1)),
        ([10] * 8, 1, ([0, 1, 2, 3, 4, 5, 6, 7], 1)),
        ([10] * 40, 2, ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 1)),  # no more than the limit
        ([500, 10], 2, ([0], 1)),
    ],
)
def test_what_waits_is_divided_between_the_free_cores(lengths, free, planned):
    assert plan_batch(lengths, replace(LIMITS, cores=4, idle=4), free) == planned


@pytest.mark.parametrize(
    ("lengths", "idle", "planned"),
    [
        ([10], 3, ([0], 3)),
        ([10], 1, ([0], 1)),  # a core that pages are read on as well would be waited for at each step
        ([10, 10], 1, ([0], 1)),  # one each
        ([250], 2, ([0], 1)),  # longer than two full batches
    ],
)
def test_several_cores_go_together_only_as_far_as_nobody_else_uses_them(lengths, idle, planned):
    assert plan_batch(lengths, replace(LIMITS, cores=4, idle=idle), 4) == planned


def test_a_long_text_on_the_only_core_has_it():
    assert plan_batch([500], LIMITS, 1) == ([0], 1)


@given(lengths_lists, limits_values, st.integers(1, 64))
def test_batches_planned_one_after_the_other_take_no_more_cores_than_are_free(lengths, limits, cores):
    free, line, limits = cores, list(lengths), replace(limits, cores=cores, idle=cores)
    while line and free:
        chosen, taken = plan_batch(line, limits, free)
        assert 1 <= taken <= free
        assert 0 in chosen
        free -= taken
        line = [one for position, one in enumerate(line) if position not in set(chosen)]
