"""Texts per second of ``/embed`` and ``/rerank``, beside FlagEmbedding per request, infinity and the bare forward.

All use the same random weights in one run. A round measures each in turn; the service and its reference run in separate
processes, each alone while it is measured.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bench.harness import load
from bench.harness.figure import Figure, at_least, in_turn, rate, ratio
from bench.harness.service import HOST, Service, running_service
from bench.retrieval import infinity
from bench.retrieval.backends import backend_figures
from bench.retrieval.gpu import gpu_figures, line_figures
from bench.retrieval.infinity import running_infinity
from bench.retrieval.pairs import PAIR_CALLERS, Pair, pair_figures
from bench.retrieval.reference import Reference, call, prepare
from sidecar.runtime.cores import usable_cores
from tools.fakes import model_texts, tiny_models
from tools.fakes.model_texts import Shape

SHAPE = Shape(hidden=384, layers=6, heads=6, vocabulary=3000)
CALLERS = 32
TEXTS = 64
LATENCY_CALLERS = (1, 8, 32, 128)
ROUNDS = 3
TARGET = 0.85
TARGET_SINGLE = 1.15
TARGET_INFINITY = 3.0
TARGET_OCR = 0.45
SINGLES = 20
LOADED_S = 120.0
QUERY = "bolu tare simaki"


@dataclass(frozen=True, slots=True)
class Bench:
    """What is measured: a service with loaded models, a process with the same ones, and the texts."""

    service: Service
    models: dict[str, Path]
    reference: ProcessPoolExecutor
    texts: Sequence[str]

    def ask(self, what: str, route: str, texts: Sequence[str], callers: int = 1) -> float:
        """Have the other process measure something; return seconds."""
        return self.reference.submit(call, what, route, texts, callers).result()


def run(*, quick: bool) -> list[Figure]:
    rounds, count = (1, CALLERS) if quick else (ROUNDS, TEXTS)
    with _bench(model_texts.texts(count)) as bench:
        figures = _throughput(bench, rounds, "embed") + _throughput(bench, rounds, "rerank")
        figures += _single(bench, 3 * rounds, "embed") + _single(bench, 3 * rounds, "rerank")
        figures += _beside_infinity(bench, rounds)
        figures += _latencies(bench, quick=quick)
        figures += _beside_ocr(bench, rounds)
        requests = {route: [make([text]) for text in bench.texts] for route, make in REQUESTS.items()}
        figures += backend_figures(bench.models, requests, CALLERS, rounds, _wait_until_loaded)
        figures += pair_figures(bench.service.port, _pairs(bench.texts), rounds)
    return figures + line_figures(quick=quick) + gpu_figures(quick=quick)


@contextmanager
def _bench(texts: Sequence[str]) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="ocr-sidecar-models-") as name, _process() as pool:
        folder = Path(name)
        embedder = pool.submit(tiny_models.make_embedder, folder / "embedder", SHAPE).result()
        shape = Shape(SHAPE.hidden, SHAPE.layers, SHAPE.heads, SHAPE.vocabulary, positions=514)
        reranker = pool.submit(tiny_models.make_reranker, folder / "reranker", shape).result()
        pool.submit(prepare, Reference(str(embedder), str(reranker), usable_cores())).result()
        models = {"BGE_M3_MODEL": embedder, "RERANKER_MODEL": reranker}
        settings = {name: str(path) for name, path in models.items()}
        with running_service(**settings, RETRIEVAL_DEVICE="cpu", RETRIEVAL_BACKEND="torch") as service:
            _wait_until_loaded(service)
            yield Bench(service, models, pool, texts)


@contextmanager
def _process() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        yield pool


def _wait_until_loaded(service: Service) -> None:
    deadline = time.monotonic() + LOADED_S
    for request in (_embed_request(["warm up"]), _rerank_request(["warm up"])):
        while asyncio.run(_ask(service, request)).status != 200:
            if time.monotonic() > deadline:
                raise RuntimeError("the models are not loaded")
            time.sleep(0.25)


async def _ask(service: Service, request: bytes) -> load.Reply:
    async with load.Connection.open(service.port) as connection:
        return await connection.ask(request)


# ── what is measured ──────────────────────────────────────────────────────────────────────────────────────────────


def _throughput(bench: Bench, rounds: int, route: str) -> list[Figure]:
    """Compare texts per second of this many callers, each sending one text at a time, and of one who sends all."""
    texts = bench.texts
    one_each = [REQUESTS[route]([text]) for text in texts]
    together = [REQUESTS[route](texts)]

    def service(requests: Sequence[bytes]) -> Callable[[], float]:
        return lambda: len(texts) / load.seconds_for(bench.service.port, requests, CALLERS)

    def reference(what: str) -> Callable[[], float]:
        return lambda: len(texts) / bench.ask(what, route, texts, CALLERS)

    ours, array, flag, bare32, bare16 = in_turn(
        rounds, service(one_each), service(together), reference("flag"), reference("float32"), reference("bfloat16")
    )
    of_bare, shown = ratio(ours, bare16)
    of_array, shown_array = ratio(array, bare16)
    return [
        Figure(f"{route}: {CALLERS} callers, one text each", rate(ours, "texts/s")),
        Figure(f"{route}: {len(texts)} texts in one request", rate(array, "texts/s")),
        Figure(f"{route}: FlagEmbedding, one call a text", rate(flag, "texts/s")),
        Figure(f"{route}: bare forward by length, float32", rate(bare32, "texts/s")),
        Figure(f"{route}: bare forward by length, bfloat16", rate(bare16, "texts/s")),
        at_least(f"{route}: {CALLERS} callers, of bare bfloat16", shown, of_bare, TARGET),
        at_least(f"{route}: one request, of bare bfloat16", shown_array, of_array, TARGET),
        Figure(f"{route}: {CALLERS} callers, of FlagEmbedding", ratio(ours, flag)[1]),
    ]


def _single(bench: Bench, rounds: int, route: str) -> list[Figure]:
    """Compare the latency of one caller with that of one bare forward."""
    texts = bench.texts[:SINGLES]
    requests = [REQUESTS[route]([text]) for text in texts]

    def service() -> float:
        return load.seconds_for(bench.service.port, requests, 1) / len(texts) * 1000

    ours, bare = in_turn(rounds, service, lambda: bench.ask("single", route, texts) / len(texts) * 1000)
    slower, shown = ratio(ours, bare)
    reached = slower <= TARGET_SINGLE
    return [
        Figure(f"{route}: one caller", rate(ours, "ms")),
        Figure(f"{route}: one bare forward", rate(bare, "ms")),
        Figure(f"{route}: one caller, of one bare forward", shown, f"<= {TARGET_SINGLE}", reached),
    ]


def _beside_infinity(bench: Bench, rounds: int) -> list[Figure]:
    """Compare texts per second of this many callers with infinity's, in its default and in bfloat16."""
    if not infinity.is_installed():
        return [Figure("infinity", "not installed: make bench-peers")]
    embedder = bench.models["BGE_M3_MODEL"]
    ours = [_embed_request([text]) for text in bench.texts]
    theirs = [infinity.request([text]) for text in bench.texts]

    def pace(port: int, requests: Sequence[bytes]) -> Callable[[], float]:
        return lambda: len(requests) / load.seconds_for(port, requests, CALLERS)

    with running_infinity(embedder, "auto") as plain, running_infinity(embedder, "bfloat16") as half:
        for port in (plain, half):
            pace(port, theirs)()  # warm up
        rates = in_turn(rounds, pace(bench.service.port, ours), pace(plain, theirs), pace(half, theirs))
    of_plain, shown = ratio(rates[0], rates[1])
    return [
        Figure("embed: infinity, as it comes", rate(rates[1], "texts/s")),
        Figure("embed: infinity, bfloat16", rate(rates[2], "texts/s")),
        at_least(f"embed: {CALLERS} callers, of infinity as it comes", shown, of_plain, TARGET_INFINITY),
        Figure(f"embed: {CALLERS} callers, of infinity in bfloat16", ratio(rates[0], rates[2])[1]),
    ]


