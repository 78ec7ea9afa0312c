"""How sure a page's text is, by all that is known of it. Pure."""

from dataclasses import replace

from sidecar.evidence.confidence import Doubts, QualityLimits, quality
from sidecar.ocr.engine import PageVerdict
from sidecar.ocr.page_reading import PageResult


def judged(page: PageResult, limits: QualityLimits) -> PageResult:
    """Add how sure the page's text is; nothing is said of a page that is blank or was not read."""
    if page.blank or page.engine is None:
        return page
    check = page.verification
    doubts = Doubts(
        is_partial=not page.is_answer or page.verdict in (PageVerdict.TRUNCATED, PageVerdict.LOOPED),
        is_guessed=page.numerals_doubtful or page.languages_unread or bool(check and check.disagreements),
        disagreed=check.disagreed if check else None,
    )
    return replace(page, quality=quality(page.certainty, doubts, limits))
