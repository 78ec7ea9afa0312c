"""Embedding and reranking, one function per endpoint: read, parse, call, render."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel

from sidecar import multipart, retrieval_schema
from sidecar.handlers import JSON, read_body
from sidecar.keys import DRAIN, EMBEDDER, REQUEST_ID, RERANKER, RETRIEVAL_BODIES, SETTINGS
from sidecar.retrieval import Answers

Q = TypeVar("Q", bound=BaseModel)


async def embed(request: web.Request) -> web.Response:
    """Give dense and sparse vectors of one text or of several."""
    async with _received(request, retrieval_schema.EmbedRequest) as asked:
        texts = asked.texts if asked.text is None else [asked.text]
        async with request.app[DRAIN].request():
            found = await request.app[EMBEDDER].answer(texts or [], truncate=asked.truncate)
        bodies = [
            retrieval_schema.embedding_body(one, truncated=truncated)
            for one, truncated in zip(found.results, found.truncated, strict=True)
        ]
        where = {"device": found.device, "reason": found.reason}
        return _json({**bodies[0], **where} if asked.texts is None else {"embeddings": bodies, **where})


async def rerank(request: web.Request) -> web.Response:
    """Give each chunk a score, and their order."""
    async with _received(request, retrieval_schema.RerankRequest) as asked:
        found = await _scores(request, asked.query, asked.chunks, truncate=asked.truncate)
        order = retrieval_schema.ranked(found.results, asked.top_n)
        body = {
            "scores": found.results,
            "ranked_indices": order,
            "rankedIndices": order,
            "device": found.device,
            "reason": found.reason,
            "truncated": any(found.truncated),
        }
        return _json(body)


async def v1_embeddings(request: web.Request) -> web.Response:
    """Give dense vectors, as OpenAI does."""
    async with _received(request, retrieval_schema.EmbeddingsRequest) as asked:
        async with request.app[DRAIN].request():
            found = await request.app[EMBEDDER].answer(asked.texts, truncate=asked.truncate)
        retrieval_schema.check_dimensions(asked.dimensions, len(found.results[0].dense))
        data = [
            {
                "object": "embedding",
                "index": index,
                "embedding": retrieval_schema.written(one.dense, asked.encoding_format),
                "truncated": truncated,
            }
            for index, (one, truncated) in enumerate(zip(found.results, found.truncated, strict=True))
        ]
        body = {
            "object": "list",
            "data": data,
            "model": request.app[SETTINGS].bge_m3_name,
            "usage": retrieval_schema.usage(found.tokens),
            "device": found.device,
            "reason": found.reason,
        }
        return _json(body)


async def v1_rerank(request: web.Request) -> web.Response:
    """Rank documents, as Cohere and Jina do."""
    async with _received(request, retrieval_schema.RerankV1Request) as asked:
        found = await _scores(request, asked.query, asked.texts, truncate=asked.truncate)
        results: list[dict[str, Any]] = [
            {"index": index, "relevance_score": retrieval_schema.relevance(found.results[index])}
            for index in retrieval_schema.ranked(found.results, asked.top_n)
        ]
        if asked.return_documents:
            for result in results:
                result["document"] = {"text": asked.texts[result["index"]]}
        body = {
            "id": request[REQUEST_ID],
            "model": request.app[SETTINGS].reranker_name,
            "results": results,
            "usage": retrieval_schema.usage(found.tokens),
            "device": found.device,
            "reason": found.reason,
            "truncated": any(found.truncated),
        }
        return _json(body)


async def _scores(request: web.Request, query: str, texts: list[str], *, truncate: bool) -> Answers[float]:
    """Score texts; none at all is answered even while there is no model, as production does."""
    reranker = request.app[RERANKER]
    if not texts:
        return Answers([], [], 0, *reranker.where())
    async with request.app[DRAIN].request():
        return await reranker.answer([(query, text) for text in texts], truncate=truncate)


@asynccontextmanager
async def _received(request: web.Request, model: type[Q]) -> AsyncIterator[Q]:
    """Give the parsed body, which counts as being in memory for as long as the block."""
    settings = request.app[SETTINGS]
    limit = settings.retrieval_max_body_bytes
    multipart.refuse_length(request, limit, limit)
    with request.app[RETRIEVAL_BODIES].admit(request.content_length or limit):
        async with request.app[DRAIN].request(), multipart.receiving(settings.receive_timeout_s):
            body = await read_body(request, limit)
        yield retrieval_schema.parse(model, body, settings.retrieval_max_items)


def _json(body: dict[str, Any]) -> web.Response:
    return web.Response(body=retrieval_schema.render(body), content_type=JSON)
