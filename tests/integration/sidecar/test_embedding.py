"""``/embed`` and ``/rerank`` with small models, loaded by the real code, beside FlagEmbedding's own answers."""

import asyncio
import contextlib
import gzip
import json
import socket

import numpy as np
import pytest

from sidecar.api.app_keys import EMBEDDER, METRICS, RETRIEVAL_ANSWERS, RETRIEVAL_BODIES
from sidecar.retrieval.model import Tokens
from tests.conftest import until
from tests.integration.sidecar.retrieving import loaded, post
from tools.fakes import model_texts

pytestmark = pytest.mark.asyncio(loop_scope="module")

THAI = "ขอส่งเอกสารเพื่อพิจารณาอนุมัติ"
EMOJI = "👩‍👩‍👧‍👦 done ✅"
TEXTS = [*model_texts.texts(12, 1, 60), THAI, EMOJI, "a", " ", "\u0000\u200b", "A" * 300]


@pytest.fixture(scope="session")
def flag_embedder(models):
    from FlagEmbedding import BGEM3FlagModel  # noqa: PLC0415 - seconds, and only these tests need it

    return BGEM3FlagModel(str(models.embedder), use_fp16=False, devices="cpu")


@pytest.fixture(scope="session")
def flag_reranker(models):
    from FlagEmbedding import FlagReranker  # noqa: PLC0415 - likewise

    return FlagReranker(str(models.reranker), use_fp16=False, devices="cpu")


@pytest.fixture(scope="session")
def flag_embeddings(flag_embedder):
    return flag_embedder.encode(TEXTS, return_dense=True, return_sparse=True, max_length=8192)


def cosine(one, other):
    return float(np.dot(one, other) / np.linalg.norm(one) / np.linalg.norm(other))


@pytest.mark.asyncio(loop_scope="function")
@pytest.mark.parametrize(("dtype", "least_cosine", "most_off"), [("float32", 0.99999, 1e-4), ("bfloat16", 0.999, 0.03)])
async def test_embeddings_are_those_of_flagembedding(start, models, flag_embeddings, dtype, least_cosine, most_off):
    running = await loaded(await start(**models.environment | {"RETRIEVAL_DTYPE": dtype}))
    status, answer = await post(running, "/embed", {"texts": TEXTS})
    assert status == 200
    for theirs, weights, ours in zip(
        flag_embeddings["dense_vecs"], flag_embeddings["lexical_weights"], answer["embeddings"], strict=True
    ):
        assert cosine(theirs, ours["dense"]) >= least_cosine
        assert np.linalg.norm(ours["dense"]) == pytest.approx(1, abs=1e-5)
        found = dict(zip(ours["sparse"]["indices"], ours["sparse"]["values"], strict=True))
        expected = {int(token): float(weight) for token, weight in weights.items()}
        assert ours["sparse"]["indices"] == sorted(found)
        every = found.keys() | expected.keys()
        assert max((abs(found.get(token, 0) - expected.get(token, 0)) for token in every), default=0) <= most_off
        assert min(found.values(), default=1) > 0


@pytest.mark.asyncio(loop_scope="function")
@pytest.mark.parametrize(("dtype", "most_off"), [("float32", 1e-4), ("bfloat16", 0.05)])
async def test_scores_are_those_of_flagembedding(start, models, flag_reranker, dtype, most_off):
    running = await loaded(await start(**models.environment | {"RETRIEVAL_DTYPE": dtype}))
    # FlagEmbedding's way over text, which it goes with transformers 5, loses unknown tokens and white space.
    chunks = [text for text in TEXTS if text.strip() and 3 not in flag_reranker.tokenizer(text)["input_ids"]]
    assert len(chunks) >= 12
    theirs = flag_reranker.compute_score([(THAI, chunk) for chunk in chunks])
    status, answer = await post(running, "/rerank", {"query": THAI, "chunks": chunks})
    assert status == 200
    assert answer["scores"] == pytest.approx(theirs, abs=most_off)
    assert answer["ranked_indices"] == sorted(range(len(chunks)), key=lambda place: -answer["scores"][place])
    assert answer["rankedIndices"] == answer["ranked_indices"]


