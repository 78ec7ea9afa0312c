"""What requests to embed and rerank may hold, and how answers are written."""

import base64
import gc
import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import InvalidValueError, KeepAliveRefusedError, MalformedBodyError
from sidecar.wire.body import IDS_REFUSED, parse, parse_any
from sidecar.wire.cohere import RerankV1Request
from sidecar.wire.openai import EmbeddingsRequest, written
from sidecar.wire.retrieval import EmbedRequest, RerankRequest, ranked, relevance, render
from sidecar.wire.tei import InputsRequest, TextsRerankRequest
from sidecar.wire.vllm import ScoreRequest


def refusal(model, body):
    with pytest.raises(InvalidValueError) as caught:
        parse(model, json.dumps(body).encode(), 2048)
    return caught.value.detail


@pytest.mark.parametrize(
    ("model", "body", "detail"),
    [
        (EmbedRequest, {"text": ""}, "text is empty, a text is accepted"),
        (EmbedRequest, {"texts": ["a", ""]}, "texts.1 is empty, a text is accepted"),
        (EmbedRequest, {"texts": []}, "texts is empty, at least one text is accepted"),
        (EmbedRequest, {}, "either text or texts is needed, and not both"),
        (EmbedRequest, {"text": "a", "texts": ["a"]}, "either text or texts is needed, and not both"),
        (EmbedRequest, {"text": 5}, "text is 5, accepted: text"),
        (EmbedRequest, {"text": ["secret"]}, "text is not accepted: text"),
        (EmbedRequest, {"texts": ["a"] * 2049}, "texts has 2049 items, the limit is 2048"),
        (EmbedRequest, {"text": "secret \ud800"}, "text is not Unicode text"),
        (EmbedRequest, {"texts": ["a", "secret \udfff"]}, "texts.1 is not Unicode text"),
        (RerankRequest, {"query": "", "chunks": ["a"]}, "query is empty, a text is accepted"),
        (RerankRequest, {"query": "a"}, "chunks is missing"),
        (RerankRequest, {"query": "a", "chunks": ["a", ""]}, "chunks.1 is empty, a text is accepted"),
        (
            RerankRequest,
            {"query": "a", "chunks": ["a"], "topN": -1},
            "top_n is -1, accepted: greater than or equal to 0",
        ),
        (
            RerankRequest,
            {"query": "a", "chunks": ["a"], "topN": 1, "top_n": 1},
            "topN is given twice, in both spellings",
        ),
        (EmbeddingsRequest, {"input": [1, 2]}, f"input is not accepted: {IDS_REFUSED}"),
        (EmbeddingsRequest, {"input": [[1], [2]]}, f"input is not accepted: {IDS_REFUSED}"),
        (EmbeddingsRequest, {"input": [1] * 5000}, f"input is not accepted: {IDS_REFUSED}"),
        (EmbeddingsRequest, {"input": ["a", [1]]}, f"input is not accepted: {IDS_REFUSED}"),
        (InputsRequest, {"inputs": [[1, 2]]}, f"inputs is not accepted: {IDS_REFUSED}"),
        (ScoreRequest, {"text_1": ["a", "b"], "text_2": "c"}, "text_1 is one text, or as many as text_2"),
        (ScoreRequest, {"text_1": "a", "text_2": ""}, None),
        (EmbeddingsRequest, {"input": "a", "dimensions": True}, None),
        (EmbedRequest, {f"field{number}": 1 for number in range(33)}, "the body has 33 fields, the limit is 32"),
        (EmbedRequest, {"texts": [[]] * 2049}, "texts has 2049 items, the limit is 2048"),
        (EmbedRequest, {"unknown": [{}] * 2049}, "unknown has 2049 items, the limit is 2048"),
        (
            RerankV1Request,
            {"query": "a", "documents": [{f"field{number}": 1 for number in range(33)}]},
            "an object in the body has 33 fields, the limit is 32",
        ),
        (
            EmbedRequest,
            {"unknown": [{}] * 2000, "more": [{}] * 200},
            "the body has more objects than 2048, which is the limit",
        ),
        (EmbedRequest, {"text": {"secret": "a"}}, "text is not accepted: text"),
        (RerankV1Request, {"query": "a", "documents": ["a"], "rank_fields": ["title"]}, None),
        (EmbeddingsRequest, {"input": "a", "encoding_format": "int8"}, None),
        (RerankV1Request, {"query": "a", "documents": [{"text": ""}]}, "documents.0.text is empty, a text is accepted"),
        (RerankV1Request, {"query": "a", "documents": [{"text": "\ud800"}]}, "documents.0 is not Unicode text"),
        (RerankV1Request, {"query": "a", "documents": ["a"], "truncate": "START"}, None),
    ],
)
def test_a_request_outside_the_contract_is_refused_by_name_and_quotes_no_text(model, body, detail):
    said = refusal(model, body)
    assert detail in (None, said)
    assert "secret" not in said


