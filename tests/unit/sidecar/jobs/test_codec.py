"""Pages that cross from pod to pod as JSON: nothing that was read of one is lost, whatever it was."""

import dataclasses
import json
import zlib
from dataclasses import replace

import pytest

from sidecar.documents.pages import DocumentFacts, PageFacts, ShownPage
from sidecar.errors import EngineUnavailableError, PageTooLargeError
from sidecar.evidence.agreement import Disagreement
from sidecar.evidence.confidence import Certainty, Origin, Quality, Verdict
from sidecar.evidence.layout import Box, Layout, Line, Source, Word
from sidecar.evidence.packed import Packed
from sidecar.gpu.residency_policy import OcrResidencyDecision
from sidecar.jobs import codec
from sidecar.jobs.codec import SlicePages
from sidecar.ocr.checks.comparison import Outcome, Verification
from sidecar.ocr.engine import Attempt, Correction, EngineModel, PageText, PageVerdict
from sidecar.ocr.page_reading import PageResult
from sidecar.ocr.results.receipt import PageReceipt

WORD = Word("หน้า", Box(1, 2.5, 3, 4), 0.5, Source.TESSERACT, joins=True)
LINE = Line((WORD,), Box(1, 2, 3, 4), ((1.0, 4.0), (3.0, 4.0)), 12.5, is_bold=True)
LAYOUT = Layout(595, 842, (LINE,), 90, (Box(0, 0, 9, 1),), (Box(5, 5, 6, 6),))
SENT = {"temperature": 0, "stop": ["a", "ข"], "options": {"seed": None}}
RESIDENCY = OcrResidencyDecision(None, -1, "lease")
DIFFERENCE = Disagreement("1", None, Box(1, 2, 3, 4))
FULL = PageResult(
    page=3,
    text="หน้า \ud800 3",
    engine="a-model",
    duration_ms=7,
    attempts=(Attempt("a-model", 7, PageVerdict.LOOPED, "gpu_pressure", "stop", SENT, RESIDENCY, 5, blank=True),),
    done_reason="length",
    blank=True,
    verdict=PageVerdict.TRUNCATED,
    fallback_from="another",
    confidence=93,
    rotation=-1.5,
    corrections=(Correction("๕", "๔"),),
    numerals_doubtful=True,
    languages_unread=True,
    parameters_left_out=True,
    error=PageTooLargeError("is too large", field="pages", retry_after_s=4),
    is_answer=False,
    repaired=("marks-reordered",),
    second_opinion="rapidocr",
    layout=Packed(LAYOUT),
    unit=2.0,
    witness=Packed(replace(LAYOUT, lines=())),
    certainty=Certainty(next(iter(Origin)), 9, 2, 1),
    quality=Quality(0.25, "words+text", Verdict.LOW),
    other_reading=("tesseract", PageText("other", layout=Packed(LAYOUT), error=EngineUnavailableError("away"))),
    verification=Verification(
        Outcome.DIFFERS, "tesseract", 3, (Disagreement("1", None, Box(1, 2, 3, 4)),), 0.5, "late"
    ),
    parameters=SENT,
    picture_sha256="ab" * 32,
    receipt=PageReceipt(EngineModel("m", "cd" * 32), SENT, "ab" * 32, "generic", "ef" * 32),
    notes=("a note",),
    image=ShownPage(b"\xff\xd8\x00", 10, 20),
    structure_failed=True,
)
TOLD_ALONE = {"structured"}
"""Is made again where pages are told one by one."""


def opened(value: object) -> object:
    """With what is packed opened, and errors as what a caller sees of them: both are equal to themselves alone."""
    if isinstance(value, Packed):
        return opened(value.unpack())
    if isinstance(value, Exception):
        return type(value), value.detail, value.field, value.retry_after_s
    if dataclasses.is_dataclass(value):
        return type(value), {one.name: opened(getattr(value, one.name)) for one in dataclasses.fields(value)}
    return [opened(one) for one in value] if isinstance(value, tuple) else value


def there_and_back(pages: SlicePages) -> SlicePages:
    return codec.unpack(codec.pack(pages))


def test_the_page_of_these_tests_has_every_field():
    default = PageResult(1, "", None, 0)
    same = {one.name for one in dataclasses.fields(PageResult) if getattr(FULL, one.name) == getattr(default, one.name)}
    assert same == TOLD_ALONE


@pytest.mark.parametrize("page", [FULL, PageResult(1, "", None, 0)], ids=["full", "bare"])
def test_a_page_comes_back_as_it_was(page):
    assert opened(there_and_back(SlicePages(pages=(page,))).pages[0]) == opened(page)


def test_what_is_known_of_a_slice_comes_back():
    facts = DocumentFacts(
        "pdf", 9, (PageFacts(2, None, implausible_layer=True), PageFacts(3, blank=True)), True, size_bytes=5
    )
    pages = SlicePages(facts, unread=(4,), tries={3: 2}, given_back=1)
    assert there_and_back(pages) == pages


def test_what_another_version_wrote_is_not_guessed_at():
    told = json.loads(zlib.decompress(codec.pack(SlicePages()))) | {"schema": 99}
    with pytest.raises(codec.UnknownSchemaError):
        codec.unpack(zlib.compress(json.dumps(told).encode()))
