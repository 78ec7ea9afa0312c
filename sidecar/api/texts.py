"""Embedding and reranking, one function per endpoint: read, parse, call, render."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel

from sidecar.api import deliver, receive
from sidecar.api.app_keys import DRAIN, EMBEDDER, REQUEST_ID, RERANKER, RETRIEVAL_ANSWERS, RETRIEVAL_BODIES, SETTINGS
from sidecar.api.receive import read_body
from sidecar.retrieval.model import Embedding
from sidecar.retrieval.retriever import Answers
from sidecar.wire import retrieval
from sidecar.wire.common import JSON

Q = TypeVar("Q", bound=BaseModel)

Body = dict[str, Any]

FEW_TEXTS = 16
"""Texts that are embedded however slowly others read: with 1,024 numbers each their answer has 0.4 MB."""


async def embed(request: web.Request) -> web.StreamResponse:
    """Return dense and sparse vectors of one text or of several."""
    return await _answer(request, retrieval.EmbedRequest, _embed)


async def _embed(request: web.Request, asked: retrieval.EmbedRequest) -> Body:
    texts = asked.texts if asked.text is None else [asked.text]
    found = await _embeddings(request, texts or [], truncate=asked.truncate)
    bodies = [
        retrieval.embedding_body(one, truncated=truncated)
        for one, truncated in zip(found.results, found.truncated, strict=True)
    ]
    where = {"device": found.device, "reason": found.reason}
    return {**bodies[0], **where} if asked.texts is None else {"embeddings": bodies, **where}


async def _embeddings(request: web.Request, texts: list[str], *, truncate: bool) -> Answers[Embedding]:
    """Embed texts. While much is being sent, many are refused, whose vectors would be much more; a few never are."""
    if len(texts) > FEW_TEXTS:
        answers = request.app[RETRIEVAL_ANSWERS]
        answers.refuse_unless_fits(request.app[RETRIEVAL_BODIES].admitted, answers.admitted)
    return await request.app[EMBEDDER].answer(texts, truncate=truncate)


async def rerank(request: web.Request) -> web.StreamResponse:
    """Return each chunk's score, and their order."""
    return await _answer(request, retrieval.RerankRequest, _rerank)


async def _rerank(request: web.Request, asked: retrieval.RerankRequest) -> Body:
    found = await _scores(request, asked.query, asked.chunks, truncate=asked.truncate)
    order = retrieval.ranked(found.results, asked.top_n)
    return {
        "scores": found.results,
        "ranked_indices": order,
        "rankedIndices": order,
        "device": found.device,
        "reason": found.reason,
        "truncated": any(found.truncated),
    }


async def v1_embeddings(request: web.Request) -> web.StreamResponse:
    """Return dense vectors, as OpenAI does."""
    return await _answer(request, retrieval.EmbeddingsRequest, _v1_embeddings)


async def _v1_embeddings(request: web.Request, asked: retrieval.EmbeddingsRequest) -> Body:
    embedder = request.app[EMBEDDER]
    if embedder.model:  # else it says itself that it is not there
        retrieval.check_dimensions(asked.dimensions, embedder.model.dimensions)
    found = await _embeddings(request, asked.texts, truncate=asked.truncate)
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": retrieval.written(one.dense, asked.encoding_format),
            "truncated": truncated,
        }
        for index, (one, truncated) in enumerate(zip(found.results, found.truncated, strict=True))
    ]
    return {
        "object": "list",
        "data": data,
        "model": request.app[SETTINGS].bge_m3_name,
        "usage": retrieval.usage(found.tokens),
        "device": found.device,
        "reason": found.reason,
    }


async def v1_rerank(request: web.Request) -> web.StreamResponse:
    """Rank documents, as Cohere and Jina do."""
    return await _answer(request, retrieval.RerankV1Request, _v1_rerank)


async def _v1_rerank(request: web.Request, asked: retrieval.RerankV1Request) -> Body:
    found = await _scores(request, asked.query, asked.texts, truncate=asked.truncate)
    results: list[Body] = [
        {"index": index, "relevance_score": retrieval.relevance(found.results[index])}
        for index in retrieval.ranked(found.results, asked.top_n)
    ]
    if asked.return_documents:
        for result in results:
            result["document"] = {"text": asked.texts[result["index"]]}
    return {
        "id": request[REQUEST_ID],
        "model": request.app[SETTINGS].reranker_name,
        "results": results,
        "usage": retrieval.usage(found.tokens),
        "device": found.device,
        "reason": found.reason,
        "truncated": any(found.truncated),
    }


async def _scores(request: web.Request, query: str, texts: list[str], *, truncate: bool) -> Answers[float]:
    """Score texts; an empty list is answered even without a model, as production does."""
    reranker = request.app[RERANKER]
    if not texts:
        return Answers([], [], 0, *reranker.where())
    return await reranker.answer([(query, text) for text in texts], truncate=truncate)


async def _answer(
    request: web.Request, model: type[Q], compute: Callable[[web.Request, Q], Awaitable[Body]]
) -> web.StreamResponse:
    """Read, parse, compute, write. The memory of the request and of its answer is counted until the end."""
    settings = request.app[SETTINGS]
    limit = settings.retrieval_max_body_bytes
    receive.refuse_length(request, limit, limit)
    async with request.app[DRAIN].request():
        with request.app[RETRIEVAL_BODIES].growing() as held, request.app[RETRIEVAL_ANSWERS].growing() as sent:
            async with receive.receiving(settings.receive_timeout_s):
                body = await read_body(request, limit, held.take)
            asked = retrieval.parse(model, body, settings.retrieval_max_items)
            answer = retrieval.render(await compute(request, asked))
            sent.take_anyway(len(answer))
            return await deliver.deliver(request, answer, JSON, settings.receive_timeout_s)
