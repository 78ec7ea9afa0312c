"""What clients of other services send to embed and rerank, and how they are answered."""

import numpy as np
import pytest

from sidecar.api.app_keys import METRICS
from sidecar.wire.body import IDS_REFUSED
from tests.integration.sidecar.retrieving import post
from tools.fakes import model_texts

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXTS = model_texts.texts(3, 3, 20)


async def plain(running):
    _, answer = await post(running, "/embed", {"texts": TEXTS})
    return answer["embeddings"]


async def test_unknown_fields_are_ignored_and_named_in_a_header(shared_retrieving):
    count = shared_retrieving.service.api[METRICS].registry.get_sample_value
    labels = {"code": "unknown-field"}
    before = count("ocr_warnings_total", labels) or 0
    for path, body in (
        ("/v1/embeddings", {"input": "a", "task": "retrieval.query", "input_type": "query"}),
        ("/v2/rerank", {"query": "a", "documents": ["b"], "return_len": 1, "truncate_prompt_tokens": 512}),
        ("/rerank", {"query": "a", "chunks": ["b"], "prefix": "x", "odd, \r\n name": 1}),
        ("/embed", {"inputs": "a", "normalize": True}),
    ):
        async with shared_retrieving.client.post(f"{shared_retrieving.url}{path}", json=body) as response:
            assert response.status == 200
            named = response.headers["X-Ignored-Fields"]
        assert (
            named
            == {
                "/v1/embeddings": "task, input_type",
                "/v2/rerank": "return_len, truncate_prompt_tokens",
                "/rerank": "prefix, odd?????name",
                "/embed": "normalize",
            }[path]
        )
    assert count("ocr_warnings_total", labels) == before + 4
    async with shared_retrieving.client.post(f"{shared_retrieving.url}/embed", json={"text": "a"}) as response:
        assert "X-Ignored-Fields" not in response.headers


async def test_inputs_are_answered_with_plain_arrays(shared_retrieving):
    ours = await plain(shared_retrieving)
    status, vectors = await post(shared_retrieving, "/embed", {"inputs": TEXTS})
    assert status == 200
    assert np.allclose(vectors, [one["dense"] for one in ours], atol=1e-5)
    _, single = await post(shared_retrieving, "/embed", {"inputs": TEXTS[0]})
    assert np.allclose(single, vectors[:1], atol=1e-5)
    _, sparse = await post(shared_retrieving, "/embed_sparse", {"inputs": TEXTS})
    for one, entries in zip(ours, sparse, strict=True):
        assert [entry["index"] for entry in entries] == one["sparse"]["indices"]
        assert np.allclose([entry["value"] for entry in entries], one["sparse"]["values"], atol=1e-4)


async def test_every_token_has_its_vector_as_flagembedding_gives_it(shared_retrieving, models):
    from FlagEmbedding import BGEM3FlagModel  # noqa: PLC0415 - seconds, and only this test needs it

    flag = BGEM3FlagModel(str(models.embedder), use_fp16=False, devices="cpu")
    theirs = flag.encode(TEXTS, return_colbert_vecs=True, max_length=8192)["colbert_vecs"]
    status, ours = await post(shared_retrieving, "/embed_all", {"inputs": TEXTS})
    assert status == 200
    for one, other in zip(ours, theirs, strict=True):
        assert np.allclose(one, other, atol=1e-4)
    long = " ".join(model_texts.words(1, 5) * 3000)
    status, answer = await post(shared_retrieving, "/embed_all", {"inputs": long})
    assert status == 422
    assert answer["detail"].endswith("the limit for a vector of each is 2048")


async def test_rerank_answers_each_convention_in_its_own_shape(shared_retrieving):
    _, ours = await post(shared_retrieving, "/rerank", {"query": "what", "chunks": TEXTS})
    _, theirs = await post(
        shared_retrieving, "/rerank", {"query": "what", "documents": [TEXTS[0], {"text": TEXTS[1]}, TEXTS[2]]}
    )
    assert [one["index"] for one in theirs["results"]] == ours["ranked_indices"]
    _, ranks = await post(shared_retrieving, "/rerank", {"query": "what", "texts": TEXTS, "raw_scores": True})
    assert [one["index"] for one in ranks] == ours["ranked_indices"]
    assert [one["score"] for one in ranks] == pytest.approx(sorted(ours["scores"], reverse=True), abs=1e-5)
    _, ranks = await post(shared_retrieving, "/rerank", {"query": "what", "texts": TEXTS, "return_text": True})
    assert [one["text"] for one in ranks] == [TEXTS[one["index"]] for one in ranks]
    assert [one["score"] for one in ranks] == pytest.approx(
        [one["relevance_score"] for one in theirs["results"]], abs=1e-6
    )
    _, best = await post(shared_retrieving, "/rerank", {"query": "what", "texts": TEXTS, "top_n": 1})
    assert [one["index"] for one in best] == ours["ranked_indices"][:1]
    _, every = await post(shared_retrieving, "/rerank", {"query": "what", "documents": TEXTS, "top_n": 0})
    assert len(every["results"]) == 3  # as if it were not set


