"""The reference: the libraries that the service uses, bare, in as many processes as there are cores."""

import functools
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sidecar.documents import document
from sidecar.documents.document import DocumentLimits
from sidecar.engines.tesseract.installation import find_tessdata
from sidecar.runtime.cores import usable_cores
from sidecar.settings import parse_settings

if TYPE_CHECKING:
    from tesserocr import PyTessBaseAPI

LANGUAGES = "tha+eng"
DPI = 300
IMAGE_DPI = 200
"""Of photo.png, which the service leaves at its own resolution too."""
POINTS_PER_INCH = 72
START_S = 120.0


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a document; ``index`` counts from 0."""

    path: Path
    index: int


class Picture(NamedTuple):
    """A page in grey, one byte a pixel, ``stride`` bytes a row."""

    pixels: bytes
    width: int
    height: int
    stride: int
    dpi: int


@contextmanager
def reference_processes(prepared: Sequence[Page] = ()) -> Iterator[ProcessPoolExecutor]:
    """Run the processes during the block; it begins when each has loaded its model and drawn ``prepared``.

    Raises:
        BrokenProcessPool: one does not start; none is restarted.
    """
    context = multiprocessing.get_context("spawn")
    cores = usable_cores()
    ready = context.Barrier(cores)
    with ProcessPoolExecutor(cores, context, initializer=prepare, initargs=(ready, tuple(prepared))) as pool:
        for started in [pool.submit(os.getpid) for _ in range(cores)]:
            started.result(START_S)
        yield pool


def find_data() -> Path:
    """Find Tesseract's data as the service does."""
    configured = os.environ.get("TESSDATA_PREFIX")
    folder = find_tessdata(Path(configured) if configured else None)
    if folder is None:
        raise FileNotFoundError("Tesseract's language data is not installed")
    return folder


# ── in the reference's processes ──────────────────────────────────────────────────────────────────────────────────


def prepare(ready: Barrier, prepared: Sequence[Page]) -> None:
    """Load and warm up, at the priority of the service's workers: other load affects both alike."""
    os.environ["OMP_THREAD_LIMIT"] = "1"  # before tesserocr is imported, which reads it once
    os.nice(parse_settings({}).worker_nice)
    for page in prepared[:1]:
        read_page(page)
    for page in prepared:
        _prepared_picture(page)
    ready.wait(START_S)


def read_page(page: Page) -> str:
    """Draw a page and read it."""
    return _recognise(_draw(page))


def read_prepared(page: Page) -> str:
    """Read a page that was drawn beforehand."""
    return _recognise(_prepared_picture(page))


def read_as_drawn_by_service(page: Page) -> str:
    """Read a page from exactly the pixels that the service's own engine gets."""
    settings = parse_settings({})
    limits = DocumentLimits(settings.max_page_pixels, settings.max_stream_bytes, settings.dpi)
    image = document.render(page.path, page.index, limits)
    return _recognise(Picture(image.pixels, image.width, image.height, image.width, image.dpi))


def count_text_layer(path: Path) -> int:
    """Extract the text layer of each page; return its length, so that no text is sent between processes."""
    import pypdfium2 as pdfium  # noqa: PLC0415 - only the reference's processes need it

    pdf = pdfium.PdfDocument(path)
    try:
        return sum(len(page.get_textpage().get_text_range()) for page in pdf)
    finally:
        pdf.close()


def _draw(page: Page) -> Picture:
    return _draw_pdf(page) if page.path.suffix == ".pdf" else _draw_image(page)


def _draw_pdf(page: Page) -> Picture:
    import pypdfium2 as pdfium  # noqa: PLC0415 - as above

    pdf = pdfium.PdfDocument(page.path)
    try:
        bitmap = pdf[page.index].render(scale=DPI / POINTS_PER_INCH, grayscale=True)
        return Picture(bytes(bitmap.buffer), bitmap.width, bitmap.height, bitmap.stride, DPI)
    finally:
        pdf.close()


def _draw_image(page: Page) -> Picture:
    from PIL import Image  # noqa: PLC0415 - as above

    with Image.open(page.path) as image:
        grey = image.convert("L")
        return Picture(grey.tobytes(), grey.width, grey.height, grey.width, IMAGE_DPI)


@functools.cache
def _prepared_picture(page: Page) -> Picture:
    return _draw(page)


def _recognise(picture: Picture) -> str:
    api = _model()
    api.SetImageBytes(picture.pixels, picture.width, picture.height, 1, picture.stride)
    api.SetSourceResolution(picture.dpi)
    try:
        return str(api.GetUTF8Text())
    finally:
        api.Clear()


@functools.cache
def _model() -> "PyTessBaseAPI":
    from tesserocr import OEM, PSM, PyTessBaseAPI  # noqa: PLC0415 - after OMP_THREAD_LIMIT is set

    return PyTessBaseAPI(path=str(find_data()), lang=LANGUAGES, psm=PSM.AUTO, oem=OEM.LSTM_ONLY)
