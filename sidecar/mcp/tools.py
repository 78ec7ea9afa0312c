"""The tools: what a model may ask of the service. Each call has a client of its own, with the caller's key."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, contextmanager
from typing import Annotated, Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import Field

from sidecar import __version__
from sidecar.client import AsyncClient, ClientError, Embedding, Opened, Page, ReadFields, Summary
from sidecar.mcp.folder import SUFFIXES, Folder, NotReadableError
from sidecar.mcp.results import (
    Description,
    DocumentText,
    EmbeddedTexts,
    Ranked,
    Ranking,
    Vectors,
    as_markdown,
    document_text,
)
from sidecar.mcp.server import Server

Calling = Callable[[Context[Any, Any]], AbstractAsyncContextManager[AsyncClient]]
"""Opens the client for one call."""
READ_ONLY = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
INSTRUCTIONS = (
    "Reads scanned and digital documents (PDF and pictures), in Thai and English by default, as text by page."
)
AnyContext = Context[Any, Any]


def make_server(calling: Calling, folder: Folder | None) -> MCPServer[Any]:
    """Put the tools together; without a folder no document can be read, and there is no tool for it."""
    server = Server("ocr-sidecar", instructions=INSTRUCTIONS, version=__version__, log_level="ERROR")
    _add_description(server, calling, folder)
    if folder is not None:
        _add_reading(server, calling, folder)
    _add_texts(server, calling)
    return server


def _add_description(server: MCPServer[Any], calling: Calling, folder: Folder | None) -> None:
    @server.tool(title="What the service can do", annotations=READ_ONLY)
    async def describe_service(context: AnyContext) -> Description:
        """Say whether documents can be read now, which there are, in which formats, which models embed and rerank."""
        async with _asking(calling, context) as client:
            health, models = await client.health(), await client.models()
            return Description(
                status=health.status,
                reasons=health.reasons,
                version=health.version,
                engine=health.ocr_engine,
                retrieval_models=models,
                formats=sorted(SUFFIXES),
                documents=None if folder is None else await folder.names(),
            )


def _add_reading(server: MCPServer[Any], calling: Calling, folder: Folder) -> None:
    @server.tool(title="Read a document", annotations=READ_ONLY)
    async def read_document(  # noqa: PLR0913, PLR0917 - each is a field of the tool
        context: AnyContext,
        path: Annotated[str, Field(description="Path of the document in the folder that is shared.")],
        pages: Annotated[str, Field(description="Pages to read, such as 1-3,7; empty: all.")] = "",
        languages: Annotated[str, Field(description="Languages, such as tha+eng; empty: the service's own.")] = "",
        engine: Annotated[str, Field(description="Name of an engine for every page; empty: the service decides.")] = "",
        profile: Annotated[str, Field(description="Name of a profile; empty: the service's own.")] = "",
    ) -> Annotated[CallToolResult, DocumentText]:
        """Read a document, or some of its pages, and return its text page by page. Scanned pages take seconds each."""
        fields = ReadFields(
            pages=pages or None, languages=languages or None, engine=engine or None, profile=profile or None
        )
        async with (
            _asking(calling, context) as client,
            folder.open(path) as file,
            aclosing(client.stream(file, **fields)) as events,
        ):
            document = await _collect(events, context)
        text = TextContent(type="text", text=as_markdown(document))
        return CallToolResult(content=[text], structured_content=document.model_dump(mode="json"))


def _add_texts(server: MCPServer[Any], calling: Calling) -> None:
    @server.tool(title="Rank texts for a query", annotations=READ_ONLY)
    async def rerank_texts(
        context: AnyContext,
        query: Annotated[str, Field(description="What is looked for.")],
        texts: Annotated[list[str], Field(description="The texts to rank.")],
        top_n: Annotated[int, Field(ge=0, description="Return the best only, up to this number; 0: all.")] = 0,
        model: Annotated[str, Field(description="Name of a reranker; empty: the service's own.")] = "",
    ) -> Ranking:
        """Rank texts by how well they answer a query, the best first."""
        async with _asking(calling, context) as client:
            found = await client.rerank(query, texts, top_n=top_n, model=model or None)
        ranking = [Ranked(index=index, score=found.scores[index]) for index in found.ranked_indices]
        return Ranking(ranking=ranking, truncated=found.truncated)

    @server.tool(title="Embed texts", annotations=READ_ONLY)
    async def embed_texts(
        context: AnyContext,
        texts: Annotated[list[str], Field(description="The texts to embed.")],
        model: Annotated[str, Field(description="Name of an embedder; empty: the service's own.")] = "",
    ) -> EmbeddedTexts:
        """Return dense and sparse vectors of texts, for a program that stores or compares them."""
        async with _asking(calling, context) as client:
            found = await client.embed(texts, model=model or None)
        return EmbeddedTexts(embeddings=[_vectors(one) for one in found.embeddings])


async def _collect(events: AsyncIterator[Opened | Page | Summary], context: AnyContext) -> DocumentText:
    """Gather a document's pages; whoever asked is told of each as it comes."""
    pages: list[Page] = []
    total = 0
    async for event in events:
        match event:
            case Opened():
                total = event.page_count
            case Page():
                pages.append(event)
                await context.report_progress(len(pages), total)
            case Summary():
                return document_text(pages, event)
    raise AssertionError("a stream ends with its summary, or with an error")


def _vectors(one: Embedding) -> Vectors:
    sparse = None if one.sparse is None else dict(zip(one.sparse.indices, one.sparse.values, strict=True))
    return Vectors(dense=one.dense, sparse=sparse, truncated=one.truncated)


@asynccontextmanager
async def _asking(calling: Calling, context: AnyContext) -> AsyncIterator[AsyncClient]:
    """Open the client of a call; what goes wrong with it is told to the model, in the service's words."""
    with _told():
        async with calling(context) as client:
            yield client


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (ClientError, NotReadableError) as exc:
        raise ToolError(str(exc)) from exc
    except OSError as exc:
        raise ToolError(f"the file cannot be read: {exc.strerror}") from exc
