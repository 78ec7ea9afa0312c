"""infinity's own client, which wants an older httpx than the others."""

import sys

from infinity_client import Client
from infinity_client.api.default import embeddings, rerank
from infinity_client.models import OpenAIEmbeddingInputText, RerankInput

from tools.clients.table import Row, run

TEXTS = ["first text", "second text", "third"]


def embed(url: str) -> None:
    """Embed by its generated client."""
    client = Client(base_url=url)
    asked = OpenAIEmbeddingInputText.from_dict({"model": "any", "input": TEXTS})
    found = embeddings.sync(client=client, body=asked)
    assert found is not None
    assert [len(one.embedding) for one in found.data] == [32, 32, 32]


def ranked(url: str) -> None:
    """Rank by its generated client."""
    client = Client(base_url=url)
    found = rerank.sync(client=client, body=RerankInput(query="first", documents=TEXTS, model="any"))
    assert found is not None
    assert sorted(one.index for one in found.results) == [0, 1, 2]


ROWS = (
    Row("infinity_client", "`embeddings.sync` at the base URL", embed),
    Row("infinity_client", "`rerank.sync` at the base URL", ranked),
)

if __name__ == "__main__":
    sys.exit(run(ROWS, sys.argv[1]))
