"""A check by another engine costs no text, no time beyond a deadline, and is counted like any reading."""

# ruff: noqa: ARG002 - an engine has the protocol's shape, whether it needs all of it or not

import asyncio
import time
from dataclasses import replace

import pytest

from sidecar.errors import EngineFailedError, QueueFullError
from sidecar.evidence.agreement import Verify
from sidecar.ocr.engine import EngineTraits, PageText
from sidecar.profiles.payload import Profile
from sidecar.profiles.precedence import Overrides, instruct
from sidecar.runtime.admission import Admission
from sidecar.runtime.capability import Capability
from tests.integration.sidecar.documents import PdfMaker
from tests.unit.sidecar.ocr.test_reader import Engine, Hearsay, Second, job, reader_with

__all__ = ["job"]

CHECKS = EngineTraits("checker", may_check=True)


class Saying(Engine):
    """An engine that reads what a test says; pages that it read are counted."""

    capability = Capability("ready")

    def __init__(self, traits, text, confidence=99, **traps):
        super().__init__(traits, **traps)
        self.text, self.confidence = text, confidence
        self.reads = 0

    async def read(self, order, page, attempt, deadline_s):
        self.reads += 1
        await self._work("read")
        return PageText(self.text, confidence=self.confidence)


class SayingSecond(Saying):
    """One that may give second opinions, too."""

    def covers(self, languages, text):
        return text.isascii()


def asked(job, verify=Verify.NUMBERS, **changes):
    order = replace(job.order, instructions=instruct(None, "a-model", Overrides(verify=verify)), page_timeout_s=5)
    return replace(job, order=order, **changes)


async def read(job, *engines, **options):
    async with asyncio.timeout(10):
        result = await reader_with(*engines, **options).read(job, Hearsay())
    (page,) = result.pages
    return page, result


async def test_what_another_engine_read_otherwise_is_listed(job):
    page, result = await read(asked(job), Saying(EngineTraits("first"), "sum 1,234"), Saying(CHECKS, "sum 1,284"))
    (found,) = page.verification.disagreements
    assert (page.text, found.mine, found.other) == ("sum 1,234", "1,234", "1,284")
    assert (page.verification.outcome, page.verification.engine) == ("differs", "checker")
    assert "readers-disagree" in result.warnings
    assert "not-verified" not in result.warnings
    assert len(page.attempts) == 1, "a check is no attempt at the page's text"


async def test_readers_that_agree_are_no_warning(job):
    page, result = await read(asked(job), Saying(EngineTraits("first"), "sum 1,234"), Saying(CHECKS, "Sum 1234"))
    assert (page.verification.outcome, page.verification.disagreements) == ("agrees", ())
    assert not {"readers-disagree", "not-verified"} & set(result.warnings)


@pytest.mark.parametrize("verify", [Verify.NONE, None])
async def test_nobody_is_asked_unless_it_is_wanted(job, verify):
    checker = Saying(CHECKS, "sum 1,284")
    page, _ = await read(asked(job, verify), Saying(EngineTraits("first"), "sum 1,234"), checker)
    assert (page.verification, checker.reads) == (None, 0)


async def test_without_another_engine_the_page_is_not_verified(job):
    page, result = await read(asked(job), Saying(replace(CHECKS, name="only"), "sum 1,234"))
    assert (page.verification.outcome, page.verification.reason) == ("unverified", "no-checker")
    assert "not-verified" in result.warnings
    assert page.text == "sum 1,234"


async def test_an_engine_that_does_not_know_the_languages_is_not_asked(job):
    checker = Saying(CHECKS, "sum 1,284", languages="tha")
    page, _ = await read(asked(job), Saying(EngineTraits("first"), "sum 1,234"), checker)
    assert (page.verification.reason, checker.reads) == ("no-checker", 0)
    blind = SayingSecond(replace(CHECKS, gives_opinions=True), "sum 1,284")
    page, _ = await read(asked(job), Saying(EngineTraits("first"), "ยอด 1,234"), blind)
    assert (page.verification.reason, blind.reads) == ("no-checker", 0)


async def test_a_check_that_fails_leaves_the_text_unverified(job):
    checker = Saying(CHECKS, "", raises=EngineFailedError("broken"))
    page, result = await read(asked(job), Saying(EngineTraits("first"), "sum 1,234"), checker)
    assert (page.text, page.verification.reason) == ("sum 1,234", "engine_failed")
    assert "not-verified" in result.warnings