@pytest.mark.parametrize("body", [b"{", b"[]", b"1", b"\xff", b"[" * 100_000, b""])
def test_a_body_that_is_no_json_object_is_malformed(body):
    with pytest.raises(MalformedBodyError):
        parse(EmbedRequest, body, 2048)


@pytest.mark.parametrize("body", [b'{"texts": [' + b",".join([b"[]"] * 100_000) + b"]}", b"[" * 100_000])
def test_a_body_of_very_many_parts_is_not_looked_at_by_the_garbage_collector(body):
    """It would, again and again while they become more, and hold up all other callers meanwhile."""
    looks: list[str] = []
    gc.callbacks.append(lambda phase, _info: looks.append(phase))
    try:
        with pytest.raises((InvalidValueError, MalformedBodyError)):
            parse(EmbedRequest, body, 2048)
    finally:
        gc.callbacks.pop()
    assert len(looks) <= 4  # those after it was refused
    assert gc.isenabled()


@pytest.mark.parametrize("depth", [10, 900])
def test_nesting_is_refused_however_deep(depth):
    with pytest.raises(InvalidValueError):
        parse(EmbedRequest, b'{"texts": ' + b"[" * depth + b"]" * depth + b"}", 2048)


@pytest.mark.parametrize(
    "body",
    [
        {"text": "a", "keepAlive": 5},
        {"text": "a", "keep_alive": None},
        {"text": "a", "options": {"keep-alive": 5}},
        {"query": "a", "documents": [{"text": "a"}, {"text": "b", "KEEP_ALIVE": 5}]},
    ],
)
def test_keep_alive_is_refused_in_any_spelling(body):
    with pytest.raises(KeepAliveRefusedError):
        parse(EmbedRequest, json.dumps(body).encode(), 2048)


def test_what_clients_of_the_conventions_send_besides_is_taken():
    """Cohere's and LangChain's send fields that mean nothing here, and null for what is not set."""
    body = {
        "model": "rerank-v3.5",
        "query": "a",
        "documents": [{"text": "b", "title": "c"}, "d"],
        "top_n": None,
        "max_tokens_per_doc": 4096,
        "max_chunks_per_doc": 10,
        "rank_fields": ["text"],
        "return_documents": None,
        "priority": 1,
    }
    asked = parse(RerankV1Request, json.dumps(body).encode(), 9)
    assert (asked.texts, asked.top_n, asked.return_documents) == (["b", "d"], None, False)
    asked = parse(EmbeddingsRequest, b'{"input": "a", "encoding_format": null, "user": null, "dimensions": null}', 9)
    assert asked.encoding_format == "float"
    assert parse(EmbedRequest, b'{"text": "a", "texts": null, "truncate": null}', 9).truncate is True


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["text", "texts", "query", "input"]), inner)
        ),
    )
)
def test_whatever_comes_is_parsed_or_refused(body):
    for model in (EmbedRequest, RerankRequest, EmbeddingsRequest, RerankV1Request, InputsRequest, ScoreRequest):
        try:
            parse(model, json.dumps(body).encode(), 2048)
        except (InvalidValueError, MalformedBodyError, KeepAliveRefusedError) as refused:
            assert refused.detail  # noqa: PT017 - both ends are right


