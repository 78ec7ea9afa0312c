"""Results in the wire format, as one body or as lines while pages finish, and their metrics."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from sidecar.api import deliver
from sidecar.api.answers import evidence
from sidecar.api.answers.evidence import BlockWriter
from sidecar.api.app_keys import SETTINGS
from sidecar.documents.pages import DocumentFacts
from sidecar.errors import SidecarError
from sidecar.evidence.packed import Packed, PackedPages
from sidecar.gpu.residency_policy import OcrResidencyDecision
from sidecar.ocr.engine import Attempt, PageVerdict
from sidecar.ocr.job import DocumentResult, Wanted
from sidecar.ocr.page_reading import PageResult, ocr_used
from sidecar.ocr.warning_codes import WarningCode
from sidecar.profiles.payload import Profile
from sidecar.runtime.line_writer import LineWriter
from sidecar.telemetry import Metrics
from sidecar.wire import common, ocr
from sidecar.wire.receipts.audit import audit_lines
from sidecar.wire.receipts.receipt import page_receipt_body, receipt_body
from sidecar.wire.receipts.sureness import disagreement_bodies, quality_body, verification_body

NOTHING_MORE = Wanted()


class Answer:
    """One document's answer; created when its body has arrived, so that it can measure how long reading took."""

    def __init__(
        self,
        request_id: str,
        ignored_fields: list[str],
        metrics: Metrics,
        wanted: Wanted = NOTHING_MORE,
        audit: LineWriter | None = None,
    ) -> None:
        self.request_id = request_id
        self.metrics = metrics
        self.ignored_fields = ignored_fields
        self.wanted = wanted
        self._audit = audit
        self._read_at = datetime.now(UTC)
        self._took_s: float | None = None
        self._started = time.monotonic()

    def read_before(self, read_at: datetime, took_s: float) -> "Answer":
        """Tell of a document that was read at another time, and how long that took, in seconds."""
        self._read_at, self._took_s = read_at, took_s
        return self

    async def document(self, facts: DocumentFacts) -> None:
        """Called when the document is open; nothing is sent before the end."""

    async def page(self, result: PageResult) -> None:
        """Count a page."""
        engine = result.engine or (result.attempts[-1].engine if result.attempts else "none")
        self.metrics.pages.labels(engine, _verdict(result)).inc()
        for attempt in result.attempts:
            self._count_attempt(attempt)
        if result.attempts:
            self.metrics.page_seconds.labels(engine).observe(result.duration_ms / 1000)
        if result.fallback_from and result.engine:
            self.metrics.fallbacks.labels(result.fallback_from, result.engine).inc()

    def _count_attempt(self, attempt: Attempt) -> None:
        self.metrics.attempts.labels(attempt.engine, str(attempt.verdict), attempt.error or "").inc()
        if attempt.residency:
            self.metrics.residency.labels(attempt.residency.reason).inc()
        if attempt.first_token_ms is not None:
            self.metrics.first_token_seconds.observe(attempt.first_token_ms / 1000)

    def whole(self, result: DocumentResult, written: Sequence[Packed[bytes]] | None) -> Iterator[bytes]:
        """Render everything, a part at a time; ``written`` are the pages' blocks, if there are any."""
        yield common.render(ocr.SummaryBody(**self._summary(result)))[:-1] + b',"pages":['
        for at, page in enumerate(result.pages):
            fields = evidence.fields_of(page, written[at] if written else None)
            yield (b"," if at else b"") + _with_fields(self.page_body(page), fields)
        yield b"]}"

    def begun(self, facts: DocumentFacts) -> ocr.DocumentEvent:
        """Render what is known once the document is open."""
        return ocr.DocumentEvent(
            request_id=self.request_id,
            kind=facts.kind,
            page_count=len(facts.pages),
            document_page_count=facts.page_count,
        )

    async def page_line(self, page: PageResult, writer: BlockWriter) -> bytes:
        """Render a page that is told by itself."""
        pages = PackedPages([page.structured] if page.structured else [])
        written = await writer.write(pages, self.wanted)
        fields = evidence.fields_of(page, written[0] if written else None)
        return _with_fields(ocr.PageEvent(**self.page_fields(page)), fields)

    def failed(self, error: SidecarError) -> ocr.ErrorEvent:
        """Render an error that comes after the first line."""
        self.metrics.errors.labels(error.code).inc()
        return ocr.ErrorEvent(detail=error.detail, code=error.code, request_id=self.request_id, status=error.status)

    def done(self, result: DocumentResult) -> ocr.DoneEvent:
        """Render everything but the pages."""
        return ocr.DoneEvent(**self._summary(result))

    def count(self, result: DocumentResult) -> None:
        """Count a document that was read, and have each page's line written into the audit file."""
        self.metrics.documents.labels(result.engine_used).inc()
        for warning in self.warnings(result):
            self.metrics.warnings.labels(warning).inc()
        if self._audit:
            self._audit.put(list(audit_lines(result, self.request_id, self._read_at)))

    def page_body(self, page: PageResult) -> ocr.PageBody:
        """Render a page."""
        return ocr.PageBody(**self.page_fields(page))

    def page_fields(self, page: PageResult) -> dict[str, Any]:
        """Render a page's fields: what was not asked for is left out."""
        more = {"receipt": page_receipt_body(page.receipt)} if self.wanted.receipt else {}
        return _page_fields(page) | more

    def warnings(self, result: DocumentResult) -> list[WarningCode]:
        """Return the document's warnings, and that fields were ignored."""
        return [*result.warnings, *([WarningCode.UNKNOWN_FIELD] if self.ignored_fields else [])]

    def _summary(self, result: DocumentResult) -> dict[str, Any]:
        return {
            "text": result.text,
            "ocr_used": ocr_used(result.pages),
            "page_count": len(result.pages),
            "char_count": len(result.text),
            "engine_used": result.engine_used,
            "document_page_count": result.facts.page_count,
            "unread_pages": list(result.unread),
            "request_id": self.request_id,
            "processing_time_ms": round((self._took_s or time.monotonic() - self._started) * 1000),
            "model_used": result.model.model.name if result.model else None,
            "model_digest": result.model.model.digest if result.model else None,
            "profile": _profile_body(result.profile),
            "recipe": result.model.recipe if result.model else None,
            "parameters": dict(result.model.parameters) if result.model else {},
            "residency": _residency_body(result.residency),
            "warnings": self.warnings(result),
            "ignored_fields": self.ignored_fields,
            "receipt": receipt_body(result.facts, self._read_at) if self.wanted.receipt else None,
        }


