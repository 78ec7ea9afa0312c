"""Which inputs are tokenised at a time."""

import pytest

from sidecar.retrieval.portions import PORTION_CHARS, PORTION_TEXTS, portions


@pytest.mark.parametrize(
    ("inputs", "sizes"),
    [
        ([], []),
        (["a"], [1]),
        (["a"] * (PORTION_TEXTS + 1), [PORTION_TEXTS, 1]),
        (["a" * (PORTION_CHARS // 2)] * 5, [2, 2, 1]),
        (["a" * (3 * PORTION_CHARS), "b", "c"], [1, 2]),
        (["a", "b" * (3 * PORTION_CHARS)], [1, 1]),
        ([("query", "a" * PORTION_CHARS)] * 3, [1, 1, 1]),
        ([("q" * PORTION_CHARS, "a")] * 3, [3]),
    ],
)
def test_a_portion_has_so_many_texts_and_characters_at_most(inputs, sizes):
    found = list(portions(inputs))
    assert [len(portion) for portion in found] == sizes
    assert [one for portion in found for one in portion] == inputs