def test_unknown_fields_are_ignored_and_named():
    body = b'{"text": "a", "task": "retrieval.query", "inputType": 5, "late": null, "truncate": false}'
    parsed = parse_any([EmbedRequest], body, 9)
    assert (parsed.asked.text, parsed.asked.truncate) == ("a", False)
    assert parsed.ignored == ("task", "input_type")  # null means not set
    assert parse_any([EmbeddingsRequest], b'{"input": "a", "user": "b"}', 9).ignored == ()


FORMS = [RerankRequest, RerankV1Request, TextsRerankRequest]


@pytest.mark.parametrize(
    ("field", "form"), [("chunks", RerankRequest), ("documents", RerankV1Request), ("texts", TextsRerankRequest)]
)
def test_the_form_of_a_request_is_told_by_its_fields(field, form):
    assert type(parse_any(FORMS, json.dumps({"query": "a", field: ["b"]}).encode(), 9).asked) is form


def test_two_forms_in_one_request_are_refused():
    with pytest.raises(InvalidValueError, match="documents or texts is accepted, and not both"):
        parse_any(FORMS, b'{"query": "a", "documents": ["b"], "texts": ["c"]}', 9)


@pytest.mark.parametrize(("truncate", "cuts"), [(True, True), (False, False), ("END", True), ("NONE", False)])
def test_truncate_is_taken_as_nvidia_s_clients_write_it(truncate, cuts):
    body = json.dumps({"input": "a", "truncate": truncate}).encode()
    assert parse(EmbeddingsRequest, body, 9).cuts is cuts


def test_pairs_are_one_text_against_others_or_as_many_against_as_many():
    assert parse(ScoreRequest, b'{"text_1": "a", "text_2": ["b", "c"]}', 9).pairs == [("a", "b"), ("a", "c")]
    assert parse(ScoreRequest, b'{"text_1": ["a", "b"], "text_2": ["c", "d"]}', 9).pairs == [("a", "c"), ("b", "d")]
    assert parse(ScoreRequest, b'{"text_1": "a", "text_2": "b"}', 9).pairs == [("a", "b")]


def test_both_spellings_and_both_forms_of_documents_are_taken():
    assert parse(RerankRequest, b'{"query": "a", "chunks": [], "top_n": 3}', 9).top_n == 3
    assert parse(RerankRequest, b'{"query": "a", "chunks": [], "topN": 3}', 9).top_n == 3
    asked = parse(RerankV1Request, b'{"query": "a", "documents": ["b", {"text": "c"}], "model": "any"}', 9)
    assert asked.texts == ["b", "c"]
    assert parse(EmbeddingsRequest, b'{"input": "a"}', 9).texts == ["a"]
    assert parse(EmbeddingsRequest, b'{"input": ["a", "b"]}', 9).texts == ["a", "b"]


def test_equal_scores_keep_their_order():
    assert ranked([0.5, 2.0, 0.5, -1.0], None) == [1, 0, 2, 3]
    assert ranked([0.5, 2.0, 0.5, -1.0], 2) == [1, 0]
    assert ranked([0.5, 2.0, 0.5, -1.0], 0) == [1, 0, 2, 3]
    assert ranked([], 3) == []


@pytest.mark.parametrize("score", [-1e308, -800.0, -1.5, 0.0, 1.5, 800.0, 1e308])
def test_relevance_is_the_sigmoid_for_any_score(score):
    expected = 1 / (1 + math.exp(-score)) if abs(score) < 700 else float(score > 0)
    assert relevance(score) == pytest.approx(expected, abs=1e-12)


def test_vectors_are_written_as_numbers_or_as_base64_of_float32():
    vector = np.array([0.1, -2.5], dtype=np.float32)
    assert render({"v": written(vector, "float")}) == b'{"v":[0.1,-2.5]}'
    assert struct.unpack("<2f", base64.b64decode(written(vector, "base64"))) == pytest.approx((0.1, -2.5))
