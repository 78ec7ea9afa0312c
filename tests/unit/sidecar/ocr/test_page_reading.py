"""What becomes of a page over all tries, and of a document over all pages."""

import pytest

from sidecar.engines.rapidocr.engine import RapidEngine
from sidecar.engines.tesseract.engine import TesseractEngine
from sidecar.engines.vision import VisionEngine
from sidecar.errors import (
    DeadlineError,
    EngineFailedError,
    EngineRefusedError,
    EngineUnavailableError,
    GpuPressureError,
    ModelMissingError,
    PageUnreadableError,
    SidecarError,
)
from sidecar.gpu.residency_policy import OcrResidencyDecision
from sidecar.ocr.engine import FAST_PATH, MIXED, Attempt, EngineTraits, PageText, PageVerdict, TryFailedError
from sidecar.ocr.page_reading import (
    PageReading,
    PageResult,
    engine_used,
    ocr_used,
    page_warnings,
    raise_if_none_worked,
    readers,
)
from sidecar.ocr.page_reading import tried as asked_of
from sidecar.ocr.warning_codes import WarningCode

STAYS = OcrResidencyDecision(120, 9000, "headroom-sufficient")
MODEL, EMBEDDED, SECOND = VisionEngine.traits, TesseractEngine.traits, RapidEngine.traits
NP_DMS_OCR, TESSERACT = MODEL.name, EMBEDDED.name
GOOD, TRUNCATED, LOOPED, EMPTY = PageVerdict.GOOD, PageVerdict.TRUNCATED, PageVerdict.LOOPED, PageVerdict.EMPTY


def reading(*tries: PageText | SidecarError, wanted: EngineTraits = MODEL) -> PageReading:
    """Try with the model, as often as there are tries."""
    page = PageReading(1, wanted.name)
    return tried(page, MODEL, *tries)


def tried(page: PageReading, engine: EngineTraits, *tries: PageText | SidecarError) -> PageReading:
    for one in tries:
        if isinstance(one, SidecarError):
            page.fail(engine, TryFailedError(one), 0.5)
        else:
            page.add(engine, one, 0.5)
    return page


def text(content: str, verdict: PageVerdict = GOOD, **fields: object) -> PageText:
    return PageText(content, verdict=verdict, **fields)


# ── one page ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_good_text_settles_the_page():
    page = reading(text("a page"))
    assert page.is_settled
    assert page.result() == PageResult(
        1, "a page", NP_DMS_OCR, 500, (Attempt(NP_DMS_OCR, 500, GOOD, None, "stop"),), done_reason="stop"
    )


def doubtful(content: str = "som e wurds", wanted: EngineTraits = EMBEDDED) -> PageReading:
    return tried(PageReading(1, wanted.name), EMBEDDED, text(content, GOOD if content else EMPTY, confidence=60))


def test_only_a_settled_page_is_doubtful():
    assert doubtful().is_doubtful
    assert doubtful("").is_doubtful
    assert not reading(text("part", TRUNCATED, confidence=60)).is_doubtful
    assert not tried(PageReading(1, TESSERACT), EMBEDDED, text("", blank=True)).is_doubtful


def test_the_better_of_two_readings_is_the_answer_and_no_fallback():
    page = doubtful()
    page.add_second(SECOND, text("some words", confidence=98), 2)
    result = page.result()
    assert (result.text, result.engine, result.confidence) == ("some words", "rapidocr", 98)
    assert (result.second_opinion, result.fallback_from, result.is_answer) == ("rapidocr", None, True)
    assert [(one.engine, one.verdict) for one in result.attempts] == [(TESSERACT, GOOD), ("rapidocr", GOOD)]
    assert (result.duration_ms, list(page_warnings([result], set()))) == (2500, [])


def test_a_second_reading_that_is_no_better_is_told_and_not_taken():
    page = doubtful()
    page.add_second(SECOND, text("s", confidence=98), 2)
    result = page.result()
    assert (result.text, result.engine, result.second_opinion) == ("som e wurds", TESSERACT, "rapidocr")


