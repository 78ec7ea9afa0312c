"""Lines of the audit file, one a page: no text, no name of a file, no key. Pure."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pydantic import Field

from sidecar.ocr.job import DocumentResult
from sidecar.ocr.page_reading import PageResult
from sidecar.wire.common import Wire, render
from sidecar.wire.receipts.receipt import PageReceiptBody, ReceiptBody, page_receipt_body, receipt_body
from sidecar.wire.receipts.sureness import QualityBody, VerificationBody, quality_body, verification_body


class AuditAttempt(Wire):
    """One try at a page."""

    engine: str
    verdict: str
    error: str | None
    duration_ms: int


class AuditLine(Wire):
    """One page that was answered."""

    request_id: str
    receipt: ReceiptBody | None
    document_pages: int
    profile: str | None
    revision: str | None
    warnings: list[str] = Field(description="Of the whole document.")
    page: int
    engine: str | None
    page_receipt: PageReceiptBody | None
    duration_ms: int
    attempts: list[AuditAttempt]
    verdict: str
    done_reason: str | None
    blank: bool
    confidence: int | None
    quality: QualityBody | None
    verification: VerificationBody | None
    char_count: int
    error: str | None


def audit_lines(result: DocumentResult, request_id: str, read_at: datetime) -> Iterator[bytes]:
    """Yield the line of each page of a document that was read, with its end."""
    document: dict[str, Any] = {
        "request_id": request_id,
        "receipt": receipt_body(result.facts, read_at),
        "document_pages": result.facts.page_count,
        "profile": result.profile.name if result.profile else None,
        "revision": result.profile.revision if result.profile else None,
        "warnings": list(result.warnings),
    }
    for page in result.pages:
        yield render(AuditLine(**document, **_page(page))) + b"\n"


def _page(page: PageResult) -> dict[str, Any]:
    return {
        "page": page.page,
        "engine": page.engine,
        "page_receipt": page_receipt_body(page.receipt),
        "duration_ms": page.duration_ms,
        "attempts": [
            AuditAttempt(engine=one.engine, verdict=one.verdict, error=one.error, duration_ms=one.duration_ms)
            for one in page.attempts
        ],
        "verdict": page.verdict,
        "done_reason": page.done_reason,
        "blank": page.blank,
        "confidence": page.confidence,
        "quality": quality_body(page.quality),
        "verification": verification_body(page.verification),
        "char_count": len(page.text),
        "error": page.error.code if page.error else None,
    }
