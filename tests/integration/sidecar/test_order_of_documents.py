"""What a worker says of a document does not depend on the documents it read before."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.documents import document
from sidecar.documents.document import DocumentLimits, Inquiry
from sidecar.documents.page_selection import PageRequest
from sidecar.errors import SidecarError
from sidecar.runtime.workers.pool import WorkerLimits, WorkerPool
from sidecar.settings import MIB
from tests.integration.sidecar.documents import PdfMaker, as_png, as_tiff, picture_of_text, raw_pdf
from tests.matrix import first

LIMITS = DocumentLimits(max_page_pixels=40_000_000, max_stream_bytes=50 * MIB, dpi=72)
INQUIRY = Inquiry(PageRequest((), 0, 0, 50), use_text_layer=True, char_threshold=50)
SAMPLES = ("encrypted.pdf", "zero-pages.pdf", "broken-garbage.pdf", "broken-truncated.pdf", "leading-bytes.pdf")
SEEDS = range(4)

Answer = tuple[object, ...]


def no_pages() -> bytes:
    return raw_pdf(b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [] /Count 0 >>")


@pytest.fixture(scope="module")
def documents(tmp_path_factory) -> list[Path]:
    """Good ones, and each kind of bad one, of every format that is read."""
    folder, data = tmp_path_factory.mktemp("documents"), Path(__file__).parents[2] / "data"
    picture = picture_of_text(2, (400, 400))
    png, pdf = as_png(picture), PdfMaker().text_page().finish()
    made = {
        "good.pdf": pdf,
        "no-pages.pdf": no_pages(),
        "cut.pdf": pdf[: len(pdf) // 2],
        "header.pdf": b"%PDF-1.7",
        "good.png": png,
        "cut.png": png[:-200],
        "good.tiff": as_tiff([picture, picture]),
        "no-page.tiff": b"II*\0\x08\0\0\0\0\0",
        "garbage.jpg": b"\xff\xd8\xff\xe0nonsense",
        "garbage.webp": b"RIFF\0\0\0\0WEBP",
        "text.txt": b"no document",
        "empty": b"",
    }
    made |= {name: (data / name).read_bytes() for name in SAMPLES}
    for name, content in made.items():
        (folder / name).write_bytes(content)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def fresh() -> dict[str, list[Answer]]:
    """Answers of workers that read nothing before, as they are found."""
    return {}


@pytest.fixture
async def worker() -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(WorkerLimits(count=1, memory_bytes=1024 * MIB, tasks=1000, nice=0))
    yield pool
    pool.stop()


@pytest.fixture
async def new_workers() -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(WorkerLimits(count=1, memory_bytes=1024 * MIB, tasks=1, nice=0))
    yield pool
    pool.stop()


async def answers(pool: WorkerPool, path: Path) -> list[Answer]:
    """Everything that a worker is asked about a document."""
    tasks = (
        (document.inspect, path, LIMITS, INQUIRY),
        (document.render, path, 0, LIMITS),
        (document.picture, path, 0, LIMITS, 200),
    )
    found: list[Answer] = []
    for task in tasks:
        try:
            found.append(("answer", await pool.run(*task, deadline_s=30)))
        except SidecarError as error:
            found.append((error.code, error.detail))
    return found


@pytest.mark.parametrize("seed", first(2, SEEDS))
async def test_each_answer_is_that_of_a_worker_that_read_nothing_before(seed, documents, fresh, worker, new_workers):
    order = documents * 2
    random.Random(seed).shuffle(order)
    for path in order:
        if path.name not in fresh:
            fresh[path.name] = await answers(new_workers, path)
        assert await answers(worker, path) == fresh[path.name], f"{path.name}, seed {seed}"


async def test_a_document_without_pages_is_told_from_one_that_is_encrypted(documents, worker):
    by_name = {path.name: path for path in documents}
    read = [await answers(worker, by_name[name]) for name in ("encrypted.pdf", "no-pages.pdf", "header.pdf")]

    assert [one[0][0] for one in read] == ["document_encrypted", "document_empty", "document_unreadable"]