def test_a_second_reading_that_fails_costs_nothing():
    page = doubtful()
    page.fail_second(SECOND, TryFailedError(DeadlineError("late")), 2)
    result = page.result()
    assert (result.text, result.engine, result.second_opinion, result.error) == (
        "som e wurds",
        TESSERACT,
        "rapidocr",
        None,
    )
    assert result.attempts[-1].error == "deadline_exceeded"
    assert list(page_warnings([result], set())) == []


def test_after_a_fallback_the_second_reading_hides_nothing():
    page = tried(PageReading(1, NP_DMS_OCR), MODEL, EngineUnavailableError("away"))
    tried(page, EMBEDDED, text("som e wurds", confidence=60))
    page.add_second(SECOND, text("some words", confidence=98), 2)
    result = page.result()
    assert (result.engine, result.fallback_from) == ("rapidocr", NP_DMS_OCR)
    assert list(page_warnings([result], {NP_DMS_OCR})) == ["engine-fallback", "engine-unavailable"]


def test_a_language_that_nobody_reads_is_warned_of():
    page = PageResult(1, "a", "rapidocr", 1, languages_unread=True)
    assert list(page_warnings([page], set())) == ["languages-unread"]


@pytest.mark.parametrize("verdict", [TRUNCATED, LOOPED, EMPTY])
def test_what_is_not_good_settles_nothing_and_is_no_answer(verdict):
    page = reading(text("part", verdict))
    assert not page.is_settled
    assert (page.result().text, page.result().verdict, page.result().is_answer) == ("part", verdict, False)


@pytest.mark.parametrize(
    ("tries", "kept"),
    [
        pytest.param([("ab", TRUNCATED), ("abc", TRUNCATED)], "abc", id="the longer of two parts"),
        pytest.param([("abc", TRUNCATED), ("ab", TRUNCATED)], "abc", id="whichever came first"),
        pytest.param([("a", TRUNCATED), ("x" * 999, LOOPED)], "a", id="no loop before a part"),
        pytest.param([("x" * 999, LOOPED), ("a", TRUNCATED)], "a", id="nor after"),
        pytest.param([("abc", TRUNCATED), ("d", GOOD)], "d", id="a good one, however short"),
        pytest.param([("abc", LOOPED), ("", EMPTY)], "abc", id="some text before none"),
    ],
)
def test_the_best_of_the_tries_is_kept(tries, kept):
    assert reading(*(text(*one) for one in tries)).result().text == kept


def test_tesseract_is_believed_that_there_is_no_text_and_the_model_is_not():
    assert not reading(text("", EMPTY)).is_settled
    page = tried(PageReading(1, TESSERACT), EMBEDDED, text("", EMPTY))
    assert (page.is_settled, page.result().is_answer, page.result().verdict) == (True, True, EMPTY)


def test_no_text_does_not_stand_against_a_part_of_the_page():
    page = tried(reading(text("part", TRUNCATED)), EMBEDDED, text("", EMPTY))
    assert (page.result().text, page.result().engine, page.result().is_answer) == ("part", NP_DMS_OCR, False)


def test_tesseract_settles_a_page_on_which_the_model_found_nothing():
    result = tried(reading(text("", EMPTY)), EMBEDDED, text("", EMPTY)).result()
    assert (result.engine, result.fallback_from, result.is_answer) == (TESSERACT, NP_DMS_OCR, True)


def test_who_stood_in_is_named_with_whom_for():
    result = tried(reading(GpuPressureError()), EMBEDDED, text("a page", confidence=80, rotation=90)).result()
    assert (result.engine, result.fallback_from, result.error) == (TESSERACT, NP_DMS_OCR, None)
    assert (result.confidence, result.rotation, result.is_answer) == (80, 90, True)


