"""What servers tell of their tokens' probabilities is parsed, and what is none of it is left out."""

import json

import pytest

from sidecar.engines.servers import ollama_answer, openai_answer
from sidecar.engines.servers.chat import ChatStream, Piece
from sidecar.evidence.confidence import Certainty, Origin

TOLD = [{"token": "ab", "logprob": -0.1}, {"token": "c", "logprob": -3, "bytes": [99], "top_logprobs": []}]
FOUND = (("ab", -0.1), ("c", -3.0))


def of_ollama(told: object) -> Piece:
    return ollama_answer.parse_line(json.dumps({"message": {"content": "abc"}, "logprobs": told}).encode())


def of_openai(told: object) -> Piece | None:
    choice = {"delta": {"content": "abc"}, "logprobs": told}
    return openai_answer.parse_line(b"data: " + json.dumps({"choices": [choice]}).encode())


def test_each_dialect_tells_them_in_its_place():
    assert of_ollama(TOLD).sure_of == FOUND
    assert of_openai({"content": TOLD, "refusal": None}).sure_of == FOUND


@pytest.mark.parametrize(
    "told",
    [None, 7, "x", [], [7], [{"token": 1, "logprob": -1}], [{"token": "a", "logprob": "x"}], [{"token": "a"}],
     [{"token": "a", "logprob": float("nan")}], [{"token": "a", "logprob": 4}], {"content": 7}],
)  # fmt: skip
def test_what_is_no_probability_is_left_out(told):
    assert of_ollama(told).sure_of == ()
    assert of_openai(told).sure_of == ()
    assert of_openai({"content": told}).sure_of == ()


def test_a_stream_sums_them_up():
    stream = ChatStream()
    for piece in (Piece("ab", sure_of=(("ab", -0.1),)), Piece("x"), Piece("c", sure_of=(("c", -3.0),))):
        stream.add(piece)
    assert stream.certainty == Certainty(Origin.TOKENS, 3, 1, 0)
