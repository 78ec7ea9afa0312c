"""Documents in another format than JSON: written by a worker, sent with what JSON would say in headers."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from aiohttp import web

from sidecar.api import deliver, reading, receive
from sidecar.api.answers.answer import Answer
from sidecar.api.app_keys import DRAIN, READER, SETTINGS, SPOOL, WORKERS
from sidecar.api.deliver import SLICE_BYTES, File
from sidecar.api.reading import Arrived
from sidecar.documents.pages import DocumentFacts
from sidecar.documents.searchable.pieces import Piece, Stretch
from sidecar.documents.searchable.writing import is_signed, searchable
from sidecar.errors import SignatureError, UnreadableDocumentError
from sidecar.evidence.confidence import Verdict
from sidecar.ocr.job import DocumentResult, Progress, ReadJob
from sidecar.ocr.page_reading import PageResult
from sidecar.ocr.results.pages_written import to_lay, to_write, verbatim
from sidecar.ocr.warning_codes import WarningCode
from sidecar.outputs.formats import MEDIA_TYPES, Output
from sidecar.outputs.writing import written
from sidecar.runtime.workers.pool import WorkerDiedError
from sidecar.wire.common import IGNORED_HEADER, WARNINGS_HEADER, names_in_header

T = TypeVar("T")

WOULD_BREAK = "the document is signed, and adding a text layer would break its signature"
KEPT_BYTES = 1024 * 1024
"""What is new in a searchable PDF waits in memory up to this size, else in the spool."""


async def answer(request: web.Request, one: Arrived, output: Output) -> web.StreamResponse:
    """Read a document, and answer with it in another format; its file stays until the answer is sent."""
    app, stall_s = request.app, request.app[SETTINGS].receive_timeout_s
    async with app[DRAIN].document():
        writer = None if output is Output.PDF else partial(written, output=output, verbatim={})
        job, progress = replace(one.job, writer=writer), await _progress(request, one, output)
        result = await reading.result_of(request, one, job, progress)
    async with app[DRAIN].answering():
        if output is not Output.PDF:
            one.held.close()  # at once, so that its caller can send the next
            one.answer.count(result)
            return await deliver.deliver_file(request, await text_file(request, one.answer, result, output), stall_s)
        async with _pdf(request, one, result) as file:
            return await deliver.deliver_file(request, file, stall_s)


# ── what is text ──────────────────────────────────────────────────────────────────────────────────────────────────


async def text_file(request: web.Request, told: Answer, result: DocumentResult, output: Output) -> File:
    """Have a document written in a format that is text, unless it was written at once."""
    at_once = cast(tuple[int, bytes] | None, result.written)
    if at_once is None:
        at_once = await by_worker(request, written, to_write(result), output, verbatim(result))
    size, packed = at_once
    return File(_inflated(packed), size, MEDIA_TYPES[output], headers_of(told, result))


def _inflated(packed: bytes) -> Iterator[bytes]:
    inflater = zlib.decompressobj()
    rest = packed
    while rest and not inflater.eof:
        yield inflater.decompress(rest, SLICE_BYTES)
        rest = inflater.unconsumed_tail
    yield inflater.flush()


# ── searchable PDFs ───────────────────────────────────────────────────────────────────────────────────────────────


class _KeepsSignature:
    """Refuses a signed document as soon as it is known that a page of it must be read, which takes long."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def document(self, facts: DocumentFacts) -> None:
        if any(page.needs_engine for page in facts.pages):
            raise SignatureError(WOULD_BREAK)
        await self._answer.document(facts)

    async def page(self, result: PageResult) -> None:
        await self._answer.page(result)


async def _progress(request: web.Request, one: Arrived, output: Output) -> Progress:
    if output is not Output.PDF or not one.asked.keep_signature:
        return one.answer
    is_kept = await by_worker(request, is_signed, one.job.order.document)
    return _KeepsSignature(one.answer) if is_kept else one.answer


