"""``ocr``: finds documents, has a few at a time read, writes their text, and reports the outcome."""

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from sidecar.cli.documents import (
    STANDARD_INPUT,
    STDIN_NAME,
    SUFFIXES,
    Document,
    check_targets,
    find_documents,
    is_empty,
    split_done,
    write_file,
)
from sidecar.cli.embedded import start_embedded
from sidecar.cli.formats import SUFFIXES_OF
from sidecar.cli.rendering import Reading, render
from sidecar.cli.requests import JSON, fields_of, output_of
from sidecar.cli.telling import say
from sidecar.client import AsyncClient, ClientError, Opened, Page, ReadFields, Summary, WrittenDocument
from sidecar.settings import SettingsError, parse_settings


def read_documents(options: argparse.Namespace, environ: Mapping[str, str], api_key: str) -> int:
    """Read all documents named on the command line; return the number of failed ones.

    A folder without a document counts as one that failed.
    """
    fields = fields_of(options)
    console = Console(stderr=True)
    output = output_of(options)
    suffix = SUFFIXES_OF[output]
    empty = [name for name in options.files if is_empty(name)]
    for name in empty:
        say(console, f"{name}: there is no document in this folder; accepted are {', '.join(sorted(SUFFIXES))}", "red")
    with _standard_input(options.files) as stdin:
        documents = list(find_documents(options.files, options.output, suffix, stdin))
        check_targets(documents, options.output)
        if output == "pdf" and options.output is None and len(documents) > 1:
            raise SettingsError("several documents as pdf need --output DIR")
        todo, done = split_done(documents)
        if done:
            say(console, f"{done} of {len(documents)} documents are already done")
        failures = asyncio.run(_read(todo, fields, options, environ, api_key, console)) if todo else 0
    return failures + len(empty)


async def _read(  # noqa: PLR0913, PLR0917 - the outer edge: everything meets here
    todo: Sequence[Document],
    fields: ReadFields,
    options: argparse.Namespace,
    environ: Mapping[str, str],
    api_key: str,
    console: Console,
) -> int:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    done = 0
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            async with _client(options, environ, api_key) as client:
                reading = BatchReader(client, fields, progress, console, output_of(options))
                try:
                    return await reading.read_all(todo, max(1, options.jobs))
                finally:
                    done = reading.done
    except asyncio.CancelledError:  # Ctrl-C
        how = "run it again to continue" if options.output else "with --output DIR, it can be continued later"
        say(console, f"interrupted: {done} of {len(todo)} documents are done; {how}")
        raise


@contextmanager
def _standard_input(names: Iterable[str]) -> Iterator[Path]:
    """Keep standard input in a file during the block; it is read only if the command line names it."""
    with tempfile.TemporaryDirectory(prefix="ocr-sidecar-stdin-") as folder:
        path = Path(folder) / STDIN_NAME
        if STANDARD_INPUT in names:
            with path.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
        yield path


def _client(
    options: argparse.Namespace, environ: Mapping[str, str], api_key: str
) -> AbstractAsyncContextManager[AsyncClient]:
    if not options.url:
        return start_embedded(parse_settings(environ))
    try:
        return AsyncClient(options.url, api_key, timeout_s=None)  # its user ends it by Ctrl-C
    except ValueError as exc:
        raise SettingsError(str(exc)) from exc


class BatchReader:
    """Reads a few documents at a time; one that fails is reported and does not affect the others."""

    def __init__(
        self, client: AsyncClient, fields: ReadFields, progress: Progress, console: Console, output: str | None
    ) -> None:
        self._client = client
        self._fields = fields
        self._progress = progress
        self._console = console
        self._output = output
        self.done = 0
        """Documents whose text is written."""

    async def read_all(self, documents: Sequence[Document], jobs: int) -> int:
        """Read all; return the number of failed ones.

        Each is written as soon as it is read, so that no other one keeps it in memory; standard output gets them in
        order.
        """
        slots = asyncio.Semaphore(jobs)
        total = self._progress.add_task("documents", total=len(documents))
        tasks = [asyncio.create_task(self._document(document, slots)) for document in documents]
        failures = 0
        try:
            for document, task in zip(documents, tasks, strict=True):
                try:
                    content = await task
                    if document.target is None:
                        sys.stdout.buffer.write(content)
                        sys.stdout.buffer.flush()
                        self.done += 1
                except ClientError as exc:
                    failures += 1
                    say(self._console, f"{document.shown}: {exc}", "red")
                self._progress.advance(total)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)  # all are awaited: no exception is left
        return failures

    async def _document(self, document: Document, slots: asyncio.Semaphore) -> bytes:
        """Read a document, and write it if it has a target; else return what is to be written."""
        async with slots:
            reading = await self._read(document)
            for warning in reading.warnings:
                say(self._console, f"{document.shown}: {warning}", "yellow")
            content = render(document, reading, self._output)
            if document.target is None:
                return content
            write_file(document.target, content)
            self.done += 1
            return b""

    async def _read(self, document: Document) -> Reading | WrittenDocument:
        bar = self._progress.add_task(document.name, total=None)
        try:
            if self._wants_structure:
                return await self._whole(document)
            if self._output in {None, JSON}:
                return await self._events(document, bar)
            return await self._client.read_as(document.path, **self._fields)
        except OSError as exc:
            raise ClientError(f"the file cannot be read: {exc.strerror or exc}") from exc
        finally:
            self._progress.remove_task(bar)

    @property
    def _wants_structure(self) -> bool:
        return not {"words", "blocks"}.isdisjoint(self._fields.get("include") or ())

    async def _whole(self, document: Document) -> Reading:
        """Read at once: what stands on many pages is told only of all of them together."""
        whole = await self._client.read(document.path, **self._fields)
        return Reading(whole.pages, whole)

    async def _events(self, document: Document, bar: TaskID) -> Reading:
        pages: list[Page] = []
        async with aclosing(self._client.stream(document.path, **self._fields)) as events:
            async for event in events:
                match event:
                    case Opened():
                        self._progress.update(bar, total=event.page_count)
                    case Page():
                        self._progress.advance(bar)
                        pages.append(event)
                    case Summary():
                        return Reading(pages, event)
        raise AssertionError("a stream ends with its summary, or with an error")
