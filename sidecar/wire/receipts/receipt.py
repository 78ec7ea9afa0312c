"""Receipts in answers: enough to trace a page, and to read it again in the same way. Pure."""

from datetime import datetime
from typing import Any

from pydantic import Field

from sidecar import __version__
from sidecar.documents.pages import DocumentFacts
from sidecar.ocr.results.receipt import PageReceipt
from sidecar.wire.common import Wire


class ReceiptBody(Wire):
    """Of a document, in the answer; what else there is to know of it stands beside it."""

    document_sha256: str = Field(description="Of the file as it arrived.")
    document_bytes: int
    service: str = Field(description="Version of this service.")
    read_at: datetime


class PageReceiptBody(Wire):
    """Of a page."""

    model: str = Field(description="The reader with its version, or the model by its name.")
    model_digest: str | None = Field(
        None, description="SHA-256 of the model, where it is known; of Tesseract, its languages' data."
    )
    recipe: str | None = None
    prompt_sha256: str | None = Field(None, description="Of the texts beside the picture.")
    picture_sha256: str | None = Field(None, description="Of the picture that was read; null for a text layer.")
    parameters: dict[str, Any] = Field({}, description="What was sent for the attempt that gave the text.")


def receipt_body(facts: DocumentFacts, read_at: datetime) -> ReceiptBody | None:
    """Render a document's receipt, if it has one."""
    if facts.sha256 is None:
        return None
    return ReceiptBody(
        document_sha256=facts.sha256, document_bytes=facts.size_bytes, service=__version__, read_at=read_at
    )


def page_receipt_body(receipt: PageReceipt | None) -> PageReceiptBody | None:
    """Render a page's receipt, if it has one."""
    if receipt is None:
        return None
    return PageReceiptBody(
        model=receipt.model.name,
        model_digest=receipt.model.digest,
        recipe=receipt.recipe,
        prompt_sha256=receipt.prompt_sha256,
        picture_sha256=receipt.picture_sha256,
        parameters=dict(receipt.parameters),
    )