def test_a_page_that_nobody_read_has_the_first_error_and_no_engine():
    first, second = GpuPressureError("full"), PageUnreadableError("broken")
    result = tried(reading(first), EMBEDDED, second).result()
    assert (result.engine, result.error, result.verdict) == (None, first, PageVerdict.FAILED)
    assert [attempt.error for attempt in result.attempts] == ["gpu_pressure", "page_unreadable"]


def test_a_page_without_any_try_is_an_error_all_the_same():
    assert reading().result().error is not None


def test_an_error_in_the_middle_of_a_text_stays_with_the_page_until_another_try_is_good():
    error = EngineFailedError("broke off")
    page = reading(text("part", TRUNCATED, error=error))
    assert (page.result().text, page.result().error) == ("part", error)
    assert tried(page, EMBEDDED, text("whole")).result().error is None


def test_every_try_is_on_record_and_their_times_add_up():
    residency = OcrResidencyDecision(120, 6000, "headroom-sufficient")
    page = PageReading(3, NP_DMS_OCR)
    page.add(
        MODEL,
        text("a", LOOPED, done_reason="loop", parameters={"seed": 1}, residency=residency, first_token_s=0.25),
        1.2344,
    )
    page.fail(MODEL, TryFailedError(DeadlineError()), 2.0)
    assert page.result().attempts == (
        Attempt(NP_DMS_OCR, 1234, LOOPED, None, "loop", {"seed": 1}, residency, 250),
        Attempt(NP_DMS_OCR, 2000, PageVerdict.FAILED, "deadline_exceeded"),
    )
    assert (page.result().page, page.result().duration_ms) == (3, 3234)


def test_a_page_found_blank_by_the_model_is_good_and_blank():
    result = reading(PageText("", blank=True, done_reason="blank")).result()
    assert (result.blank, result.is_answer, result.done_reason) == (True, True, "blank")


# ── a document ────────────────────────────────────────────────────────────────────────────────────────────────────


def fast(number: int = 1, *, blank: bool = False) -> PageResult:
    return PageResult(number, "" if blank else "text", FAST_PATH, 0, blank=blank)


def failed(error: SidecarError | None = None) -> PageResult:
    return PageResult(1, "", None, 0, error=error or PageUnreadableError(), is_answer=False)


@pytest.mark.parametrize("pages", [[], [fast()], [failed(), fast()], [reading(text("a")).result(), failed()]])
def test_one_page_that_worked_is_enough(pages):
    raise_if_none_worked(pages)


def test_without_a_page_that_worked_the_first_error_is_raised():
    pages = [reading(text("part", TRUNCATED)).result(), failed(GpuPressureError("full")), failed()]
    with pytest.raises(GpuPressureError, match="full"):
        raise_if_none_worked(pages)


def test_scanned_backs_make_no_answer_of_a_document_that_nobody_could_read():
    with pytest.raises(GpuPressureError, match="full"):
        raise_if_none_worked([fast(blank=True), failed(GpuPressureError("full")), fast(3, blank=True)])


def test_a_document_of_blank_pages_is_an_answer():
    raise_if_none_worked([fast(blank=True), reading(PageText("", blank=True)).result()])


def test_what_was_sent_is_told_even_where_nothing_came_back():
    page = PageReading(1, NP_DMS_OCR)
    page.fail(MODEL, TryFailedError(DeadlineError(), {"temperature": 0.4}, STAYS), 1.0)
    (attempt,) = page.result().attempts
    assert (attempt.parameters, attempt.residency, attempt.error) == ({"temperature": 0.4}, STAYS, "deadline_exceeded")


def test_pages_that_are_not_whole_and_had_no_error_are_an_engine_s_failure():
    pages = [reading(text("part", TRUNCATED)).result(), reading(text("x", LOOPED)).result()]
    with pytest.raises(EngineFailedError, match="no complete page; its pages are looped, truncated"):
        raise_if_none_worked(pages)