def _latencies(bench: Bench, *, quick: bool) -> list[Figure]:
    figures = []
    for callers in LATENCY_CALLERS[:2] if quick else LATENCY_CALLERS:
        requests = [_embed_request([text]) for text in (*bench.texts, *bench.texts)][: max(2 * callers, 32)]
        replies = asyncio.run(load.send(bench.service.port, requests, callers))
        taken = sorted(reply.latency_s * 1000 for reply in replies)
        p50, p99 = (taken[int(len(taken) * share)] for share in (0.50, 0.99))
        figures.append(Figure(f"embed: latency at {callers} callers", f"p50 {p50:.0f} ms, p99 {p99:.0f} ms"))
    return figures


def _beside_ocr(bench: Bench, rounds: int) -> list[Figure]:
    """Compare pages per second during continuous embedding with pages per second alone."""
    scans = [load.upload("scan-thai-english.pdf", engine="tesseract")] * (2 * usable_cores())

    def alone() -> float:
        return 3 * len(scans) / load.seconds_for(bench.service.port, scans, len(scans))

    embedded: list[float] = []

    def beside() -> float:
        pages, texts = asyncio.run(_pages_while_embedding(bench, scans))
        embedded.append(texts)
        return pages

    def texts_alone() -> float:
        requests = [_embed_request([text]) for text in bench.texts]
        return len(requests) / load.seconds_for(bench.service.port, requests, CALLERS)

    single, shared, texts = in_turn(rounds, alone, beside, texts_alone)
    share, shown = ratio(shared, single)
    return [
        Figure("OCR alone", rate(single, "pages/s")),
        at_least("OCR beside an embed load, of alone", shown, share, TARGET_OCR),
        Figure("embed beside OCR, of alone", ratio(embedded, texts)[1]),
    ]


