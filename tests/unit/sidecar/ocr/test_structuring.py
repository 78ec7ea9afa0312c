"""When the structure of a document is told, from what, and what becomes of an answer without it."""

# ruff: noqa: ARG002 - an engine has the protocol's shape, whether it needs all of it or not

import asyncio
import time
from dataclasses import replace

import pytest
from PIL import Image

from sidecar.documents import document
from sidecar.errors import DeadlineError
from sidecar.evidence.layout import Box, Layout, Line, Source, Word
from sidecar.evidence.packed import Packed, PackedPages
from sidecar.ocr.engine import EngineTraits, PageText
from sidecar.ocr.reader import DocumentReader
from sidecar.ocr.results.structuring import structure
from sidecar.runtime.workers.pool import WorkerDiedError
from tests.integration.sidecar.documents import PdfMaker
from tests.unit.sidecar.ocr.test_reader import Engine, Hearsay, ThisProcess, job, reader_with

__all__ = ["job"]

LAYOUT = Layout(100, 200, (Line((Word("some", Box(1, 2, 30, 12), 0.9, Source.TESSERACT),), Box(1, 2, 30, 12)),))


class Placing(Engine):
    """An engine that tells places, where they are wanted."""

    async def read(self, order, page, attempt, deadline_s):
        return PageText("some", layout=Packed(LAYOUT) if order.wants_layout else None)


class Listener(Hearsay):
    """Keeps what it is told of pages."""

    def __init__(self):
        self.pages = []

    async def page(self, result):
        self.pages.append(result)


class Workers(ThisProcess):
    """Does in this process what workers would do, but what it is told to fail at, or to hang in."""

    def __init__(self, *, raises=None, hangs=False):
        self.raises = raises
        self.hangs = hangs
        self.structured = []

    async def run(self, function, *args, deadline_s):
        if function is structure:
            self.deadline_s = deadline_s
            self.structured.append([page.number for page in args[0]])
            if self.hangs:
                await asyncio.Event().wait()
            await asyncio.sleep(0.01)  # work in another process takes time
            if self.raises:
                raise self.raises
        return function(*args)


def placing(workers: Workers) -> DocumentReader:
    return reader_with(Placing(EngineTraits("placing")), workers=workers)


