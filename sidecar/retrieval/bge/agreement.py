"""How far two ways to compute a model agree on what they rank: whether the cheaper one will do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from sidecar.retrieval.bge.models import Embedder, Reranker

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")

AT_A_TIME = 8
QUERIES, CANDIDATES = 10, 50
"""Texts that are asked for with the reranker, and texts that each is compared with: 500 pairs."""
NEIGHBOURS = 10


@dataclass(frozen=True, slots=True)
class Agreement:
    """``recall``: share of the first ten that the other way has among its first ten, too; ``correlation``: Spearman's.

    Both are means over the texts that were asked for, 1 at best.
    """

    recall: float
    correlation: float


def similarities(embedder: Embedder, texts: Sequence[str]) -> "np.ndarray":
    """Give each text's cosine with each other one: a row a text, without itself."""
    import numpy as np

    rows = [
        np.frombuffer(one.dense.tobytes(), dtype=np.float32)
        for part in _parts(texts)
        for one in embedder.cpu.run(embedder.tokenize(part), _always)
        if one is not None
    ]
    vectors = np.stack(rows)
    every: np.ndarray = vectors @ vectors.T
    others: np.ndarray = every[~np.eye(len(every), dtype=bool)]
    return others.reshape(len(every), -1)


def scores(reranker: Reranker, texts: Sequence[str]) -> "np.ndarray":
    """Give the scores of the first texts with those that follow each: a row a query."""
    import numpy as np

    rows = []
    for place in range(min(QUERIES, len(texts))):
        others = [*texts[place + 1 :], *texts[:place]][:CANDIDATES]
        pairs = [(texts[place], other) for other in others]
        rows.append([score for part in _parts(pairs) for score in reranker.cpu.run(reranker.tokenize(part), _always)])
    return np.array(rows, dtype=float)


def agreement(reference: "np.ndarray", other: "np.ndarray") -> Agreement:
    """Compare two matrices of the same shape, row by row; larger is better in both."""
    import numpy as np

    places = [np.argsort(np.argsort(-one, axis=1, kind="stable"), axis=1) for one in (reference, other)]
    firsts = [one < NEIGHBOURS for one in places]
    recall = (firsts[0] & firsts[1]).sum(axis=1) / firsts[0].sum(axis=1)
    count = reference.shape[1]
    # Spearman's of ranks without ties: 1 - 6 Σd² / (n (n² - 1)).
    squares = ((places[0] - places[1]) ** 2).sum(axis=1)
    correlation = 1 - 6 * squares / (count * (count**2 - 1))
    return Agreement(float(recall.mean()), float(correlation.mean()))


def _parts(inputs: Sequence[T]) -> Iterator[Sequence[T]]:
    for first in range(0, len(inputs), AT_A_TIME):
        yield inputs[first : first + AT_A_TIME]


def _always() -> bool:
    return True