async def _pages_while_embedding(bench: Bench, scans: Sequence[bytes]) -> tuple[float, float]:
    """Return pages a second, and texts a second."""
    reading = True

    def texts() -> Iterator[bytes]:
        while reading:
            yield from (_embed_request([text]) for text in bench.texts)

    def until_read() -> Iterator[bytes]:
        for request in texts():
            if not reading:
                return
            yield request

    embedding = asyncio.create_task(load.send(bench.service.port, until_read(), CALLERS))
    started = time.perf_counter()
    await load.send(bench.service.port, scans, len(scans))
    taken_s = time.perf_counter() - started
    reading = False
    replies = await embedding
    return 3 * len(scans) / taken_s, len(replies) / (time.perf_counter() - started)


def _pairs(texts: Sequence[str]) -> list[Pair]:
    """List who is measured alone and beside whom: each model beside the other, and beside pages."""
    lone = {route: [request([text]) for text in texts[:SINGLES]] for route, request in REQUESTS.items()}
    loads = {route: [request([text]) for text in texts] for route, request in REQUESTS.items()}
    scans = [load.upload("scan-thai-english.pdf", engine="tesseract")] * (2 * usable_cores())
    return [
        Pair("embed beside rerank", lone["embed"], loads["rerank"], PAIR_CALLERS),
        Pair("rerank beside embed", lone["rerank"], loads["embed"], PAIR_CALLERS),
        Pair("embed beside OCR", lone["embed"], scans, len(scans)),
        Pair("rerank beside OCR", lone["rerank"], scans, len(scans)),
    ]


# ── requests ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _embed_request(texts: Sequence[str]) -> bytes:
    return _post("/embed", {"texts": texts} if len(texts) > 1 else {"text": texts[0]})


def _rerank_request(texts: Sequence[str]) -> bytes:
    return _post("/rerank", {"query": QUERY, "chunks": texts})


REQUESTS = {"embed": _embed_request, "rerank": _rerank_request}


def _post(path: str, body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data