async def test_scores_are_those_of_the_model_for_any_text_long_ones_too(shared_retrieving, flag_reranker):
    chunks = [*TEXTS, *model_texts.texts(2, 500, 600)]
    theirs = []
    for chunk in chunks:
        pair = flag_reranker.tokenizer(THAI, chunk, truncation="only_second", max_length=512, return_tensors="pt")
        theirs.append(flag_reranker.model(**pair).logits.item())
    _, answer = await post(shared_retrieving, "/rerank", {"query": THAI, "chunks": chunks})
    assert answer["scores"] == pytest.approx(theirs, abs=1e-4)
    assert answer["truncated"] is True


async def test_the_kept_contract_has_its_shape(shared_retrieving, models):
    status, answer = await post(shared_retrieving, "/embed", {"text": "a contract"})
    assert (status, answer.keys()) == (200, {"dense", "sparse", "device", "reason", "truncated"})
    assert len(answer["dense"]) == 32
    assert answer["sparse"].keys() == {"indices", "values"}
    assert (answer["device"], answer["reason"], answer["truncated"]) == ("cpu", "cuda-not-available", False)
    status, answer = await post(shared_retrieving, "/rerank", {"query": "a", "chunks": ["b", "c"]})
    assert status == 200
    assert answer.keys() == {"scores", "ranked_indices", "rankedIndices", "device", "reason", "truncated"}
    assert sorted(answer["ranked_indices"]) == [0, 1]
    assert all(isinstance(score, float) for score in answer["scores"])


async def test_many_texts_are_answered_as_each_alone(shared_retrieving):
    _, together = await post(shared_retrieving, "/embed", {"texts": TEXTS[:6]})
    for text, one in zip(TEXTS[:6], together["embeddings"], strict=True):
        _, alone = await post(shared_retrieving, "/embed", {"text": text})
        assert cosine(alone["dense"], one["dense"]) >= 0.99999
        assert alone["sparse"]["indices"] == one["sparse"]["indices"]


async def test_a_token_that_the_model_does_not_know_is_refused_before_a_gpu_would_meet_it(shared_retrieving):
    with pytest.raises(ValueError, match="does not know"):
        shared_retrieving.service.api[EMBEDDER].keeper.model.cpu.run([Tokens([0, 10**6, 2])], lambda: True)


async def test_a_text_that_is_too_long_is_cut_and_says_so_or_is_refused(shared_retrieving):
    long = " ".join(model_texts.words(1, 5) * 9000)
    status, answer = await post(shared_retrieving, "/embed", {"texts": [long, "short"]})
    assert status == 200
    assert [one["truncated"] for one in answer["embeddings"]] == [True, False]
    status, answer = await post(shared_retrieving, "/embed", {"texts": ["short", long], "truncate": False})
    assert (status, answer["code"]) == (422, "invalid_value")
    assert answer["detail"] == (
        "text 1 of the request, from 0, has more than 8192 tokens, which is the limit, and truncate is false"
    )


@pytest.mark.asyncio(loop_scope="function")
async def test_with_512_tokens_a_long_text_has_the_vectors_that_flagembedding_gives_as_it_comes(
    start, models, flag_embedder
):
    """As the service called it that this one replaces: its vectors in a store stay comparable."""
    (long,) = model_texts.texts(1, 600, 700)
    theirs = flag_embedder.encode([long], return_dense=True, return_sparse=True)
    same = await loaded(await start(**models.environment, RETRIEVAL_MAX_TOKENS="512"))
    _, short = await post(same, "/embed", {"text": long})
    assert cosine(theirs["dense_vecs"][0], short["dense"]) >= 0.99999
    assert {str(token) for token in short["sparse"]["indices"]} == theirs["lexical_weights"][0].keys()
    assert short["truncated"] is True
    _, whole = await post(await loaded(await start(**models.environment)), "/embed", {"text": long})
    assert cosine(theirs["dense_vecs"][0], whole["dense"]) < 0.99999
    assert whole["truncated"] is False