@asynccontextmanager
async def _pdf(request: web.Request, one: Arrived, result: DocumentResult) -> AsyncIterator[File]:
    """Make the file of a searchable PDF, of which all is released at the end of the block."""
    path, limits = one.job.order.document, request.app[READER].limits
    pages = to_lay(result, mended=not one.asked.keep_signature)
    made = await by_worker(request, searchable, path, limits, pages)
    if made.breaks_signature:
        result = replace(result, warnings=(*result.warnings, WarningCode.SIGNATURE_INVALIDATED))
    one.answer.count(result)
    size = sum(piece.length if isinstance(piece, Stretch) else len(piece) for piece in made.pieces)
    new = sum(len(piece) for piece in made.pieces if isinstance(piece, bytes))
    headers = headers_of(one.answer, result)
    if new <= KEPT_BYTES:
        yield File(_parts(made.pieces, path), size, MEDIA_TYPES[Output.PDF], headers)
        return
    with request.app[SPOOL].file() as spooled:
        writer = receive.SpoolWriter(spooled)
        for part in _parts(made.pieces, path):
            await writer.take(part)
        writer.end()
        del made
        yield File(stretch(spooled.path, Stretch(0, size)), size, MEDIA_TYPES[Output.PDF], headers)


async def write_pdf(
    app: web.Application, job: ReadJob, result: DocumentResult, target: Path, *, keeps_signature: bool
) -> None:
    """Write the searchable PDF of a document that was read into a file.

    Raises:
        SignatureError: its signature was to be kept, and would break.
    """
    path = job.order.document
    pages = to_lay(result, mended=not keeps_signature)
    if keeps_signature and pages and await run_writer(app, is_signed, path):
        raise SignatureError(WOULD_BREAK)
    made = await run_writer(app, searchable, path, app[READER].limits, pages)
    await asyncio.to_thread(_write, target, _parts(made.pieces, path))


def _write(target: Path, parts: Iterator[bytes]) -> None:
    with target.open("xb") as file:
        file.writelines(parts)


def _parts(pieces: Sequence[Piece], document: Path) -> Iterator[bytes]:
    for piece in pieces:
        if isinstance(piece, Stretch):
            yield from stretch(document, piece)
        else:
            yield from (piece[at : at + SLICE_BYTES] for at in range(0, len(piece), SLICE_BYTES))


def stretch(path: Path, part: Stretch) -> Iterator[bytes]:
    """Read a part of a file."""
    with path.open("rb") as file:
        file.seek(part.start)
        left = part.length
        while left > 0 and (piece := file.read(min(left, SLICE_BYTES))):
            left -= len(piece)
            yield piece


# ── both ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def by_worker(request: web.Request, function: Callable[..., T], *args: Any) -> T:  # noqa: ANN401 - as it takes them
    """Have a worker write a document.

    Raises:
        UnreadableDocumentError: it crashes the worker.
        DeadlineError: it takes longer than opening a document may.
    """
    return await run_writer(request.app, function, *args)


async def run_writer(app: web.Application, function: Callable[..., T], *args: Any) -> T:  # noqa: ANN401 - likewise
    """Do as :func:`by_worker`, whoever asked for the document."""
    try:
        return await app[WORKERS].run(function, *args, deadline_s=app[SETTINGS].open_timeout_s)
    except WorkerDiedError as exc:
        raise UnreadableDocumentError("the document was read, but cannot be written in this format") from exc


def headers_of(told: Answer, result: DocumentResult) -> Mapping[str, str]:
    """Return what an answer in JSON would say, as headers; those that would be empty are left out."""
    failed = [str(page.page) for page in result.pages if page.error]
    low = [str(page.page) for page in result.pages if page.quality and page.quality.verdict is Verdict.LOW]
    headers = {
        WARNINGS_HEADER: ", ".join(told.warnings(result)),
        IGNORED_HEADER: names_in_header(told.ignored_fields),
        "X-Ocr-Engine": result.engine_used,
        "X-Ocr-Model": result.model.model.name if result.model else "",
        "X-Ocr-Pages": f"{len(result.pages)}/{result.facts.page_count}",
        "X-Ocr-Failed-Pages": names_in_header(failed),
        "X-Ocr-Unread-Pages": names_in_header(map(str, result.unread)),
        "X-Ocr-Low-Pages": names_in_header(low),
    }
    return {name: value for name, value in headers.items() if value}
