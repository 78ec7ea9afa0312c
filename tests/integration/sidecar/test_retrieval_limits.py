"""What embedding and reranking refuse at once, and what they wait for."""

import asyncio
import json
import re
import socket
import subprocess
import sys
import threading
import time

import pytest

from sidecar.api.app_keys import EMBEDDER, RETRIEVAL_ANSWERS
from sidecar.api.deliver import READ_BYTES_PER_S, time_for_slice_s
from sidecar.retrieval.bge.tokenizer import TOKEN_CHARS
from tests.conftest import until
from tests.integration.sidecar.retrieving import loaded, post, slowed
from tools.fakes import model_texts
from tools.fakes.model_texts import NAN_TOKEN


class Plodding:
    """A copy that takes a while for each batch, as a large model on a small machine does."""

    device = "cpu"

    def __init__(self, copy, takes_s):
        self.copy = copy
        self.takes_s = takes_s
        self.batches = 0

    def run(self, batch, is_wanted):
        self.batches += 1
        time.sleep(self.takes_s)
        return self.copy.run(batch, is_wanted)


async def plodding(start, models, takes_s, **settings):
    """Start a service that computes one short text at a time."""
    one_at_a_time = {"RETRIEVAL_THREADS": "1", "RETRIEVAL_BATCH_TOKENS": "16", "RETRIEVAL_MAX_PADDING": "0"}
    running = await loaded(await start(**models.environment | one_at_a_time | settings))
    model = running.service.api[EMBEDDER].keeper.model
    model.cpu = Plodding(model.cpu, takes_s)
    return running


TEXT = " ".join(model_texts.words(10))


async def test_an_array_is_computed_to_its_end_however_long_it_takes_while_it_gets_on(start, models):
    running = await plodding(start, models, 0.1, RETRIEVAL_TIMEOUT_SECONDS="0.5")
    status, answer = await post(running, "/embed", {"texts": [TEXT] * 12})
    assert (status, len(answer["embeddings"])) == (200, 12)


async def test_what_cannot_be_answered_in_time_is_refused_at_once_with_the_estimate(start, models):
    running = await plodding(start, models, 0.1, RETRIEVAL_TIMEOUT_SECONDS="0.5")
    embedder = running.service.api[EMBEDDER]
    assert (await post(running, "/embed", {"texts": [TEXT] * 10}))[0] == 200  # so the pace is known
    before = embedder.keeper.model.cpu.batches
    status, answer = await post(running, "/embed", {"texts": [TEXT] * 500})
    assert (status, answer["code"]) == (422, "invalid_value")
    assert answer["detail"].startswith("the texts would take about ")
    assert answer["detail"].endswith(" s here, the limit is 10 s: send fewer at a time")
    assert embedder.keeper.model.cpu.batches == before

    array = asyncio.create_task(post(running, "/embed", {"texts": [TEXT] * 20}))
    await until(lambda: embedder.batcher.waiting > 10)
    async with running.client.post(f"{running.url}/embed", json={"texts": [TEXT] * 21}) as response:
        assert (response.status, (await response.json())["code"]) == (429, "queue_full")
        assert 1 <= int(response.headers["Retry-After"]) <= 10
    assert (await post(running, "/embed", {"text": TEXT}))[0] == 200  # it comes before the array
    assert not array.done()
    assert (await array)[0] == 200


async def test_other_dimensions_are_refused_before_anything_is_computed(start, models):
    running = await plodding(start, models, 0)
    body = {"input": ["a"] * 100, "dimensions": 8}
    status, answer = await post(running, "/v1/embeddings", body)
    assert (status, answer["detail"]) == (422, "dimensions is 8, this model has 32 and cannot give fewer")
    assert running.service.api[EMBEDDER].keeper.model.cpu.batches == 0
    assert (await post(running, "/v1/embeddings", body | {"dimensions": 32}))[0] == 200