async def test_a_check_ends_at_the_documents_deadline_and_the_text_stands(job):
    checker = Saying(CHECKS, "", hangs_in="read")
    due = asked(job, ends_s=time.monotonic() + 0.3)
    due = replace(due, order=replace(due.order, page_timeout_s=60))
    page, result = await read(due, Saying(EngineTraits("first"), "sum 1,234"), checker)
    assert (page.text, page.verification.reason) == ("sum 1,234", "deadline_exceeded")
    assert (checker.cancelled, result.unread) == (1, ())


async def test_no_check_begins_after_the_documents_deadline(job):
    first = Saying(EngineTraits("first"), "sum 1,234", confidence=50)
    second = Second(EngineTraits("second", gives_opinions=True), hangs_in="read")
    checker = Saying(CHECKS, "sum 1,284")
    due = asked(job, ends_s=time.monotonic() + 0.3)
    due = replace(due, order=replace(due.order, page_timeout_s=60))
    page, _ = await read(due, first, second, checker, second="second")
    assert (page.text, page.verification.reason, checker.reads) == ("sum 1,234", "deadline_exceeded", 0)


async def test_a_second_opinion_is_compared_and_not_read_again(job):
    first = Saying(EngineTraits("first"), "sum 1,234", confidence=60)
    second = SayingSecond(replace(CHECKS, gives_opinions=True), "sum 1,284", confidence=50)
    page, _ = await read(asked(job), first, second, second="checker")
    assert (page.engine, second.reads, len(page.verification.disagreements)) == ("first", 1, 1)


async def test_a_check_counts_as_a_page_more(job):
    def reader(most: int):
        made = reader_with(Saying(EngineTraits("first"), "sum 1,234"), Saying(CHECKS, "sum 1,234"))
        made.admission = Admission(most)
        return made

    full = reader(2)
    with full.admission.admit(1), pytest.raises(QueueFullError):
        await full.read(asked(job), Hearsay())
    roomy = reader(3)
    with roomy.admission.admit(1):
        await roomy.read(asked(job), Hearsay())
    assert roomy.admission.admitted == 0


def test_a_request_wins_over_its_profile():
    profile = Profile(name="p", verify="all")
    assert instruct(profile, "m").verify is Verify.ALL
    assert instruct(profile, "m", Overrides(verify=Verify.NONE)).verify is Verify.NONE
    assert instruct(None, "m").verify is Verify.NONE


@pytest.mark.parametrize(
    ("reader", "digital", "readings"),
    [(CHECKS, False, 1), (CHECKS, True, 0), (EngineTraits("model"), False, 2), (EngineTraits("model"), True, 0)],
)
async def test_places_count_as_a_page_more_only_where_another_engine_must_tell_them(job, reader, digital, readings):
    def made(most: int):
        of = reader_with(Saying(reader, "sum 1,234"), Saying(replace(CHECKS, name="other"), "sum 1,234"))
        of.admission = Admission(most)
        return of

    if digital:
        job.order.document.write_bytes(PdfMaker().text_page().finish())
    placed = replace(job, order=replace(job.order, wants_layout=True, page_timeout_s=5))
    roomy = made(1 + readings)
    with roomy.admission.admit(1):
        await roomy.read(placed, Hearsay())
    full = made(readings)
    if readings:
        with full.admission.admit(1), pytest.raises(QueueFullError):
            await full.read(placed, Hearsay())


@pytest.mark.parametrize(
    ("mine", "other", "score"),
    [
        ("the sum is due", "the sum 1,284 is due", 0.0),
        ("the sum is due 2026", "the sum 1,284 is due 2026", 0.0),
        ("the sum 1,234 is due 2026", "the sum 1,284 is due 2026", 0.5),
    ],
)
async def test_a_page_that_lacks_the_numbers_another_engine_saw_is_low(job, mine, other, score):
    page, _ = await read(asked(job), Saying(EngineTraits("model"), mine), Saying(CHECKS, other))
    assert (page.quality.score, page.quality.origin, page.quality.verdict) == (score, "agreement", "low")


async def test_of_a_page_without_numbers_nothing_is_known_by_them(job):
    said = "the sum is due"
    page, _ = await read(asked(job), Saying(EngineTraits("model"), said), Saying(CHECKS, said))
    assert (page.verification.outcome, page.quality) == ("agrees", None)