async def test_voyage_s_word_is_answered_in_voyage_s_shape_too(shared_retrieving):
    body = {"query": "what", "documents": TEXTS, "top_k": 2, "return_documents": True}
    _, answer = await post(shared_retrieving, "/v1/rerank", body)
    assert [one["document"] for one in answer["data"]] == [TEXTS[one["index"]] for one in answer["results"]]
    assert len(answer["data"]) == 2
    _, answer = await post(shared_retrieving, "/v1/rerank", {"query": "what", "documents": TEXTS})
    assert "data" not in answer


async def test_pairs_are_scored(shared_retrieving):
    _, ours = await post(shared_retrieving, "/rerank", {"query": "what", "texts": TEXTS})
    by_index = {one["index"]: one["score"] for one in ours}
    for path in ("/score", "/v1/score"):
        status, answer = await post(shared_retrieving, path, {"model": "any", "text_1": "what", "text_2": TEXTS})
        assert status == 200
        assert [one["score"] for one in answer["data"]] == pytest.approx([by_index[i] for i in range(3)], abs=1e-5)


async def test_tokens_are_those_that_are_embedded(shared_retrieving):
    _, (pieces,) = await post(shared_retrieving, "/tokenize", {"inputs": TEXTS[0]})
    assert (pieces[0]["text"], pieces[-1]["text"]) == ("<s>", "</s>")
    assert [one["special"] for one in pieces] == [True, *[False] * (len(pieces) - 2), True]
    assert all(TEXTS[0][one["start"] : one["stop"]] == one["text"] for one in pieces[1:-1])
    _, answer = await post(shared_retrieving, "/tokenize", {"prompt": TEXTS[0], "model": "any"})
    assert answer == {"count": len(pieces), "max_model_len": 8192, "tokens": [one["id"] for one in pieces]}
    _, (bare,) = await post(shared_retrieving, "/tokenize", {"inputs": TEXTS[0], "add_special_tokens": False})
    assert bare == pieces[1:-1]
    _, embedded = await post(shared_retrieving, "/v1/embeddings", {"input": TEXTS[0]})
    assert embedded["usage"]["total_tokens"] == len(pieces)


async def test_the_models_are_listed_with_and_without_v1(shared_retrieving):
    for path in ("/v1/models", "/models"):
        async with shared_retrieving.client.get(f"{shared_retrieving.url}{path}") as response:
            assert [one["id"] for one in (await response.json())["data"]] == ["embedder", "reranker"]
    async with shared_retrieving.client.get(f"{shared_retrieving.url}/info") as response:
        info = await response.json()
    assert (info["model_id"], info["max_input_length"], info["max_client_batch_size"]) == ("embedder", 8192, 2048)


async def test_errors_are_such_as_openai_s_clients_show(shared_retrieving):
    status, answer = await post(shared_retrieving, "/v1/embeddings", {"input": [[101, 102]]})
    assert status == 422
    assert answer["error"] == {
        "message": f"input is not accepted: {IDS_REFUSED}",
        "type": "invalid_request_error",
        "code": "invalid_value",
    }
    assert answer["detail"] == answer["error"]["message"]
    _, answer = await post(shared_retrieving, "/embed", {"text": ""})
    assert "error" not in answer


@pytest.mark.asyncio(loop_scope="function")
async def test_an_unknown_path_of_a_convention_is_answered_in_it(start):
    running = await start(OCR_AUTH_MODE="api-key", OCR_SIDECAR_API_KEY="k")
    status, answer = await post(running, "/v1/chat/completions", {})
    assert (status, answer["error"]["type"]) == (401, "authentication_error")
    status, answer = await post(running, "/v1/chat/completions", {}, **{"X-API-Key": "k"})
    assert (status, answer["error"]["type"]) == (404, "invalid_request_error")


@pytest.mark.asyncio(loop_scope="function")
async def test_the_routes_of_texts_need_a_key_and_no_model_to_be_refused(start):
    running = await start(OCR_AUTH_MODE="api-key", OCR_SIDECAR_API_KEY="k")
    for path, body in (
        ("/embed", {"inputs": "a"}),
        ("/embed_sparse", {"inputs": "a"}),
        ("/embed_all", {"inputs": "a"}),
        ("/embeddings", {"input": "a"}),
        ("/score", {"text_1": "a", "text_2": "b"}),
        ("/tokenize", {"prompt": "a"}),
    ):
        assert (await post(running, path, body))[0] == 401
        status, answer = await post(running, path, body, **{"X-API-Key": "k"})
        assert (status, answer["code"]) == (503, "not_configured")