@pytest.mark.asyncio(loop_scope="module")
async def test_a_query_that_may_not_be_cut_is_called_the_query(shared_retrieving):
    body = {"query": " ".join(model_texts.words(400)), "chunks": ["short", "other"], "truncate": False}
    status, answer = await post(shared_retrieving, "/rerank", body)
    assert (status, answer["detail"]) == (
        422,
        "the query has more than 384 tokens, which is the limit, and truncate is false",
    )
    body = {"query": "short", "chunks": ["short", " ".join(model_texts.words(600))], "truncate": False}
    status, answer = await post(shared_retrieving, "/rerank", body)
    assert answer["detail"].startswith("text 1 of the request, from 0, has more than 512 tokens")


@pytest.mark.asyncio(loop_scope="module")
async def test_all_texts_without_numbers_are_named(shared_retrieving):
    texts = ["good", NAN_TOKEN, "fine", f"bad {NAN_TOKEN}"]
    status, answer = await post(shared_retrieving, "/embed", {"texts": texts})
    assert (status, answer["detail"]) == (502, "the model gave no numbers for text 1, 3 of the request, from 0")
    _, answer = await post(shared_retrieving, "/embed", {"texts": [NAN_TOKEN] * 12})
    assert answer["detail"] == (
        "the model gave no numbers for text 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and others of the request, from 0"
    )


@pytest.mark.asyncio(loop_scope="module")
async def test_white_space_does_not_take_the_room_of_words(shared_retrieving):
    """Before it is tokenised, a text is cut at 64 characters a token."""
    words = " ".join(model_texts.words(20))
    _, plain = await post(shared_retrieving, "/embed", {"text": f" {words}"})
    status, spaced = await post(shared_retrieving, "/embed", {"text": " " * 600_000 + words})
    assert (status, spaced["truncated"]) == (200, False)
    assert spaced["dense"] == pytest.approx(plain["dense"], abs=1e-5)


async def test_an_answer_that_is_read_slowly_refuses_no_small_request(start, models):
    running = await loaded(await start(**models.environment | {"RETRIEVAL_MAX_BODIES_BYTES": "100000"}))
    answers = running.service.api[RETRIEVAL_ANSWERS]
    host, port = running.url.removeprefix("http://").split(":")
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(deaf, (host, int(port)))
        body = json.dumps({"texts": ["a"] * 2048}).encode()
        head = f"POST /embed HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        await loop.sock_sendall(deaf, (head + body) * 4)  # the kernel takes the first few of their answers
        await until(lambda: answers.admitted > 100_000, 30)
        for path, asked, status in (
            ("/embed", {"texts": ["a"] * 16}, 200),
            ("/rerank", {"query": "a", "chunks": ["b"] * 100}, 200),
            ("/embed", {"texts": ["a"] * 17}, 429),
        ):
            assert (await post(running, path, asked))[0] == status
    await until(lambda: answers.admitted == 0, 30)


@pytest.mark.asyncio(loop_scope="module")
async def test_white_space_hides_no_words_from_tokenize_and_places_are_those_in_the_text(shared_retrieving):
    spaces = " " * 600_000
    _, ((*pieces,),) = await post(
        shared_retrieving, "/tokenize", {"inputs": spaces + "word", "add_special_tokens": False}
    )
    assert "".join(piece["text"] for piece in pieces).strip() == "word"
    assert pieces[-1]["stop"] == len(spaces) + 4


@pytest.mark.asyncio(loop_scope="module")
async def test_a_caller_that_closes_its_sending_side_has_left_and_is_not_answered(shared_retrieving):
    """As the documentation says: nothing tells the two apart until something is written."""
    slow = await slowed(shared_retrieving)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(shared_retrieving.url.rpartition(":")[2]))
    writer.write(b'POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n{"text": "a"}')
    await until(lambda: slow.batches)
    writer.write_eof()
    assert await reader.read() == b""
    embedder = shared_retrieving.service.api[EMBEDDER]
    await until(lambda: not embedder.admission.admitted)
    assert not any(batch.is_wanted() for batch in embedder.batcher.running)
    slow.go.set()
    writer.close()


