"""The arithmetic of retrieval quality by hand, and the whole way with small random models beside plain loops."""

import functools
import json

import numpy as np
import pytest

from bench.quality.xquad import Found, found, fused, measure, places, read

THREE = np.array([[0.9, 0.5, 0.1], [0.1, 0.5, 0.9]])


def test_places_are_counted_from_the_largest_and_of_equal_ones_the_earlier_comes_first():
    assert places(THREE).tolist() == [[0, 1, 2], [2, 1, 0]]
    assert places(np.zeros((1, 3))).tolist() == [[0, 1, 2]]


def test_what_is_first_third_and_seventh_gives_these_shares():
    scores = -np.arange(10.0)[None].repeat(3, axis=0)
    assert found(scores, [0, 2, 6]) == Found(
        pytest.approx(1 / 3), pytest.approx(2 / 3), pytest.approx((1 + 1 / 3 + 1 / 7) / 3)
    )


def test_fusion_adds_reciprocal_places():
    assert fused(THREE[:1], THREE[1:])[0] == pytest.approx([1 / 61 + 1 / 63, 2 / 62, 1 / 61 + 1 / 63])


@pytest.fixture
def file(tmp_path):
    from tools.fakes import model_texts  # noqa: PLC0415

    texts = model_texts.texts(12, 5, 30)
    data = [
        {"paragraphs": [{"context": text, "qas": [{"question": " ".join(text.split()[:4])}] * 2}]}
        for text in (*texts, texts[0])
    ]
    path = tmp_path / "xquad.xx.json"
    path.write_text(json.dumps({"data": data}), encoding="utf-8")
    return path


def test_a_file_s_paragraphs_are_counted_once_and_its_questions_all(file):
    asked = read(file)
    assert (len(asked.paragraphs), len(asked.questions)) == (12, 26)
    assert asked.answers[-2:] == [0, 0]


def test_the_whole_way_gives_what_plain_loops_give(file, tmp_path):
    from sidecar.retrieval.bge.loading import LoadOptions  # noqa: PLC0415 - torch
    from sidecar.retrieval.bge.models import Embedder, Reranker  # noqa: PLC0415 - torch
    from tools.fakes import tiny_models  # noqa: PLC0415

    asked = read(file)
    embedder = Embedder(tiny_models.make_embedder(tmp_path / "embedder"), LoadOptions("float32"))
    reranker = Reranker(tiny_models.make_reranker(tmp_path / "reranker"), LoadOptions("float32"))
    few = type(asked)(asked.paragraphs, asked.questions[:6], asked.answers[:6])
    measured = dict(measure(few, embedder, reranker))
    assert list(measured) == ["dense", "sparse", "hybrid", "reranked"]

    @functools.cache
    def alone(text):
        return embedder.cpu.run(embedder.tokenize([text]), lambda: True)[0]

    def place(question, answer, score):
        scores = [score(question, paragraph) for paragraph in asked.paragraphs]
        return sum(one > scores[answer] for one in scores)

    def dense(question, paragraph):
        return round(float(alone(question).dense @ alone(paragraph).dense), 5)

    def reranked(question, paragraph):
        return round(reranker.cpu.run(reranker.tokenize([(question, paragraph)]), lambda: True)[0], 4)

    for name, score in (("dense", dense), ("reranked", reranked)):
        at = [place(question, answer, score) for question, answer in zip(few.questions, few.answers, strict=True)]
        assert measured[name].first == pytest.approx(np.mean([one < 1 for one in at]))
        assert measured[name].reciprocal == pytest.approx(np.mean([1 / (one + 1) for one in at]))
