"""Who is measured: the service, bare Tesseract, and peers where they are installed (kreuzberg, pdftotext)."""

import asyncio
import contextlib
import functools
import json
import multiprocessing
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.harness.load import Connection, upload
from bench.harness.service import ROOT, running_service
from bench.ocr.reference import find_data

if TYPE_CHECKING:
    from tesserocr import PyTessBaseAPI

PEERS = Path(os.environ.get("QUALITY_PEERS", ROOT / ".venv-quality"))
"""An environment with kreuzberg: `make quality-peers` makes it."""
DPI, POINTS_PER_INCH = 300, 72
LONGEST_S = 300
KREUZBERG = """
import sys
from kreuzberg import ExtractionConfig, OcrConfig, extract_file_sync
config = ExtractionConfig(ocr=OcrConfig(backend="tesseract", language=sys.argv[2]))
sys.stdout.buffer.write(extract_file_sync(sys.argv[1], config=config).content.encode())
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader gave: its pages' texts, and the codes of its warnings and its error."""

    pages: tuple[str, ...]
    codes: tuple[str, ...] = ()
    confidence: int | None = None

    @property
    def text(self) -> str:
        """All pages."""
        return "\n\n".join(self.pages)


Read = Callable[[Path, str, int | None], Reading]
"""Reads a file in languages such as ``tha+eng``: all of it, or one page, counted from 1."""


@contextlib.contextmanager
def open_readers() -> Iterator[tuple[dict[str, Read], Read]]:
    """Start the readers for the block; the service comes first. Also give one that has it write Markdown."""
    context = multiprocessing.get_context("spawn")
    with running_service() as service, ProcessPoolExecutor(1, context) as bare:
        readers: dict[str, Read] = {
            "service": functools.partial(_by_service, service.port),
            "Tesseract": lambda path, languages, page: bare.submit(_by_tesseract, path, languages, page).result(),
        }
        if (PEERS / "bin" / "kreuzberg").exists() or list(PEERS.glob("lib/python*/site-packages/kreuzberg")):
            readers["kreuzberg"] = _by_kreuzberg
        if shutil.which("pdftotext"):
            readers["pdftotext"] = _by_pdftotext
        yield readers, functools.partial(_markdown, service.port)


def _markdown(port: int, path: Path, languages: str, page: int | None) -> Reading:
    fields = {"languages": languages, "output": "markdown"} | ({"pages": str(page)} if page else {})
    reply = asyncio.run(_ask(port, upload.__wrapped__(str(path), **fields)))
    return Reading((reply.decode(errors="replace"),))


def _by_service(port: int, path: Path, languages: str, page: int | None) -> Reading:
    fields = {"languages": languages} | ({"pages": str(page)} if page else {})
    reply = asyncio.run(_ask(port, upload.__wrapped__(str(path), **fields)))
    body = json.loads(reply)
    if "pages" not in body:
        return Reading((), (body["code"],))
    pages = body["pages"]
    codes = (*body["warnings"], *(one["error"] for one in pages if one["error"]))
    return Reading(tuple(one["text"] for one in pages), codes, pages[0]["confidence"] if pages else None)


async def _ask(port: int, request: bytes) -> bytes:
    async with Connection.open(port) as connection:
        return (await connection.ask(request)).body


def _by_tesseract(path: Path, languages: str, page: int | None) -> Reading:
    """Read as a script of ten lines would: pictures as they are, pages of PDFs drawn at 300 dpi. In a process."""
    import pypdfium2 as pdfium  # noqa: PLC0415 - in that process
    from PIL import Image  # noqa: PLC0415 - likewise

    try:
        if path.suffix.lower() == ".pdf":
            document = pdfium.PdfDocument(path)
            wanted = range(len(document)) if page is None else [page - 1]
            pictures = [document[index].render(scale=DPI / POINTS_PER_INCH).to_pil() for index in wanted]
        else:
            picture = Image.open(path)
            picture.seek((page or 1) - 1)
            pictures = [picture.convert("RGB")]
    except Exception as exc:  # noqa: BLE001 - what a library refuses counts as not read
        return Reading((), (type(exc).__name__,))
    api = _model(languages)
    texts = []
    for picture in pictures:
        api.SetImage(picture)
        texts.append(api.GetUTF8Text())
    return Reading(tuple(texts))


@functools.cache
def _model(languages: str) -> "PyTessBaseAPI":
    os.environ["OMP_THREAD_LIMIT"] = "1"
    from tesserocr import OEM, PSM, PyTessBaseAPI  # noqa: PLC0415 - after OMP_THREAD_LIMIT is set

    return PyTessBaseAPI(path=str(find_data()), lang=languages, psm=PSM.AUTO, oem=OEM.LSTM_ONLY)


def _by_kreuzberg(path: Path, languages: str, page: int | None) -> Reading:  # noqa: ARG001 - it reads whole files
    command = [str(PEERS / "bin" / "python"), "-c", KREUZBERG, str(path), languages]
    return _run(command, os.environ | {"TESSDATA_PREFIX": str(find_data())})


def _by_pdftotext(path: Path, languages: str, page: int | None) -> Reading:  # noqa: ARG001 - it reads text layers
    if path.suffix.lower() != ".pdf":
        return Reading((), ("no-pdf",))
    pages = ["-f", str(page), "-l", str(page)] if page else []
    return _run(["pdftotext", "-q", *pages, str(path), "-"], dict(os.environ))


def _run(command: list[str], environment: dict[str, str]) -> Reading:
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=LONGEST_S, check=True)
    except (subprocess.SubprocessError, OSError) as exc:
        return Reading((), (type(exc).__name__,))
    return Reading((done.stdout.decode(errors="replace"),))