@pytest.mark.parametrize(
    ("written", "taken_s", "limit_s"),
    [
        (0, 0, 120),
        (10 * READ_BYTES_PER_S, 1, 120),  # fast until now: a pause is allowed
        (10 * READ_BYTES_PER_S, 100, 30),
        (10 * READ_BYTES_PER_S, 131, 0),
        (400 * READ_BYTES_PER_S, 400, 120),
    ],
)
def test_an_answer_must_be_read_at_the_least_pace_apart_from_a_pause(written, taken_s, limit_s):
    assert time_for_slice_s(written, taken_s, stall_s=120) == limit_s


MAPPED = """
import gc, sys
from pathlib import Path
from sidecar.retrieval.bge.loading import LoadOptions
from sidecar.retrieval.bge.models import Reranker

model = Reranker(Path(sys.argv[1]), LoadOptions("bfloat16"))
gc.collect()
print(sum("model.safetensors" in line for line in open("/proc/self/maps")))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_reranker_in_half_precision_leaves_its_file(models):
    """Its head, left a view of the file, kept two gigabytes mapped."""
    command = [sys.executable, "-c", MAPPED, str(models.reranker)]
    told = subprocess.run(command, capture_output=True, check=True, text=True, timeout=120)
    assert told.stdout == "0\n"


LONG = {
    "words": "the contract is signed " * 2000,
    "one word": "a" * 20_000,
    "Thai": "ขอส่งเอกสารเพื่อพิจารณาอนุมัติ" * 500,
    "marks that join their letters": "e\u0302\u0301" * 1000,
    "white space": "a" + " " * 3000 + "b",
    "a few words after white space": "\n \t" * 5000 + "the end",
    "invisible characters": "a\u200b" * 600,
    "short": "a b c",
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("text", LONG.values(), ids=list(LONG))
async def test_a_text_of_which_the_beginning_is_looked_at_has_the_tokens_of_the_whole(shared_retrieving, text):
    tokenizer, limit = shared_retrieving.service.api[EMBEDDER].keeper.model._tokenizer, 50
    whole = tokenizer._backend.encode(re.sub(r"\s{2,}", " ", text), add_special_tokens=False).ids
    ((ids, is_cut),) = tokenizer.ids([text], limit)
    assert ids[:limit] == whole[:limit]
    assert (is_cut or len(ids) > limit) == (len(whole) > limit)
    assert [one.id for one in tokenizer.pieces(text, limit, special=False)] == (
        tokenizer._backend.encode(text, add_special_tokens=False).ids[:limit]
    )


@pytest.mark.asyncio(loop_scope="module")
async def test_characters_that_become_eighteen_are_not_all_made_tokens(shared_retrieving):
    """Eight megabytes of them took a gigabyte, which the process kept."""
    tokenizer, limit = shared_retrieving.service.api[EMBEDDER].keeper.model._tokenizer, 50
    ((ids, is_cut),) = tokenizer.ids(["\ufdfa" * 1_000_000], limit)
    assert is_cut
    assert limit < len(ids) <= limit * TOKEN_CHARS * 18


class Spinner:
    """Another thread of the service, which wants the interpreter all the time."""

    def __init__(self):
        self.cpu_s = 0.0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._spin)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()

    def _spin(self):
        while not self._is_over.is_set():
            self.cpu_s = time.thread_time()


@pytest.mark.alone
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("call", ["ids", "pieces"])
@pytest.mark.parametrize("text", ["\U0001f469\u200d", "a\u0301"], ids=["emoji", "combining marks"])
async def test_a_long_text_leaves_the_interpreter_to_other_threads(shared_retrieving, text, call):
    tokenizer = shared_retrieving.service.api[EMBEDDER].keeper.model._tokenizer
    long = text * 250_000
    with Spinner() as other:
        began_s = time.thread_time()
        found = tokenizer.ids([long], 8192) if call == "ids" else tokenizer.pieces(long, 8192, special=False)
        took_s = time.thread_time() - began_s

    assert found
    assert other.cpu_s > took_s / 2  # with the lock held, a tenth