async def test_top_n_ranks_the_best_only(shared_retrieving):
    body = {"query": "a", "chunks": TEXTS[:5]}
    _, every = await post(shared_retrieving, "/rerank", body)
    for name in ("topN", "top_n"):
        _, best = await post(shared_retrieving, "/rerank", body | {name: 2})
        assert best["scores"] == pytest.approx(every["scores"], abs=1e-5)
        assert best["ranked_indices"] == best["rankedIndices"] == every["ranked_indices"][:2]


@pytest.mark.asyncio(loop_scope="function")
async def test_no_chunks_are_answered_without_a_model(start):
    running = await start()
    status, answer = await post(running, "/rerank", {"query": "a", "chunks": []})
    assert (status, answer["scores"], answer["ranked_indices"], answer["device"]) == (200, [], [], "cpu")
    status, answer = await post(running, "/v1/rerank", {"query": "a", "documents": []})
    assert (status, answer["results"]) == (200, [])


ONE_MB = "wording " * 131_072


async def test_a_text_of_a_megabyte_is_cut_in_bounded_time(shared_retrieving):
    status, answer = await post(shared_retrieving, "/rerank", {"query": ONE_MB, "chunks": [ONE_MB, "short"]})
    assert (status, answer["truncated"], len(answer["scores"])) == (200, True, 2)


async def test_a_request_outside_the_contract_is_refused_by_name(shared_retrieving):
    status, answer = await post(shared_retrieving, "/embed", {"text": 5})
    assert (status, answer["code"]) == (422, "invalid_value")
    assert answer["detail"] == "text is 5, accepted: text"
    status, answer = await post(shared_retrieving, "/v1/embeddings", {"input": "a", "dimensions": 8})
    assert status == 422
    assert answer["detail"] == "dimensions is 8, this model has 32 and cannot give fewer"


async def test_keep_alive_is_refused_here_too(shared_retrieving):
    status, answer = await post(shared_retrieving, "/embed", {"text": "a", "keepAlive": 5})
    assert (status, answer["code"]) == (400, "keep_alive_refused")


@pytest.mark.asyncio(loop_scope="function")
async def test_a_body_over_the_limit_is_refused_declared_or_not(start, models):
    running = await start(RETRIEVAL_MAX_BODY_BYTES="1024")

    async def undeclared():
        yield b" " * 700
        yield b" " * 700

    for data in (b" " * 1025, undeclared()):
        async with running.client.post(f"{running.url}/embed", data=data) as response:
            assert (response.status, (await response.json())["code"]) == (413, "too_large")


@pytest.mark.asyncio(loop_scope="function")
async def test_without_a_key_nothing_is_embedded(start):
    running = await start(OCR_AUTH_MODE="api-key", OCR_SIDECAR_API_KEY="k")
    for path in ("/embed", "/rerank", "/v1/embeddings", "/v1/rerank", "/v2/rerank"):
        status, answer = await post(running, path, {})
        assert (status, answer["code"]) == (401, "unauthorized")


