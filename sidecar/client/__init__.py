"""The public Python client: reads documents, embeds and reranks with a running service, as docs/client.md shows.

It imports nothing else of this distribution and no heavy library. It holds no rule about documents or models: the
service says what is accepted.
"""

from sidecar.client.answers import (
    Attempt,
    Correction,
    Document,
    Embedding,
    Embeddings,
    Health,
    Opened,
    Page,
    ProfileUsed,
    Ranking,
    Residency,
    SparseVector,
    Summary,
    TextLayer,
)
from sidecar.client.asynchronous import AsyncClient
from sidecar.client.blocking import Client
from sidecar.client.failures import (
    BadAnswerError,
    BusyError,
    ClientError,
    NotConfiguredError,
    ServiceError,
    TimedOutError,
    UnauthorizedError,
    UnreachableError,
)
from sidecar.client.fields import ReadFields

__all__ = [
    "AsyncClient",
    "Attempt",
    "BadAnswerError",
    "BusyError",
    "Client",
    "ClientError",
    "Correction",
    "Document",
    "Embedding",
    "Embeddings",
    "Health",
    "NotConfiguredError",
    "Opened",
    "Page",
    "ProfileUsed",
    "Ranking",
    "ReadFields",
    "Residency",
    "ServiceError",
    "SparseVector",
    "Summary",
    "TextLayer",
    "TimedOutError",
    "UnauthorizedError",
    "UnreachableError",
]
