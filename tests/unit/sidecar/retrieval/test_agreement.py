"""What two rankings have in common, by numbers that can be checked by hand."""

import numpy as np
import pytest

from sidecar.retrieval.bge.agreement import Agreement, agreement


def test_the_same_ranks_agree_whatever_the_numbers_are():
    one = np.arange(40.0).reshape(2, 20)
    assert agreement(one, one**3) == Agreement(1.0, 1.0)


def test_the_reverse_agrees_by_chance_alone():
    one = np.arange(20.0)[None]
    assert agreement(one, -one) == Agreement(0.0, -1.0)


def test_two_that_change_places_cost_what_spearman_says():
    one = np.arange(20.0)[None]
    other = one.copy()
    other[0, [9, 10]] = other[0, [10, 9]]  # the tenth best and the next one
    found = agreement(one, other)
    assert found.recall == pytest.approx(0.9)
    assert found.correlation == pytest.approx(1 - 6 * 2 / (20 * 399))
