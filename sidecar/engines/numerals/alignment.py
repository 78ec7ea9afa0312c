"""Aligns two sequences at the lowest cost, as edit distance does. Pure."""

import itertools
from collections.abc import Iterator, Sequence

Pair = tuple[int | None, int | None]
"""Indices into both sequences; None where the other's element has no partner."""


def align(pair_costs: Sequence[Sequence[float]], alone: float, others_alone: Sequence[float]) -> list[Pair]:
    """Pair the elements of two sequences, both in order.

    ``pair_costs[i][j]`` is the cost of pairing i with j, ``alone`` that of any i without a partner, ``others_alone[j]``
    that of j without one.
    """
    rows, columns = len(pair_costs), len(others_alone)
    costs: dict[tuple[int, int], float] = {}

    def steps(row: int, column: int) -> Iterator[tuple[float, int, int]]:
        if row and column:
            yield costs[row - 1, column - 1] + pair_costs[row - 1][column - 1], 1, 1
        if row:
            yield costs[row - 1, column] + alone, 1, 0
        if column:
            yield costs[row, column - 1] + others_alone[column - 1], 0, 1

    for row, column in itertools.product(range(rows + 1), range(columns + 1)):
        costs[row, column] = min(steps(row, column))[0] if row or column else 0.0
    pairs: list[Pair] = []
    row, column = rows, columns
    while row or column:
        _, up, left = min(steps(row, column))
        row, column = row - up, column - left
        pairs.append((row if up else None, column if left else None))
    return pairs[::-1]
