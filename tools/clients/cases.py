"""What the makers' own clients do with the service: each case asserts what their users get."""

import math
import sys
import uuid
from collections.abc import Callable
from typing import Any

from tools.clients.table import Row, run

TEXTS = ["a first text", "a second text", "ข้อความที่สาม"]
QUERY = "first"
KEY = "any"
"""The service is started in network mode; clients insist on a key."""


def check_vector(vector: Any) -> None:
    """Assert that it is one of the small model's vectors."""
    assert len(vector) == 32
    assert math.isclose(math.fsum(float(one) ** 2 for one in vector), 1, rel_tol=1e-3)


# ── openai, LangChain, LlamaIndex, Haystack ───────────────────────────────────────────────────────────────────────


def openai_embeddings(prefix: str) -> Callable[[str], None]:
    """Return the case of one base URL."""

    def case(url: str) -> None:
        import openai

        client = openai.OpenAI(base_url=url + prefix, api_key=KEY, max_retries=0)
        for one in client.embeddings.create(model="any", input=TEXTS).data:
            check_vector(one.embedding)
        assert len(client.models.list().data) == 2

    return case


def openai_errors(url: str) -> None:
    """The message of an error is what the service says."""
    import openai

    client = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)
    try:
        client.embeddings.create(model="any", input=TEXTS, dimensions=7)
    except openai.UnprocessableEntityError as exc:
        assert "dimensions is 7, this model has 32" in exc.message
        assert (exc.code, exc.type) == ("invalid_value", "invalid_request_error")
    else:
        raise AssertionError("7 dimensions were accepted")


def langchain(url: str) -> None:
    """LangChain, told to send texts."""
    from langchain_openai import OpenAIEmbeddings

    client = OpenAIEmbeddings(model="any", base_url=f"{url}/v1", api_key=KEY, check_embedding_ctx_length=False)
    for vector in (*client.embed_documents(TEXTS), client.embed_query(QUERY)):
        check_vector(vector)


def langchain_default(url: str) -> None:
    """LangChain as it comes sends another tokenizer's ids, and is told what to set."""
    import openai
    from langchain_openai import OpenAIEmbeddings

    client = OpenAIEmbeddings(model="text-embedding-3-small", base_url=f"{url}/v1", api_key=KEY, max_retries=0)
    client.__dict__["tokenizer"] = None
    try:
        client.client.create(input=[[101, 102, 103]], model="any")  # as it sends them; the tokenizer is a download
    except openai.UnprocessableEntityError as exc:
        assert "check_embedding_ctx_length=False" in exc.message
    else:
        raise AssertionError("token ids were accepted")


def llama_index(url: str) -> None:
    """LlamaIndex's class for services like OpenAI's."""
    from llama_index.embeddings.openai_like import OpenAILikeEmbedding

    client = OpenAILikeEmbedding(model_name="any", api_base=f"{url}/v1", api_key=KEY)
    for vector in (*client.get_text_embedding_batch(TEXTS), client.get_query_embedding(QUERY)):
        check_vector(vector)


def llama_index_rerank(url: str) -> None:
    """LlamaIndex's postprocessor with Cohere's client."""
    from llama_index.core.schema import NodeWithScore, TextNode
    from llama_index.postprocessor.cohere_rerank import CohereRerank

    nodes = [NodeWithScore(node=TextNode(text=text)) for text in TEXTS]
    found = CohereRerank(api_key=KEY, base_url=url, model="any", top_n=2).postprocess_nodes(nodes, query_str=QUERY)
    assert len(found) == 2
    assert all(0 <= one.score <= 1 for one in found)


def haystack(url: str) -> None:
    """Haystack's embedders."""
    from haystack import Document
    from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder
    from haystack.utils import Secret

    arguments = {"api_key": Secret.from_token(KEY), "model": "any", "api_base_url": f"{url}/v1"}
    check_vector(OpenAITextEmbedder(**arguments).run(QUERY)["embedding"])
    documents = OpenAIDocumentEmbedder(**arguments).run([Document(content=text) for text in TEXTS])["documents"]
    for one in documents:
        check_vector(one.embedding)


def haystack_rerank(url: str) -> None:
    """Haystack's ranker with Cohere's client."""
    from haystack import Document
    from haystack.utils import Secret
    from haystack_integrations.components.rankers.cohere import CohereRanker

    ranker = CohereRanker(model="any", api_key=Secret.from_token(KEY), api_base_url=url, top_k=2)
    assert len(ranker.run(query=QUERY, documents=[Document(content=text) for text in TEXTS])["documents"]) == 2


# ── cohere ────────────────────────────────────────────────────────────────────────────────────────────────────────


def cohere(version: str) -> Callable[[str], None]:
    """Return the case of one of its clients."""

    def case(url: str) -> None:
        import cohere as library

        client = {"v1": library.Client, "v2": library.ClientV2}[version](api_key=KEY, base_url=url)
        found = client.rerank(model="rerank-v3.5", query=QUERY, documents=TEXTS, top_n=2).results
        assert len(found) == 2
        assert found[0].relevance_score >= found[1].relevance_score

    return case


# ── litellm ───────────────────────────────────────────────────────────────────────────────────────────────────────


def litellm_embedding(model: str, path: str, **more: Any) -> Callable[[str], None]:
    """Return the case of one provider."""

    def case(url: str) -> None:
        import litellm

        found = litellm.embedding(model=model, input=TEXTS, api_base=url + path, api_key=KEY, **more)
        assert len(found.data) == 3
        for one in found.data:
            check_vector(one["embedding"])

    return case


