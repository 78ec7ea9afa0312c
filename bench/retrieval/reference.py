"""The reference for embedding and reranking, in its own process: FlagEmbedding, and the bare forward.

The bare forward is what a program without a service would do: all texts known beforehand, tokenised, sorted by length,
with the whole machine.
"""

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

QUERY = "bolu tare simaki"
BATCH_TEXTS = 8
"""Texts of a bare batch: sorted by length, larger ones are padded more, smaller ones cost more each."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Folders of the models, and threads to compute with."""

    embedder: str
    reranker: str
    threads: int


_prepared: dict[tuple[str, str], Any] = {}


def prepare(reference: Reference) -> None:
    """Load both, once as FlagEmbedding has them and once in bfloat16."""
    import copy

    import torch
    from FlagEmbedding import BGEM3FlagModel, FlagReranker

    torch.set_num_threads(reference.threads)
    embedder = BGEM3FlagModel(reference.embedder, use_fp16=False, devices="cpu")
    reranker = FlagReranker(reference.reranker, use_fp16=False, devices="cpu")
    embedder.encode(["warm up"])
    reranker.compute_score([("warm", "up")])
    for route, model in (("embed", embedder.model.model), ("rerank", reranker.model)):
        _prepared[route, "float32"] = model.eval()
        _prepared[route, "bfloat16"] = copy.deepcopy(model).to(torch.bfloat16).eval()
    _prepared["embed", "flag"], _prepared["rerank", "flag"] = embedder, reranker


def call(what: str, route: str, texts: Sequence[str], callers: int = 1) -> float:
    """Measure one thing; return seconds."""
    if what == "flag":
        return _flag(route, texts)
    return _single(route, texts) if what == "single" else _bare(what, route, texts, callers)


def _flag(route: str, texts: Sequence[str]) -> float:
    """Call FlagEmbedding once per text, like a service that calls it once per request."""
    model = _prepared[route, "flag"]
    started = time.perf_counter()
    for text in texts:
        if route == "embed":
            model.encode([text], return_dense=True, return_sparse=True, max_length=8192)
        else:
            model.compute_score([(QUERY, text)])
    return time.perf_counter() - started


def _bare(dtype: str, route: str, texts: Sequence[str], callers: int) -> float:
    """Run the forward on as many texts at a time as there are callers, sorted by length."""
    ids = _ids(route, tuple(texts))
    started = time.perf_counter()
    for first in range(0, len(ids), callers):
        group = sorted(ids[first : first + callers], key=len)
        for start in range(0, len(group), BATCH_TEXTS):
            _forward(_prepared[route, dtype], group[start : start + BATCH_TEXTS])
    return time.perf_counter() - started


def _single(route: str, texts: Sequence[str]) -> float:
    ids = _ids(route, tuple(texts))
    started = time.perf_counter()
    for one in ids:
        _forward(_prepared[route, "bfloat16"], [one])
    return time.perf_counter() - started


@functools.cache
def _ids(route: str, texts: tuple[str, ...]) -> list[list[int]]:
    tokenizer = _prepared[route, "flag"].tokenizer
    queries = [] if route == "embed" else [[QUERY] * len(texts)]
    found: list[list[int]] = tokenizer(*queries, list(texts), truncation=True, max_length=8192 if not queries else 512)[
        "input_ids"
    ]
    return found


def _forward(model: Any, batch: Sequence[Sequence[int]]) -> object:
    import torch

    longest = max(map(len, batch))
    ids = torch.tensor([[*one, *[1] * (longest - len(one))] for one in batch])
    mask = None if len(batch) == 1 else (ids != 1).long()
    with torch.inference_mode():
        return model(ids, attention_mask=mask)[0].float().numpy()
