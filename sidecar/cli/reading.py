"""``ocr``: finds documents, has a few at a time read, writes their text, and reports the outcome."""

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from sidecar.cli.embedded import start_embedded
from sidecar.cli.formats import SUFFIXES_OF
from sidecar.client import AsyncClient, ClientError, Opened, Page, ReadFields, Summary, WrittenDocument
from sidecar.settings import SettingsError, parse_settings

SUFFIXES = frozenset({".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp"})
STANDARD_INPUT = "-"
JSON = "json"
STDIN_NAME = "stdin"
"""The name of a document from standard input, in its text and in the folder of texts."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document to read; ``target`` is the file its text goes to, or None for standard output."""

    path: Path
    name: str
    target: Path | None

    @property
    def shown(self) -> str:
        """Its name in messages."""
        return "standard input" if self.name == STDIN_NAME and self.path.name == STDIN_NAME else str(self.path)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of a document."""

    pages: Sequence[Page]
    summary: Summary

    @property
    def warnings(self) -> Sequence[str]:
        """What differs from what was asked."""
        return self.summary.warnings


def read_documents(options: argparse.Namespace, environ: Mapping[str, str], api_key: str) -> int:
    """Read all documents named on the command line; return the number of failed ones.

    A folder without a document counts as one that failed.
    """
    if options.include and _output(options) != JSON:
        raise SettingsError("--include needs --json: other formats have no place for it")
    console = Console(stderr=True)
    output = _output(options)
    suffix = SUFFIXES_OF[output]
    empty = [name for name in options.files if _is_empty(name)]
    for name in empty:
        _say(console, f"{name}: there is no document in this folder; accepted are {', '.join(sorted(SUFFIXES))}", "red")
    with _standard_input(options.files) as stdin:
        documents = list(find_documents(options.files, options.output, suffix, stdin))
        _check_targets(documents, options.output)
        if output == "pdf" and options.output is None and len(documents) > 1:
            raise SettingsError("several documents as pdf need --output DIR")
        todo = [document for document in documents if not (document.target and document.target.is_file())]
        if skipped := len(documents) - len(todo):
            _say(console, f"{skipped} of {len(documents)} documents are already done")
        failures = asyncio.run(_read(todo, options, environ, api_key, console)) if todo else 0
    return failures + len(empty)


async def _read(
    todo: Sequence[Document],
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
                reading = BatchReader(client, _fields(options), progress, console, _output(options))
                try:
                    return await reading.read_all(todo, max(1, options.jobs))
                finally:
                    done = reading.done
    except asyncio.CancelledError:  # Ctrl-C
        how = "run it again to continue" if options.output else "with --output DIR, it can be continued later"
        _say(console, f"interrupted: {done} of {len(todo)} documents are done; {how}")
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


def _check_targets(documents: Sequence[Document], output: Path | None) -> None:
    """Refuse, before any work, targets that lose results: a folder that cannot be written, two texts in one file."""
    if output is None:
        return
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise SettingsError(f"the folder {output} cannot be made: {exc.strerror}") from exc
    if not os.access(output, os.W_OK):
        raise SettingsError(f"the folder {output} cannot be written to")
    targets = Counter(document.target for document in documents)
    if folders := [target for target in targets if target and target.is_dir()]:
        raise SettingsError(f"{folders[0]} is a folder, and would be a document's text")
    if twice := [target for target, count in targets.items() if count > 1]:
        raise SettingsError(f"two documents would be written to {twice[0]}: name the folder that holds them instead")


def _client(
    options: argparse.Namespace, environ: Mapping[str, str], api_key: str
) -> AbstractAsyncContextManager[AsyncClient]:
    if not options.url:
        return start_embedded(parse_settings(environ))
    try:
        return AsyncClient(options.url, api_key, timeout_s=None)  # its user ends it by Ctrl-C
    except ValueError as exc:
        raise SettingsError(str(exc)) from exc


def _output(options: argparse.Namespace) -> str | None:
    return JSON if options.json else options.format


def _fields(options: argparse.Namespace) -> ReadFields:
    fields = ReadFields(
        engine=options.engine or None,
        languages=options.languages or None,
        pages=options.pages or None,
        profile=options.profile or None,
        verify=options.verify,
        include=_included(options) if _output(options) == JSON else None,
    )
    if output := _output(options):
        fields["output"] = output
    return fields


def _included(options: argparse.Namespace) -> list[str]:
    """Return what the answer is to hold; always a receipt, so that `stale` can tell later how it was made."""
    return [*(options.include.split(",") if options.include else ()), "receipt"]


def find_documents(names: Iterable[str], output: Path | None, suffix: str, stdin: Path) -> Iterator[Document]:
    """List the documents: files as named, in folders those with a supported suffix, ``-`` as ``stdin``."""
    for name in names:
        base = stdin if name == STANDARD_INPUT else Path(name)
        for path in _documents_in(base) if base.is_dir() else [base]:
            shown = str(path.relative_to(base)) if path != base else path.name
            yield Document(path, shown, output / f"{shown}{suffix}" if output else None)


def _documents_in(folder: Path) -> list[Path]:
    """List a folder's documents, without what `--format pdf` wrote."""
    ours = SUFFIXES_OF["pdf"]
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.name.endswith(ours))
    return sorted(path for path in found if path.is_file())


def _is_empty(name: str) -> bool:
    return name != STANDARD_INPUT and Path(name).is_dir() and not _documents_in(Path(name))


def _say(console: Console, text: str, style: str | None = None) -> None:
    console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)


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
                    _say(self._console, f"{document.shown}: {exc}", "red")
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
                _say(self._console, f"{document.shown}: {warning}", "yellow")
            content = self._content(document, reading)
            if document.target is None:
                return content
            _write(document.target, content)
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

    def _content(self, document: Document, reading: Reading | WrittenDocument) -> bytes:
        if isinstance(reading, WrittenDocument):
            is_open = reading.media_type in {"text/plain", "text/markdown"} and not reading.content.endswith(b"\n")
            return reading.content + (b"\n" if is_open else b"")
        render = render_json if self._output == JSON else render_markdown
        return (render(document, reading) + "\n").encode("utf-8", "surrogateescape")


def _write(target: Path, content: bytes) -> None:
    """Write a file that is complete if it exists.

    Raises:
        ClientError: it cannot be written.
    """
    partial = target.with_name(target.name + ".partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(target)
    except OSError as exc:
        raise ClientError(f"{target} cannot be written: {exc.strerror or exc}") from exc


def render_markdown(document: Document, reading: Reading) -> str:
    """Render a document with one heading a page; a page that could not be read says so."""
    parts = [f"# {document.name}"]
    for page in reading.pages:
        failed = f"*This page could not be read: {page.error}.*" if page.error else ""
        parts += [f"## Page {page.page}", page.text or failed]
    return "\n\n".join(part for part in parts if part)


def render_json(document: Document, reading: Reading) -> str:
    """Render the whole answer on one line, like ``POST /ocr-upload`` without streaming, with the file's name."""
    pages = [page.as_json() for page in reading.pages]
    return json.dumps({"file": document.name, **reading.summary.as_json(), "pages": pages}, ensure_ascii=False)