class StreamedAnswer:
    """An answer written line by line; the response begins with its first line."""

    def __init__(self, request: web.Request, answer: Answer, writer: BlockWriter) -> None:
        self._request = request
        self._answer = answer
        self._writer = writer
        self._stall_s = request.app[SETTINGS].receive_timeout_s
        self.response = web.StreamResponse(headers={"Content-Type": common.NDJSON, "Cache-Control": "no-store"})

    async def document(self, facts: DocumentFacts) -> None:
        """Write the first line."""
        await self.response.prepare(self._request)
        await self._write(self._answer.begun(facts))

    async def page(self, result: PageResult) -> None:
        """Write a page's line."""
        await self._answer.page(result)
        await self._write_line(await self._answer.page_line(result, self._writer))

    async def done(self, result: DocumentResult) -> None:
        """Write the last line of a document that was read."""
        await self._write(self._answer.done(result))

    async def failed(self, error: SidecarError) -> None:
        """Write the last line of a document that was not."""
        await self._write(self._answer.failed(error))

    async def finish(self) -> None:
        """End the response."""
        await deliver.in_time(self._request, self.response.write_eof(), self._stall_s)

    async def _write(self, body: common.Wire) -> None:
        await self._write_line(common.render(body))

    async def _write_line(self, line: bytes) -> None:
        """Write a line, in parts that a caller who reads at all takes in time."""
        for first in range(0, len(line), deliver.SLICE_BYTES):
            writing = self.response.write(line[first : first + deliver.SLICE_BYTES])
            await deliver.in_time(self._request, writing, self._stall_s)
        await deliver.in_time(self._request, self.response.write(b"\n"), self._stall_s)


def _verdict(page: PageResult) -> str:
    return str(PageVerdict.FAILED if page.engine is None else page.verdict)


def _profile_body(profile: Profile | None) -> ocr.ProfileBody | None:
    return ocr.ProfileBody(name=profile.name, revision=profile.revision) if profile else None


def _residency_body(decision: OcrResidencyDecision | None) -> ocr.ResidencyBody | None:
    if decision is None:
        return None
    return ocr.ResidencyBody(
        keep_alive_seconds=decision.keep_alive_seconds,
        vram_headroom_mb=decision.vram_headroom_mb,
        reason=decision.reason,
    )


def _attempt_body(attempt: Attempt) -> ocr.AttemptBody:
    return ocr.AttemptBody(
        engine=attempt.engine,
        duration_ms=attempt.duration_ms,
        verdict=attempt.verdict,
        error=attempt.error,
        done_reason=attempt.done_reason,
        parameters=dict(attempt.parameters),
        residency=_residency_body(attempt.residency),
        first_token_ms=attempt.first_token_ms,
    )


def _with_fields(body: ocr.PageBody, fields: bytes) -> bytes:
    """Render a page with the fields that workers wrote."""
    return body.model_dump_json(by_alias=True, exclude=ocr.EVIDENCE).encode()[:-1] + b"," + fields + b"}"


def _page_fields(page: PageResult) -> dict[str, Any]:
    return {
        "page": page.page,
        "text": page.text,
        "engine": page.engine,
        "char_count": len(page.text),
        "duration_ms": page.duration_ms,
        "attempts": [_attempt_body(attempt) for attempt in page.attempts],
        "done_reason": page.done_reason,
        "blank": page.blank,
        "truncated": page.verdict is PageVerdict.TRUNCATED,
        "looped": page.verdict is PageVerdict.LOOPED,
        "echoed": page.verdict is PageVerdict.ECHOED,
        "fallback_from": page.fallback_from,
        "confidence": page.confidence,
        "rotation": page.rotation,
        "text_layer": ocr.TextLayerBody(repaired=list(page.repaired)) if page.repaired else None,
        "corrections": [ocr.CorrectionBody(read=one.read, corrected=one.corrected) for one in page.corrections],
        "numerals_doubtful": page.numerals_doubtful,
        "quality": quality_body(page.quality),
        "verification": verification_body(page.verification),
        "disagreements": disagreement_bodies(page.verification),
        "second_opinion": page.second_opinion,
        "error": page.error.code if page.error else None,
    }
