"""The warnings of a document's answer: what differs from what was asked. Pure."""

from collections.abc import Collection, Iterator, Sequence

from sidecar.documents.pages import DocumentFacts
from sidecar.ocr import page_reading
from sidecar.ocr.engine import EngineTraits
from sidecar.ocr.job import ReadJob
from sidecar.ocr.page_reading import PageResult
from sidecar.ocr.warning_codes import WarningCode
from sidecar.profiles.payload import find_placeholders


def document_warnings(
    job: ReadJob,
    facts: DocumentFacts,
    pages: Sequence[PageResult],
    tried: Collection[EngineTraits],
    readers: Collection[EngineTraits],
) -> Iterator[WarningCode]:
    """Yield each code once; ``tried`` are the engines that were to read, ``readers`` those whose text is used."""
    if facts.limited:
        yield WarningCode.PAGES_LIMITED
    if facts.repaired:
        yield WarningCode.DOCUMENT_REPAIRED
    if facts.hides_form:
        yield WarningCode.FORM_NOT_SHOWN
    profiled = {one.name for one in tried if one.follows_profiles}
    yield from page_reading.page_warnings(pages, profiled)
    if any(page.implausible_layer for page in facts.pages):
        yield WarningCode.TEXT_LAYER_IMPLAUSIBLE
    if profiled and job.order.instructions.profile is None:
        yield WarningCode.PROFILE_MISSING
    sent = job.order.instructions
    if any(one.takes_prompt for one in tried) and find_placeholders(sent.system_prompt, sent.user_prompt):
        yield WarningCode.PROMPT_UNFILLED
    if not job.requested.met_by(readers) or any(page.parameters_left_out for page in pages):
        yield WarningCode.PARAMETERS_NOT_APPLIED