async def test_a_connection_stays_open_from_one_text_to_the_next(shared_retrieving):
    host, port = shared_retrieving.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for text in ("a", "b"):
        body = json.dumps({"text": text}).encode()
        writer.write(b"POST /embed HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"Content-Type: application/json" in head
        length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
        assert json.loads(await reader.readexactly(length))["device"] == "cpu"
    writer.close()


async def test_a_query_that_is_too_long_is_cut_and_says_so(shared_retrieving):
    body = {"query": " ".join(model_texts.words(400)), "chunks": ["short"]}
    status, answer = await post(shared_retrieving, "/rerank", body)
    assert (status, answer["truncated"]) == (200, True)
    status, answer = await post(shared_retrieving, "/rerank", body | {"truncate": False})
    assert (status, answer["code"]) == (422, "invalid_value")


@pytest.mark.asyncio(loop_scope="function")
async def test_bodies_that_never_arrive_hold_no_more_memory_than_they_may(start):
    running = await start(RETRIEVAL_MAX_BODIES_BYTES="1024")
    host, port = running.url.removeprefix("http://").split(":")
    _, stalled = await asyncio.open_connection(host, int(port))
    stalled.write(b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n" + b" " * 900)
    await until(lambda: running.service.api[RETRIEVAL_BODIES].admitted == 900)

    async with running.client.post(f"{running.url}/embed", data=b'{"text": "%s"}' % (b"a" * 200)) as response:
        assert (response.status, (await response.json())["code"]) == (429, "queue_full")
        assert response.headers["Retry-After"] == "1"
    async with running.client.post(f"{running.url}/rerank", data=b'{"query": "a", "chunks": []}') as response:
        assert response.status == 200  # there is room for that one

    stalled.transport.abort()
    await until(lambda: running.service.api[RETRIEVAL_BODIES].admitted == 0)


@pytest.mark.asyncio(loop_scope="function")
async def test_a_body_that_is_only_announced_holds_nothing(start):
    """Its length is what somebody says who may never send it; proxies do not even say it."""
    running = await start(RETRIEVAL_MAX_BODIES_BYTES="1024")
    host, port = running.url.removeprefix("http://").split(":")
    _, stalled = await asyncio.open_connection(host, int(port))
    stalled.write(b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n{")
    await until(lambda: running.service.api[RETRIEVAL_BODIES].admitted == 1)

    async def undeclared():
        yield b'{"query": "a", '
        yield b'"chunks": []}'

    async def ask():
        async with running.client.post(f"{running.url}/rerank", data=undeclared()) as response:
            return response.status

    assert await asyncio.gather(*(ask() for _ in range(20))) == [200] * 20
    stalled.transport.abort()


@pytest.mark.asyncio(loop_scope="function")
async def test_a_compressed_body_is_refused(start):
    """It would be larger in memory than anybody has counted."""
    running = await start()
    body = gzip.compress(b'{"query": "a", "chunks": []}')
    headers = {"Content-Encoding": "gzip"}
    async with running.client.post(f"{running.url}/rerank", data=body, headers=headers) as response:
        assert (response.status, (await response.json())["code"]) == (415, "unsupported_media_type")


@pytest.mark.asyncio(loop_scope="function")
async def test_a_caller_that_does_not_read_its_answer_is_broken_off(start, models):
    running = await loaded(await start(**models.environment | {"OCR_RECEIVE_SECONDS": "0.5"}))
    answers = running.service.api[RETRIEVAL_ANSWERS]
    host, port = running.url.removeprefix("http://").split(":")
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(deaf, (host, int(port)))
        body = json.dumps({"texts": ["a"] * 2048}).encode()
        head = f"POST /embed HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        await loop.sock_sendall(deaf, (head + body) * 16)  # the kernel takes the first few of their answers
        await until(lambda: answers.admitted > 20 * len(body), 30)  # an answer is counted while it is sent
        await until(lambda: answers.admitted == 0, 30)
        taken = b""
        async with asyncio.timeout(30):
            with contextlib.suppress(ConnectionResetError):
                while more := await loop.sock_recv(deaf, 1 << 20):
                    taken += more
    # What the kernel had taken is all that comes: the answer that was being sent has no end.
    assert taken.count(b"HTTP/1.1 200 ") == taken.count(b'"cuda-not-available"') + 1
    requests = running.service.api[METRICS].registry.get_sample_value
    assert requests("ocr_http_requests_total", {"route": "/embed", "method": "POST", "status": "499"}) == 1


async def test_cohere_s_newer_clients_find_it_where_they_look(shared_retrieving):
    body = {"query": "a", "documents": ["b", "c"], "model": "rerank-v3.5", "top_n": 1, "max_tokens_per_doc": None}
    status, answer = await post(shared_retrieving, "/v2/rerank", body)
    _, first = await post(shared_retrieving, "/v1/rerank", body)
    assert status == 200
    assert answer["results"] == first["results"]
