"""Embeds texts: our own routes, text-embeddings-inference's and OpenAI's, one function each."""

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from sidecar.api.app_keys import (
    BACKEND,
    EMBEDDERS,
    LOAD_SECONDS,
    RETRIEVAL_ANSWERS,
    RETRIEVAL_BODIES,
    SETTINGS,
    caller_of,
)
from sidecar.api.texts import exchange
from sidecar.api.texts.choice import choose
from sidecar.api.texts.exchange import Body
from sidecar.retrieval.model import Embedding
from sidecar.retrieval.retriever import Answers, Retriever
from sidecar.wire import openai, retrieval, tei

FEW_TEXTS = 16
"""Texts that are embedded however slowly others read: with 1,024 numbers each their answer has 0.4 MB."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be embedded by which model; ``most_each`` and ``of_tokens`` as the retriever takes them."""

    model: str | None
    texts: list[str]
    truncate: bool
    most_each: int = 0
    of_tokens: bool = False


async def embed(request: web.Request) -> web.StreamResponse:
    """Return dense and sparse vectors, or plain ones for the field `inputs`."""
    return await exchange.answer(request, {retrieval.EmbedRequest: _embed, tei.InputsRequest: _plain})


async def _embed(request: web.Request, asked: retrieval.EmbedRequest) -> Body:
    texts = asked.texts if asked.text is None else [asked.text]
    found = await _embeddings(request, Wanted(asked.model, texts or [], asked.truncate))
    bodies = [
        retrieval.embedding_body(one, truncated=truncated)
        for one, truncated in zip(found.results, found.truncated, strict=True)
    ]
    where = {"device": found.device, "reason": found.reason}
    return {**bodies[0], **where} if asked.texts is None else {"embeddings": bodies, **where}


async def _plain(request: web.Request, asked: tei.InputsRequest) -> list[Any]:
    found = await _embeddings(request, Wanted(asked.model, asked.texts, asked.truncate))
    return [one.dense for one in found.results]


async def embed_sparse(request: web.Request) -> web.StreamResponse:
    """Return sparse vectors alone."""
    return await exchange.answer(request, {tei.InputsRequest: _sparse})


async def _sparse(request: web.Request, asked: tei.InputsRequest) -> list[Any]:
    found = await _embeddings(request, Wanted(asked.model, asked.texts, asked.truncate, of_tokens=True))
    return [tei.sparse_entries(one) for one in found.results]


async def embed_all(request: web.Request) -> web.StreamResponse:
    """Return a vector for each token, ColBERT's."""
    return await exchange.answer(request, {tei.InputsRequest: _all})


async def _all(request: web.Request, asked: tei.InputsRequest) -> list[Any]:
    most = request.app[SETTINGS].retrieval_max_items
    found = await _embeddings(request, Wanted(asked.model, asked.texts, asked.truncate, most_each=most))
    return [one.each for one in found.results]


async def v1_embeddings(request: web.Request) -> web.StreamResponse:
    """Return dense vectors, as OpenAI does."""
    return await exchange.answer(request, {openai.EmbeddingsRequest: _v1_embeddings})


async def _v1_embeddings(request: web.Request, asked: openai.EmbeddingsRequest) -> Body:
    embedder = _embedder(request, asked.model)
    if limits := embedder.keeper.limits:  # else it says itself that it is not there
        openai.check_dimensions(asked.dimensions, limits.dimensions)
    found = await _embeddings(request, Wanted(asked.model, asked.texts, asked.cuts))
    if not limits and embedder.keeper.limits:  # its first call
        openai.check_dimensions(asked.dimensions, embedder.keeper.limits.dimensions)
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": openai.written(one.dense, asked.encoding_format),
            "truncated": truncated,
        }
        for index, (one, truncated) in enumerate(zip(found.results, found.truncated, strict=True))
    ]
    return {
        "object": "list",
        "data": data,
        "model": embedder.public_name,
        "usage": openai.usage(found.tokens),
        "device": found.device,
        "reason": found.reason,
    }


async def _embeddings(request: web.Request, wanted: Wanted) -> Answers[Embedding]:
    """Embed texts. While many answers are being sent, a long array is refused, since its vectors add to them."""
    embedder, caller = _embedder(request, wanted.model), caller_of(request)
    if len(wanted.texts) > FEW_TEXTS or wanted.most_each:
        answers = request.app[RETRIEVAL_ANSWERS]
        answers.refuse_unless_fits(request.app[RETRIEVAL_BODIES].admitted, answers.held_by(caller))
    found = await embedder.answer(
        wanted.texts, truncate=wanted.truncate, most_each=wanted.most_each, of_tokens=wanted.of_tokens, caller=caller
    )
    request[LOAD_SECONDS], request[BACKEND] = found.load_s, found.backend
    return found


def _embedder(request: web.Request, wanted: str | None) -> Retriever[str, Embedding]:
    embedders = request.app[EMBEDDERS]
    return choose(embedders, wanted, named=bool(request.app[SETTINGS].retrieval_models))