@pytest.mark.parametrize(
    ("pages", "name"),
    [
        ([fast()], FAST_PATH),
        ([fast(), reading(text("a")).result()], MIXED),
        ([fast(blank=True), reading(text("a")).result()], NP_DMS_OCR),
        ([fast(blank=True)], FAST_PATH),
        ([failed(), reading(text("a")).result()], NP_DMS_OCR),
        ([reading(text("a")).result(), tried(reading(GpuPressureError()), EMBEDDED, text("b")).result()], MIXED),
    ],
)
def test_who_read_the_document_is_named(pages, name):
    assert engine_used(pages) == name


@pytest.mark.parametrize(
    ("pages", "model", "ocr"),
    [
        ([fast()], False, False),
        ([failed()], False, False),
        ([reading(text("a", residency=STAYS)).result()], True, True),
        ([reading(PageText("", blank=True)).result()], False, True),
        ([tried(PageReading(1, TESSERACT), EMBEDDED, text("a")).result()], False, True),
        ([tried(reading(GpuPressureError()), EMBEDDED, text("a")).result()], True, True),
        ([reading(GpuPressureError()).result()], True, False),
    ],
)
def test_whether_the_model_was_tried_and_any_engine_used_is_told(pages, model, ocr):
    assert (NP_DMS_OCR in asked_of(pages), ocr_used(pages)) == (model, ocr)


@pytest.mark.parametrize(
    ("cause", "warning"),
    [
        (GpuPressureError(), WarningCode.GPU_PRESSURE),
        (ModelMissingError(), WarningCode.MODEL_MISSING),
        (EngineUnavailableError(), WarningCode.ENGINE_UNAVAILABLE),
        (EngineFailedError(), WarningCode.ENGINE_FAILED),
        (EngineRefusedError(), WarningCode.ENGINE_REFUSED),
        (DeadlineError(), WarningCode.DEADLINE_EXCEEDED),
        (text("a", TRUNCATED), WarningCode.PAGE_TRUNCATED),
        (text("a", LOOPED), WarningCode.PAGE_LOOPED),
        (text("", EMPTY), WarningCode.PAGE_EMPTY),
    ],
)
def test_why_the_model_was_not_used_is_a_warning_of_its_own(cause, warning):
    page = tried(reading(cause), EMBEDDED, text("a page")).result()
    assert list(page_warnings([page, page], {NP_DMS_OCR})) == [WarningCode.ENGINE_FALLBACK, warning]


@pytest.mark.parametrize(
    ("pages", "warnings"),
    [
        ([fast(), reading(text("a")).result()], []),
        ([fast(), failed()], [WarningCode.PAGE_FAILED]),
        ([reading(text("a", LOOPED), text("b")).result()], [WarningCode.PAGE_LOOPED, WarningCode.PAGE_RETRIED]),
        ([reading(text("a", LOOPED), text("b", LOOPED)).result()], [WarningCode.PAGE_LOOPED]),
        ([tried(PageReading(1, TESSERACT), EMBEDDED, text("", EMPTY)).result()], [WarningCode.PAGE_EMPTY]),
    ],
)
def test_what_the_pages_went_through_is_told_once(pages, warnings):
    assert list(page_warnings(pages, {NP_DMS_OCR})) == warnings


def test_who_read_is_who_gave_a_page_its_text():
    of_model, blank = reading(text("a")).result(), reading(PageText("", blank=True)).result()
    stood_in = tried(reading(GpuPressureError()), EMBEDDED, text("b")).result()
    assert readers([of_model, blank, fast(), failed()]) == {NP_DMS_OCR, FAST_PATH}
    assert readers([blank, stood_in]) == {TESSERACT}


ANY = EngineTraits("any")


@pytest.mark.parametrize(
    ("cause", "warning"),
    [(EngineFailedError(), WarningCode.ENGINE_FAILED), (text("a", TRUNCATED), WarningCode.PAGE_TRUNCATED)],
)
def test_why_a_page_went_from_one_engine_to_another_is_told_whatever_the_engine(cause, warning):
    page = tried(tried(PageReading(1, "any"), ANY, cause), EMBEDDED, text("a page")).result()
    assert list(page_warnings([page], set())) == [WarningCode.ENGINE_FALLBACK, warning]
