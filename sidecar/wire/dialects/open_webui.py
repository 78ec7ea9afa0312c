"""Open WebUI's external document loader: a body that is the file, and an answer with a piece a page. Pure.

Source: `backend/open_webui/retrieval/loaders/external_document.py` of open-webui/open-webui.
"""

from pydantic import BaseModel, Field, RootModel

from sidecar.errors import NoTextError
from sidecar.ocr.job import DocumentResult

NO_TEXT = "No extractable text in this document"
"""Open WebUI reads a file by itself when an answer with 422 holds the first three words."""


class PageMetadata(BaseModel):
    """What is kept beside a page's text; plain values, since stores of vectors take no others."""

    source: str = Field(description="The file's name, from `X-Filename`.")
    page: int = Field(description="Counted from 0, as Open WebUI expects; it shows one more.")
    page_label: str
    total_pages: int = Field(description="Pages that the document has.")
    engine: str = Field(description="Who read the page; empty if nobody could.")
    warnings: str = Field(description="The document's warnings, with commas between them.")
    request_id: str


class ProcessedPage(BaseModel):
    """One page of a document."""

    page_content: str
    metadata: PageMetadata


class ProcessedBody(RootModel[list[ProcessedPage]]):
    """Answer of `PUT /process`: the pages that were read, in page order."""


def render_processed(result: DocumentResult, source: str, request_id: str) -> ProcessedBody:
    """Render what was read.

    Raises:
        NoTextError: no page has any text.
    """
    if not result.text.strip():
        raise NoTextError(NO_TEXT)
    pieces = [
        ProcessedPage(
            page_content=page.text,
            metadata=PageMetadata(
                source=source,
                page=page.page - 1,
                page_label=str(page.page),
                total_pages=result.facts.page_count,
                engine=page.engine or "",
                warnings=",".join(result.warnings),
                request_id=request_id,
            ),
        )
        for page in result.pages
    ]
    return ProcessedBody(pieces)
