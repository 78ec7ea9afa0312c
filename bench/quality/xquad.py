"""Retrieval on somebody else's truth: XQuAD's questions, each about one of its paragraphs.

    BGE_M3_MODEL=… RERANKER_MODEL=… python -m bench.quality.xquad xquad.th.json xquad.en.json

The files are google-deepmind/xquad's (CC BY-SA 4.0), fetched by whoever measures: 240 paragraphs and 1,190 questions a
language. For each question all paragraphs are ranked: by the dense vector, by the sparse one, by both (reciprocal rank
fusion), and the first of those by the reranker.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.harness.figure import Figure, print_table
from sidecar.retrieval.bge.hub import find_model
from sidecar.retrieval.bge.loading import LoadOptions
from sidecar.retrieval.bge.models import Embedder, Reranker
from sidecar.retrieval.model import Embedding

AT_A_TIME = 8
FUSION = 60
"""Cormack, Clarke and Büttcher's constant: how little the first places count more than the next ones."""
RERANKED = 20
"""Paragraphs that the reranker sees, the first of both vectors together."""


@dataclass(frozen=True, slots=True)
class Questions:
    """Paragraphs, and questions with the place of the paragraph that answers each."""

    paragraphs: list[str]
    questions: list[str]
    answers: list[int]


@dataclass(frozen=True, slots=True)
class Found:
    """Shares of the questions whose paragraph is the first, or among the first five; the mean of 1 / place."""

    first: float
    five: float
    reciprocal: float

    def __str__(self) -> str:
        """Show all three."""
        return f"recall@1 {self.first:.4f}, recall@5 {self.five:.4f}, MRR {self.reciprocal:.4f}"


def read(path: Path) -> Questions:
    """Read a file in SQuAD's form; a paragraph that occurs twice is one."""
    places: dict[str, int] = {}
    asked: list[tuple[str, int]] = []
    for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            place = places.setdefault(paragraph["context"], len(places))
            asked += [(one["question"], place) for one in paragraph["qas"]]
    return Questions(list(places), [question for question, _ in asked], [place for _, place in asked])


# ── arithmetic ────────────────────────────────────────────────────────────────────────────────────────────────────


def places(scores: np.ndarray) -> np.ndarray:
    """Give the place of each column in its row, from 0, the largest first; of equal ones the earlier."""
    ranks: np.ndarray = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1)
    return ranks


def fused(*scores: np.ndarray) -> np.ndarray:
    """Join rankings by reciprocal rank fusion."""
    total: np.ndarray = np.sum([1 / (FUSION + 1 + places(one)) for one in scores], axis=0)
    return total


def found(scores: np.ndarray, answers: Sequence[int]) -> Found:
    """Tell how well rows of scores find the paragraphs that answer."""
    at = places(scores)[np.arange(len(answers)), list(answers)]
    return Found(float((at < 1).mean()), float((at < 5).mean()), float((1 / (at + 1)).mean()))


def products(rows: Sequence[Embedding], columns: Sequence[Embedding]) -> np.ndarray:
    """Give the product of each two sparse vectors."""
    weights = [dict(zip(_numbers(one.indices), _numbers(one.values), strict=True)) for one in columns]
    return np.array([[_product(row, other) for other in weights] for row in rows])


def _product(one: Embedding, other: dict[float, float]) -> float:
    pairs = zip(_numbers(one.indices), _numbers(one.values), strict=True)
    return sum(weight * other.get(token, 0.0) for token, weight in pairs)


def _numbers(vector: object) -> list[float]:
    numbers: list[float] = vector.tolist() if isinstance(vector, np.ndarray) else []
    return numbers


# ── what is measured ──────────────────────────────────────────────────────────────────────────────────────────────


def measure(asked: Questions, embedder: Embedder, reranker: Reranker | None) -> Iterator[tuple[str, Found]]:
    """Rank all paragraphs for each question, in each way."""
    paragraphs, questions = (_embed(embedder, texts) for texts in (asked.paragraphs, asked.questions))
    dense = _dense(questions) @ _dense(paragraphs).T
    sparse = products(questions, paragraphs)
    hybrid = fused(dense, sparse)
    for name, scores in (("dense", dense), ("sparse", sparse), ("hybrid", hybrid)):
        yield name, found(scores, asked.answers)
    if reranker:
        yield "reranked", found(_reranked(reranker, asked, hybrid), asked.answers)


def _embed(embedder: Embedder, texts: Sequence[str]) -> list[Embedding]:
    embedded = [
        one
        for first in range(0, len(texts), AT_A_TIME)
        for one in embedder.cpu.run(embedder.tokenize(texts[first : first + AT_A_TIME]), _always)
    ]
    return [one for one in embedded if one is not None]


def _dense(embedded: Sequence[Embedding]) -> np.ndarray:
    return np.stack([np.frombuffer(one.dense.tobytes(), dtype=np.float32) for one in embedded])


def _reranked(reranker: Reranker, asked: Questions, hybrid: np.ndarray) -> np.ndarray:
    """Let the reranker order the first of each row; the others stay behind them as they were."""
    scores = -1e6 - places(hybrid).astype(float)
    for row, question in enumerate(asked.questions):
        firsts = np.argsort(-hybrid[row], kind="stable")[:RERANKED]
        pairs = [(question, asked.paragraphs[place]) for place in firsts]
        for start in range(0, len(pairs), AT_A_TIME):
            given = reranker.cpu.run(reranker.tokenize(pairs[start : start + AT_A_TIME]), _always)
            scores[row, firsts[start : start + AT_A_TIME]] = [one if one is not None else -1e5 for one in given]
    return scores


def _always() -> bool:
    return True


def main(files: Sequence[str]) -> None:
    """Print one table a file."""
    embedder = Embedder(find_model(os.environ["BGE_M3_MODEL"]), LoadOptions("auto"))
    source = os.environ.get("RERANKER_MODEL")
    reranker = Reranker(find_model(source), LoadOptions("auto")) if source else None
    for file in files:
        asked = read(Path(file))
        title = f"{Path(file).name}: {len(asked.questions)} questions, {len(asked.paragraphs)} paragraphs"
        print_table(title, [Figure(name, str(one)) for name, one in measure(asked, embedder, reranker)])


if __name__ == "__main__":
    main(sys.argv[1:])
