"""What the reader makes of engines of every kind: those that hang, say little of themselves, or take no languages."""

# ruff: noqa: ARG002 - an engine has the protocol's shape, whether it needs all of it or not

import asyncio
import dataclasses
import io
import time
from dataclasses import replace

import pytest
from PIL import Image

from sidecar.documents.document import DocumentLimits
from sidecar.documents.page_selection import PageRequest
from sidecar.errors import DeadlineError, LanguageMissingError, SidecarError
from sidecar.ocr.engine import (
    EngineModel,
    EngineTraits,
    PageText,
    PageVerdict,
    PreparedPage,
    ReadOrder,
    RequestedOptions,
)
from sidecar.ocr.job import ReadJob, ReadPolicy
from sidecar.ocr.reader import DocumentReader
from sidecar.profiles.precedence import instruct
from sidecar.runtime.admission import Admission
from sidecar.runtime.capability import Capability
from sidecar.runtime.fair_slots import FairSlots
from sidecar.runtime.workers.pool import WorkerLimits

DEADLINE_S = 0.05


class ThisProcess:
    """Does in this process what workers would do."""

    limits = WorkerLimits(count=1, memory_bytes=0, tasks=0, nice=0)

    async def run(self, function, *args, deadline_s):
        return function(*args)


class Hearsay:
    """Hears of the document, and keeps nothing."""

    async def document(self, facts):
        pass

    async def page(self, result):
        pass


class Engine:
    """An engine of which a test decides what each call does; calls are counted, and those that were cancelled."""

    def __init__(self, traits, *, hangs_in=None, raises=None, languages="eng", parameters=None):
        self.traits = traits
        self.hangs_in = hangs_in
        self.raises = raises
        self.languages = languages
        self.parameters = parameters or {}
        self.read_slots = self.prepare_slots = None
        self.cancelled = 0

    async def _work(self, step):
        if self.raises and step == "read":
            raise self.raises
        if self.hangs_in == step:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise

    def check_languages(self, languages):
        if languages != self.languages:
            raise LanguageMissingError(f"{self.traits.name} has no {languages}")

    def check(self, order):
        pass

    def model(self, order):
        return EngineModel(f"{self.traits.name}-1")

    def max_attempts(self, order):
        return 1

    async def prepare(self, order, index):
        await self._work("prepare")
        return PreparedPage(index)

    async def read(self, order, page, attempt, deadline_s):
        await self._work("read")
        return PageText("some text", parameters=self.parameters)


def reader_with(
    *engines: Engine, fallback: str | None = None, second: str | None = None, workers: ThisProcess | None = None
) -> DocumentReader:
    for engine in engines:
        engine.read_slots, engine.prepare_slots = FairSlots(1), FairSlots(1)
    policy = ReadPolicy(
        *(engines[0].traits.name, fallback),
        refuse_on_pressure=False,
        char_threshold=1,
        open_timeout_s=9,
        second_engine=second,
    )
    by_name = {engine.traits.name: engine for engine in engines}
    return DocumentReader(workers or ThisProcess(), by_name, Admission(9), DocumentLimits(10**8, 10**8, 200), policy)


@pytest.fixture
def job(tmp_path):
    out = io.BytesIO()
    Image.new("L", (60, 60), 0).save(out, "PNG")
    (tmp_path / "document").write_bytes(out.getvalue())
    order = ReadOrder(tmp_path / "document", DEADLINE_S, "eng", instruct(None, "a-model"))
    return ReadJob("auto", PageRequest((), 0, 0, 10), order, RequestedOptions())


# ── deadlines ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("step", ["prepare", "read"])
async def test_an_engine_that_does_not_end_at_its_deadline_is_cancelled_and_another_reads(job, step):
    hanging, other = Engine(EngineTraits("hanging"), hangs_in=step), Engine(EngineTraits("other"))
    async with asyncio.timeout(10):
        result = await reader_with(hanging, other, fallback="other").read(job, Hearsay())
    (page,) = result.pages
    assert [(one.engine, one.verdict, one.error) for one in page.attempts] == [
        ("hanging", PageVerdict.FAILED, "deadline_exceeded"),
        ("other", PageVerdict.GOOD, None),
    ]
    assert hanging.cancelled == 1
    assert "deadline-exceeded" in result.warnings
    assert (hanging.read_slots.busy, hanging.prepare_slots.busy) == (0, 0)


class Second(Engine):
    """An engine that gives second opinions."""

    capability = Capability("ready")

    text = ""

    def covers(self, languages, text):
        self.text = text
        return text.isascii()


class NotingSlots(FairSlots):
    """Slots that note who took one."""

    def __init__(self, slots):
        super().__init__(slots)
        self.callers = []

    def take(self, document, caller=None):
        self.callers.append(caller)
        return super().take(document, caller)


class Doubtful(Engine):
    """An engine that is never sure."""

    async def read(self, order, page, attempt, deadline_s):
        return PageText("first text", confidence=50)


class Speckled(Engine):
    """An engine that takes specks for Thai letters."""

    async def read(self, order, page, attempt, deadline_s):
        return PageText("first text ก", confidence=50, sure_text="first")


