"""What the tools answer: structured for programs, and a text that a model reads. Pure."""

from collections.abc import Sequence

from pydantic import BaseModel, Field

from sidecar.client.answers import Page, Summary

MAX_CHARS = 100_000
"""Most characters of text in one answer, about 30,000 tokens; whole pages are left out beyond, and named."""


class PageText(BaseModel):
    """One page's text."""

    page: int = Field(description="Its number, from 1.")
    text: str
    engine: str | None = Field(description="What read it; fast-path: its own text layer.")
    error: str | None = Field(None, description="Why it has no text.")
    is_incomplete: bool = Field(False, description="Whether its text breaks off.")


class DocumentText(BaseModel):
    """The text of a document, or of some of its pages."""

    pages: list[PageText]
    page_count: int = Field(description="Pages that the document has.")
    left_out: list[int] = Field([], description="Pages that were read and do not fit into this answer: ask for them.")
    unread: list[int] = Field([], description="Pages that a deadline left unread.")
    warnings: list[str] = Field([], description="Codes; the service's documentation explains them.")


class Ranked(BaseModel):
    """One text in a ranking."""

    index: int = Field(description="Its place among the texts that were given, from 0.")
    score: float = Field(description="Larger for a better match.")


class Ranking(BaseModel):
    """Texts, the best first."""

    ranking: list[Ranked]
    truncated: bool = Field(description="Whether a text was cut.")


class Vectors(BaseModel):
    """A text's vectors."""

    dense: list[float]
    sparse: dict[int, float] | None = Field(description="Weights by token id; null with a model that gives none.")
    truncated: bool


class EmbeddedTexts(BaseModel):
    """The vectors of texts, in their order."""

    embeddings: list[Vectors]


class Description(BaseModel):
    """What the service can do now."""

    status: str = Field(description="ok, loading or unavailable: whether documents can be read.")
    reasons: list[str] = Field(description="Why it is not ok.")
    version: str
    engine: str = Field(description="What reads pages that have no text layer of their own.")
    retrieval_models: list[str] = Field(description="What embeds and reranks; empty: neither is possible.")
    formats: list[str]
    documents: list[str] | None = Field(description="Documents that may be read, by path; null: none may.")


def document_text(pages: Sequence[Page], summary: Summary) -> DocumentText:
    """Return a document's pages, as many as fit; the first always does."""
    kept: list[PageText] = []
    left_out: list[int] = []
    chars = 0
    for page in pages:
        chars += len(page.text)
        if kept and chars > MAX_CHARS:
            left_out.append(page.page)
        else:
            kept.append(_page_text(page))
    return DocumentText(
        pages=kept,
        page_count=summary.document_page_count,
        left_out=left_out,
        unread=summary.unread_pages,
        warnings=summary.warnings,
    )


def _page_text(page: Page) -> PageText:
    return PageText(
        page=page.page,
        text=page.text,
        engine=page.engine,
        error=page.error,
        is_incomplete=page.truncated or page.looped,
    )


def as_markdown(document: DocumentText) -> str:
    """Render a document for a model's eyes: each page below its heading, what is missing at the end."""
    parts = [f"## Page {page.page} of {document.page_count}\n\n{_shown(page)}" for page in document.pages]
    for pages, why in (
        (document.left_out, "do not fit into this answer; ask for them"),
        (document.unread, "were not read in time"),
    ):
        if pages:
            parts.append(f"(Pages {', '.join(map(str, pages))} {why}.)")
    if document.warnings:
        parts.append(f"(Warnings: {', '.join(document.warnings)}.)")
    return "\n\n".join(parts)


def _shown(page: PageText) -> str:
    if page.error:
        return f"{page.text}\n(This page could not be read: {page.error}.)".strip()
    if page.is_incomplete:
        return f"{page.text}\n(The text breaks off here.)"
    return page.text or "(This page is empty.)"
