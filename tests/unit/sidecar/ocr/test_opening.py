"""Documents that are written in the task that opens them: which are, and that it makes no difference but in time."""

import io
import pickle
from dataclasses import replace
from functools import partial
from pathlib import Path

import pikepdf
import pytest
from PIL import Image

from sidecar.documents.document import FEW_PAGES
from sidecar.evidence.agreement import Verify
from sidecar.evidence.layout import Box, Layout, Line, Source, Word
from sidecar.evidence.packed import Packed
from sidecar.ocr.engine import EngineTraits
from sidecar.ocr.results.pages_written import to_write
from sidecar.outputs.formats import Output
from sidecar.outputs.writing import written
from sidecar.wire.answers.blocks import render_pages
from tests.integration.sidecar.documents import PdfMaker
from tests.unit.sidecar.ocr.test_reader import Engine, Hearsay, ThisProcess, job, reader_with

__all__ = ["job"]

DATA = Path(__file__).parents[3] / "data"


class Sending(ThisProcess):
    """Does in this process what workers would do, with what travels; keeps the names of the tasks."""

    def __init__(self):
        self.tasks = []

    async def run(self, function, *args, deadline_s):  # noqa: ARG002 - as a pool has it
        self.tasks.append(function.__name__)
        function, args = pickle.loads(pickle.dumps((function, args)))
        return pickle.loads(pickle.dumps(function(*args)))


def words(pages) -> list[bytes]:
    return [one.unpack() for one in render_pages(pages, with_words=True)]


def failing(pages) -> None:
    raise ValueError("a bug")


async def read(job, content: bytes, writer=None):
    job.order.document.write_bytes(content)
    workers = Sending()
    reader = reader_with(Engine(EngineTraits("engine")), workers=workers)
    wanted = replace(job, order=replace(job.order, wants_layout=True), writer=writer)
    return await reader.read(wanted, Hearsay()), workers.tasks


def with_unit() -> bytes:
    maker = PdfMaker().text_page(5).text_page(3)
    pdf = pikepdf.open(io.BytesIO(maker.finish()))
    pdf.pages[1].obj["/UserUnit"] = 2
    pdf.save(out := io.BytesIO())
    return out.getvalue()


DOCUMENTS = {
    "pages with Thai": (DATA / "digital.pdf").read_bytes,
    "a blank page": lambda: PdfMaker().text_page(9).empty_page().text_page(4).finish(),
    "a page whose unit is no point": with_unit,
}


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_a_document_of_text_layers_is_written_by_the_task_that_opens_it(job, name):
    content = DOCUMENTS[name]()
    plain, tasks = await read(job, content)
    at_once, one_task = await read(job, content, words)
    assert (tasks, one_task) == (["inspect", "structure"], ["open_and_write"])
    assert at_once.written == words(plain.structured)
    assert (at_once.text, at_once.warnings, len(at_once.structured)) == (plain.text, plain.warnings, 0)
    assert [page.layout for page in at_once.pages] == [None] * len(plain.pages)
    assert [replace(page, layout=None) for page in plain.pages] == list(at_once.pages)


async def test_it_is_written_in_the_format_that_is_wanted(job):
    content = (DATA / "digital.pdf").read_bytes()
    plain, _ = await read(job, content)
    at_once, _ = await read(job, content, partial(written, output=Output.HTML, verbatim={}))
    assert at_once.written == written(to_write(plain), Output.HTML, {})


async def test_what_cannot_be_written_so_is_written_as_others_are(job):
    content = PdfMaker().text_page(5).finish()
    plain, tasks = await read(job, content, failing)
    assert (plain.written, len(plain.structured), plain.warnings) == (None, 1, ())
    assert tasks == ["open_and_write", "structure"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda: PdfMaker().text_page(5).scan_page(Image.new("L", (99, 99), 0)).finish(), id="a scan"),
        pytest.param(
            lambda: (maker := PdfMaker(), [maker.text_page(5) for _ in range(FEW_PAGES + 1)])[0].finish(),
            id="many pages",
        ),
    ],
)
async def test_a_document_that_takes_more_is_not_written_at_once(job, content):
    plain, tasks = await read(replace(job, pages=replace(job.pages, page_limit=99)), content(), words)
    assert (plain.written, tasks) == (None, ["open_and_write", "structure"])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda job: replace(job, streams=True), id="told page by page"),
        pytest.param(
            lambda job: replace(
                job, order=replace(job.order, instructions=replace(job.order.instructions, verify=Verify.NUMBERS))
            ),
            id="held against another reading",
        ),
        pytest.param(lambda job: replace(job, engine="engine"), id="for an engine"),
    ],
)
async def test_a_document_of_which_more_is_wanted_is_not_written_at_once(job, change):
    result, tasks = await read(change(job), PdfMaker().text_page(5).finish(), words)
    assert result.written is None
    assert tasks[0] == "inspect"


def test_what_is_packed_lazily_arrives_as_what_was_packed_at_once():
    lines = (Line((Word("some", Box(1, 2, 30, 12), 0.9, Source.TESSERACT),), Box(1, 2, 30, 12)),)
    layout = Layout(100, 200, lines)
    lazy = Packed.lazily(layout)
    assert lazy.unpack() is layout
    arrived = pickle.loads(pickle.dumps(lazy))
    assert (type(arrived), arrived.unpack(), arrived.size_bytes) == (Packed, layout, lazy.size_bytes)