@pytest.fixture
def three_pages(tmp_path, job):
    pages = [Image.new("L", (60, 60), 0) for _ in range(3)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    return replace(job, order=replace(job.order, document=tmp_path / "pages.tif", wants_layout=True))


async def test_a_document_s_structure_is_told_once_of_all_its_pages(three_pages):
    workers, heard = Workers(), Listener()
    result = await placing(workers).read(three_pages, heard)
    assert workers.structured == [[1, 2, 3]]
    assert [(page.number, page.width, page.blocks[0].lines) for page in result.structured] == [
        (number, 100, LAYOUT.lines) for number in (1, 2, 3)
    ]
    assert [page.structured for page in heard.pages] == [None] * 3


async def test_pages_that_are_told_one_by_one_have_their_own_structure_and_nothing_of_it_is_kept(three_pages):
    workers, heard = Workers(), Listener()
    result = await placing(workers).read(replace(three_pages, streams=True), heard)
    assert workers.structured == [[1], [2], [3]]
    assert [page.structured.unpack().blocks[0].lines for page in heard.pages] == [LAYOUT.lines] * 3
    assert [(page.layout, page.structured) for page in result.pages] == [(None, None)] * 3
    assert not result.structured


async def test_a_long_document_s_structure_may_take_longer(tmp_path, job):
    maker, workers = PdfMaker(), Workers()
    for _ in range(120):
        maker.text_page(1, "Invoice 4711")
    job.order.document.write_bytes(maker.finish())
    wanted = replace(job, order=replace(job.order, wants_layout=True), pages=replace(job.pages, page_limit=200))
    result = await placing(workers).read(wanted, Hearsay())
    assert (len(result.structured), workers.deadline_s) == (120, 12)


async def test_nothing_is_told_that_nobody_wants(three_pages):
    workers = Workers()
    result = await placing(workers).read(
        replace(three_pages, order=replace(three_pages.order, wants_layout=False)), Hearsay()
    )
    assert (workers.structured, len(result.structured), result.warnings) == ([], 0, ())


@pytest.mark.parametrize("failure", [WorkerDiedError("died"), ValueError("a bug")])
@pytest.mark.parametrize("streams", [False, True])
async def test_structure_that_fails_costs_no_text(three_pages, failure, streams):
    heard = Listener()
    result = await placing(Workers(raises=failure)).read(replace(three_pages, streams=streams), heard)
    assert (result.text, len(result.structured)) == ("some\n\nsome\n\nsome", 0)
    assert result.warnings == ("blocks-missing",)
    assert [page.structured for page in heard.pages] == [None] * 3


@pytest.mark.parametrize("streams", [False, True])
async def test_structure_ends_with_the_document_s_deadline(three_pages, streams):
    job = replace(three_pages, ends_s=time.monotonic() + 0.5, streams=streams)
    async with asyncio.timeout(10):
        result = await placing(Workers(hangs=True)).read(job, Hearsay())
    assert result.text.startswith("some")
    assert "blocks-missing" in result.warnings


async def test_a_part_of_the_time_is_kept_for_the_structure_of_the_pages_that_were_read(three_pages):
    class Slow(Placing):
        async def read(self, order, page, attempt, deadline_s):
            if page.index:
                await asyncio.Event().wait()
            return await super().read(order, page, attempt, deadline_s)

    reader = reader_with(Slow(EngineTraits("slow")), workers=Workers())
    order = replace(three_pages.order, page_timeout_s=60)
    job = replace(three_pages, ends_s=time.monotonic() + 3, order=order)
    async with asyncio.timeout(20):
        result = await reader.read(job, Hearsay())
    assert (result.unread, [page.number for page in result.structured]) == ((2, 3), [1])
    assert result.warnings == ("deadline-partial",)


def test_pages_stay_packed_until_each_is_asked_for():
    pages = PackedPages([Packed(number) for number in range(5)])  # type: ignore[arg-type]
    assert (len(pages), pages[1], list(pages[3:]), list(pages)) == (5, 1, [3, 4], [0, 1, 2, 3, 4])


class SlowToPlace(Workers):
    """Opens no document in time whose places are wanted, or whose text layer is, where that is slow, too."""

    def __init__(self, *, layer_is_slow=False, too_slow=None):
        super().__init__()
        self.layer_is_slow, self.too_slow = layer_is_slow, too_slow or DeadlineError("too late")

    async def run(self, function, *args, deadline_s):
        if function is document.inspect and (args[2].wants_layout or (args[2].use_text_layer and self.layer_is_slow)):
            raise self.too_slow
        return await super().run(function, *args, deadline_s=deadline_s)


@pytest.fixture
def digital(job):
    job.order.document.write_bytes(PdfMaker().text_page(1, "Invoice 4711").finish())
    return replace(job, order=replace(job.order, wants_layout=True))


@pytest.mark.parametrize("failure", [DeadlineError("too late"), WorkerDiedError("died")])
@pytest.mark.parametrize("streams", [False, True])
async def test_a_text_layer_whose_places_take_too_long_is_the_text_nevertheless(digital, failure, streams):
    result = await placing(SlowToPlace(too_slow=failure)).read(replace(digital, streams=streams), Hearsay())
    assert (result.text, result.engine_used, result.warnings) == ("Invoice 4711", "fast-path", ("blocks-missing",))
    assert [[word.box for line in page.blocks[0].lines for word in line.words] for page in result.structured] == (
        [] if streams else [[None, None]]
    )


async def test_a_text_layer_that_takes_too_long_by_itself_is_given_up(digital):
    result = await placing(SlowToPlace(layer_is_slow=True)).read(digital, Hearsay())
    assert (result.text, result.engine_used, result.warnings) == ("some", "placing", ())


async def test_places_of_a_text_layer_that_is_not_the_text_may_be_missing(digital):
    result = await placing(SlowToPlace()).read(replace(digital, engine="placing"), Hearsay())
    assert (result.text, result.engine_used, result.warnings) == ("some", "placing", ())