async def test_at_the_documents_deadline_the_first_reading_stands(job):
    first = Doubtful(EngineTraits("first"))
    second = Second(EngineTraits("second", gives_opinions=True), hangs_in="read")
    job = replace(job, ends_s=time.monotonic() + 0.3, order=replace(job.order, page_timeout_s=60))
    async with asyncio.timeout(10):
        result = await reader_with(first, second, second="second").read(job, Hearsay())
    assert (result.text, result.unread, second.cancelled) == ("first text", (), 1)


async def test_at_the_documents_deadline_no_page_begins_where_another_ends(tmp_path, job):
    pages = [Image.new("L", (60, 60), 0) for _ in range(5)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    order = replace(job.order, document=tmp_path / "pages.tif", page_timeout_s=60)
    engine = Engine(EngineTraits("slow"), hangs_in="read")
    reader, job = reader_with(engine), replace(job, ends_s=time.monotonic() + 0.3, order=order)
    async with asyncio.timeout(10):
        with pytest.raises(DeadlineError):
            await reader.read(job, Hearsay())
    assert engine.cancelled == 1, "the others had not begun"


async def test_second_opinions_are_given_in_turn_between_callers(job):
    first = Doubtful(EngineTraits("first"))
    second = Second(EngineTraits("second", gives_opinions=True))
    reader = reader_with(first, second, second="second")
    second.prepare_slots = second.read_slots = slots = NotingSlots(2)
    await reader.read(replace(job, order=replace(job.order, caller="a key")), Hearsay())
    assert slots.callers == ["a key", "a key"]


async def test_stray_letters_of_another_script_do_not_keep_a_second_engine_from_reading(job):
    second = Second(EngineTraits("second", gives_opinions=True))
    result = await reader_with(Speckled(EngineTraits("first")), second, second="second").read(job, Hearsay())
    assert (second.text, result.pages[0].second_opinion) == ("first text ", "second")


@pytest.mark.parametrize("step", ["prepare", "read"])
async def test_without_another_the_caller_hears_of_the_deadline(job, step):
    with pytest.raises(SidecarError) as refused:
        async with asyncio.timeout(10):
            await reader_with(Engine(EngineTraits("hanging"), hangs_in=step)).read(job, Hearsay())
    assert refused.value.code == "deadline_exceeded"


async def test_an_engine_s_own_timeout_is_no_bug_of_the_service(job):
    with pytest.raises(SidecarError) as refused:
        await reader_with(Engine(EngineTraits("slow"), raises=TimeoutError())).read(job, Hearsay())
    assert refused.value.code == "deadline_exceeded"


# ── what read, and with what ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("parameters", [{}, {"level": 2}])
async def test_the_model_is_named_whether_or_not_it_was_sent_parameters(job, parameters):
    result = await reader_with(Engine(EngineTraits("plain"), parameters=parameters)).read(job, Hearsay())
    assert (result.model.model.name, result.model.parameters) == ("plain-1", parameters)


# ── languages ─────────────────────────────────────────────────────────────────────────────────────────────────────

PLAIN, LINGUIST, POLYGLOT = (
    EngineTraits("plain"),
    EngineTraits("linguist", takes_languages=True),
    EngineTraits("polyglot", takes_languages=True),
)


@pytest.mark.parametrize(
    ("engine", "fallback", "refused_by"),
    [
        ("plain", None, None),
        ("plain", "linguist", "linguist"),
        ("linguist", None, "linguist"),
        ("polyglot", "linguist", None),
        ("auto", "linguist", "linguist"),
        ("linguist", "polyglot", "linguist"),
        ("unknown", None, None),
    ],
)
def test_only_the_first_that_takes_languages_and_may_read_is_asked_for_them(engine, fallback, refused_by):
    engines = (Engine(PLAIN), Engine(LINGUIST), Engine(POLYGLOT, languages="deu"))
    asked = reader_with(*engines, fallback=fallback)
    if refused_by is None:
        asked.check_languages(engine, "deu")
        return
    with pytest.raises(LanguageMissingError) as refused:
        asked.check_languages(engine, "deu")
    assert refused.value.detail == f"{refused_by} has no deu"


# ── between callers ───────────────────────────────────────────────────────────────────────────────────────────────


class SlowToOpen(ThisProcess):
    """Opens one document after the other, each when it is let."""

    def __init__(self):
        self.opened = []
        self.let = asyncio.Semaphore(0)

    async def run(self, function, *args, deadline_s):
        self.opened.append(args[0].name)
        await self.let.acquire()
        return function(*args)


async def test_documents_are_opened_in_turn_between_callers(job):
    workers, engine = SlowToOpen(), Engine(EngineTraits("engine"))
    reader = reader_with(engine, workers=workers)
    content = job.order.document.read_bytes()
    reading = []
    for name, caller in [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")]:
        path = job.order.document.with_name(name)
        path.write_bytes(content)
        order = dataclasses.replace(job.order, document=path, caller=caller)
        reading.append(asyncio.create_task(reader.read(dataclasses.replace(job, order=order), Hearsay())))
        await asyncio.sleep(0)
    for _ in reading:
        workers.let.release()
    await asyncio.gather(*reading)

    assert workers.opened == ["a1", "a2", "b1", "a3"]