def litellm_rerank(model: str, path: str, **more: Any) -> Callable[[str], None]:
    """Return the case of one provider."""

    def case(url: str) -> None:
        import litellm

        base = url + path
        found = litellm.rerank(model=model, query=QUERY, documents=TEXTS, top_n=2, api_base=base, api_key=KEY, **more)
        assert len(found.results) == 2
        assert found.results[0]["relevance_score"] >= found.results[1]["relevance_score"]

    return case


# ── huggingface_hub, Qdrant ───────────────────────────────────────────────────────────────────────────────────────


def huggingface(url: str) -> None:
    """The hub's client with the URL of a text-embeddings-inference server."""
    from huggingface_hub import InferenceClient

    found = InferenceClient(model=f"{url}/embed").feature_extraction(TEXTS[0])
    check_vector(found[0])


def qdrant(url: str) -> None:
    """Dense and sparse vectors of ours into Qdrant, and a hybrid query back."""
    import json
    import urllib.request

    from qdrant_client import QdrantClient, models

    def embed(texts: list[str]) -> list[dict[str, Any]]:
        data = json.dumps({"texts": texts}).encode()
        with urllib.request.urlopen(f"{url}/embed", data=data, timeout=60) as answer:
            found: list[dict[str, Any]] = json.load(answer)["embeddings"]
            return found

    client = QdrantClient(":memory:")
    client.create_collection(
        "texts",
        vectors_config={"dense": models.VectorParams(size=32, distance=models.Distance.COSINE)},
        sparse_vectors_config={"sparse": models.SparseVectorParams()},
    )
    points = [
        models.PointStruct(
            id=str(uuid.uuid4()),
            vector={"dense": one["dense"], "sparse": models.SparseVector(**one["sparse"])},
            payload={"text": text},
        )
        for text, one in zip(TEXTS, embed(TEXTS), strict=True)
    ]
    client.upsert("texts", points)
    (asked,) = embed([TEXTS[2]])
    found = client.query_points(
        "texts",
        prefetch=[
            models.Prefetch(query=asked["dense"], using="dense", limit=3),
            models.Prefetch(query=models.SparseVector(**asked["sparse"]), using="sparse", limit=3),
        ],
        query=models.FusionQuery(fusion=models.Fusion.RRF),
        limit=1,
    )
    assert [one.payload and one.payload["text"] for one in found.points] == [TEXTS[2]]


ROWS = (
    Row("openai", "`embeddings`, `models`, base URL with `/v1`", openai_embeddings("/v1")),
    Row("openai", "the same without `/v1`", openai_embeddings("")),
    Row("openai", "the message of an error", openai_errors),
    Row("cohere", "`Client.rerank`, base URL without `/v1`", cohere("v1")),
    Row("cohere", "`ClientV2.rerank`", cohere("v2")),
    Row("langchain-openai", "`OpenAIEmbeddings(check_embedding_ctx_length=False)`", langchain),
    Row("langchain-openai", "token ids, as it sends by default: told what to set", langchain_default),
    Row("llama-index-embeddings-openai-like", "`OpenAILikeEmbedding`", llama_index),
    Row("llama-index-postprocessor-cohere-rerank", "`CohereRerank(base_url=…)`", llama_index_rerank),
    Row("haystack-ai", "`OpenAITextEmbedder`, `OpenAIDocumentEmbedder`", haystack),
    Row("cohere-haystack", "`CohereRanker`", haystack_rerank),
    Row("litellm", "`embedding`, `openai/…`, with `/v1`", litellm_embedding("openai/any", "/v1")),
    Row("litellm", "`embedding`, `infinity/…`, without `/v1`", litellm_embedding("infinity/any", "")),
    Row("litellm", "`embedding`, `jina_ai/…`, with `/v1`", litellm_embedding("jina_ai/any", "/v1")),
    Row("litellm", "`embedding`, `voyage/…`, with `/v1`", litellm_embedding("voyage/any", "/v1")),
    Row(
        "litellm",
        "`embedding`, `nvidia_nim/…`, with `/v1`",
        litellm_embedding("nvidia_nim/any", "/v1", input_type="query"),
    ),
    Row("litellm", "`embedding`, `hosted_vllm/…`, with `/v1`", litellm_embedding("hosted_vllm/any", "/v1")),
    Row(
        "litellm",
        "`embedding`, `huggingface/…`, with `/embed` and `input_type`",
        litellm_embedding("huggingface/any", "/embed", input_type="feature-extraction"),
    ),
    Row("litellm", "`rerank`, `cohere/…`", litellm_rerank("cohere/any", "")),
    Row(
        "litellm",
        "`rerank`, `infinity/…`, `return_documents=False`",
        litellm_rerank("infinity/any", "", return_documents=False),
    ),
    Row("litellm", "`rerank`, `jina_ai/…`", litellm_rerank("jina_ai/any", "/v1/rerank")),
    Row("litellm", "`rerank`, `voyage/…`", litellm_rerank("voyage/any", "/v1")),
    Row("litellm", "`rerank`, `hosted_vllm/…`", litellm_rerank("hosted_vllm/any", "/v1")),
    Row("litellm", "`rerank`, `huggingface/…`", litellm_rerank("huggingface/any", "")),
    Row("huggingface_hub", "`InferenceClient(model=…/embed).feature_extraction`", huggingface),
    Row("qdrant-client", "dense and sparse upsert, hybrid query", qdrant),
)

if __name__ == "__main__":
    sys.exit(run(ROWS, sys.argv[1]))
