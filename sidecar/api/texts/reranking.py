"""Ranks texts by a query: our own route, Cohere's, text-embeddings-inference's and vLLM's, one function each."""

from typing import Any

from aiohttp import web

from sidecar.api.app_keys import BACKEND, LOAD_SECONDS, REQUEST_ID, RERANKERS, SETTINGS, caller_of
from sidecar.api.texts import exchange
from sidecar.api.texts.choice import choose
from sidecar.api.texts.exchange import Body
from sidecar.retrieval.retriever import Answers, Retriever
from sidecar.wire import cohere, openai, retrieval, tei, vllm


async def rerank(request: web.Request) -> web.StreamResponse:
    """Return each chunk's score and their order; Cohere's answer to `documents`, and TEI's to `texts`."""
    forms: exchange.Forms = {
        retrieval.RerankRequest: _rerank,
        cohere.RerankV1Request: _v1_rerank,
        tei.TextsRerankRequest: _rank_texts,
    }
    return await exchange.answer(request, forms)


async def _rerank(request: web.Request, asked: retrieval.RerankRequest) -> Body:
    found = await _scores(request, asked.model, [(asked.query, text) for text in asked.chunks], truncate=asked.truncate)
    order = retrieval.ranked(found.results, asked.top_n)
    return {
        "scores": found.results,
        "ranked_indices": order,
        "rankedIndices": order,
        "device": found.device,
        "reason": found.reason,
        "truncated": any(found.truncated),
    }


async def v1_rerank(request: web.Request) -> web.StreamResponse:
    """Rank documents, as Cohere and Jina do."""
    return await exchange.answer(request, {cohere.RerankV1Request: _v1_rerank})


async def _v1_rerank(request: web.Request, asked: cohere.RerankV1Request) -> Body:
    found = await _scores(request, asked.model, [(asked.query, text) for text in asked.texts], truncate=asked.cuts)
    results: list[Body] = [
        {"index": index, "relevance_score": retrieval.relevance(found.results[index])}
        for index in retrieval.ranked(found.results, asked.most)
    ]
    voyage = {} if asked.top_k is None else {"data": _voyage(asked, results)}
    if asked.return_documents:
        for result in results:
            result["document"] = {"text": asked.texts[result["index"]]}
    return {
        "id": request[REQUEST_ID],
        "model": _reranker(request, asked.model).public_name,
        "results": results,
        **voyage,
        "usage": openai.usage(found.tokens),
        "device": found.device,
        "reason": found.reason,
        "truncated": any(found.truncated),
    }


def _voyage(asked: cohere.RerankV1Request, results: list[Body]) -> list[Body]:
    """Write the results as Voyage does: documents are plain texts there."""
    repeated = asked.texts if asked.return_documents else []
    return [{**one, **({"document": repeated[one["index"]]} if repeated else {})} for one in results]


async def _rank_texts(request: web.Request, asked: tei.TextsRerankRequest) -> list[Any]:
    found = await _scores(request, asked.model, [(asked.query, text) for text in asked.texts], truncate=asked.truncate)
    scores = found.results if asked.raw_scores else [retrieval.relevance(one) for one in found.results]
    text = {index: {"text": one} for index, one in enumerate(asked.texts)} if asked.return_text else {}
    return [
        {"index": index, "score": scores[index], **text.get(index, {})}
        for index in retrieval.ranked(found.results, asked.top_n)
    ]


async def score(request: web.Request) -> web.StreamResponse:
    """Score pairs, as vLLM does."""
    return await exchange.answer(request, {vllm.ScoreRequest: _score})


async def _score(request: web.Request, asked: vllm.ScoreRequest) -> Body:
    found = await _scores(request, asked.model, asked.pairs, truncate=asked.truncate)
    data = [
        {"index": index, "object": "score", "score": retrieval.relevance(one)}
        for index, one in enumerate(found.results)
    ]
    return {
        "id": request[REQUEST_ID],
        "object": "list",
        "model": _reranker(request, asked.model).public_name,
        "data": data,
        "usage": openai.usage(found.tokens),
    }


async def _scores(
    request: web.Request, model: str | None, pairs: list[tuple[str, str]], *, truncate: bool
) -> Answers[float]:
    """Score pairs; none are answered even without a model, as production does."""
    reranker = _reranker(request, model)
    if not pairs:
        return Answers([], [], 0, *reranker.where())
    found = await reranker.answer(pairs, truncate=truncate, caller=caller_of(request))
    request[LOAD_SECONDS], request[BACKEND] = found.load_s, found.backend
    return found


def _reranker(request: web.Request, wanted: str | None) -> Retriever[tuple[str, str], float]:
    rerankers = request.app[RERANKERS]
    return choose(rerankers, wanted, named=bool(request.app[SETTINGS].retrieval_models))
