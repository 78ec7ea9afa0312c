"""``python -m sidecar``: serve, read documents, look what is installed."""

import argparse
import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from sidecar import __version__
from sidecar.cli.client import Client, DocumentFailedError, Event, connect, start_embedded
from sidecar.documents.spool import SpoolError
from sidecar.settings import SettingsError, parse_settings

EXIT_FAILED = 1
EXIT_USAGE = 2
SUFFIXES = frozenset({".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp"})
KEY_NAME = "OCR_SIDECAR_API_KEY"


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one command; give its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        match options.command:
            case "serve":
                return _serve(environ)
            case "ocr":
                return asyncio.run(_ocr(options, environ))
            case "doctor" | "fetch":
                return _prepare(options.command, environ)
    except (SettingsError, SpoolError) as exc:
        print(f"ocr-sidecar: {exc}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return 130
    parser.print_help()
    return EXIT_USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sidecar",
        description="Reads scanned and digital documents (PDF, PNG, JPEG, TIFF, WebP, BMP) in Thai and English.",
        epilog="Settings come from the environment; docs/configuration.md lists them all.",
    )
    parser.add_argument("--version", action="version", version=f"ocr-sidecar {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("serve", help="run the HTTP service", description="Run the HTTP service until SIGTERM.")
    _add_ocr(commands)
    commands.add_parser(
        "doctor",
        help="tell what is installed and what is not",
        description="Tell what is there, and how to get the rest.",
    )
    commands.add_parser(
        "fetch",
        help="download the models of embed and rerank",
        description="Download the models that BGE_M3_MODEL and RERANKER_MODEL name into the cache (HF_HOME), where "
        "serve finds them without a network. Exit status 1 if one cannot be had.",
    )
    return parser


def _add_ocr(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    ocr = commands.add_parser(
        "ocr",
        help="read documents and print their text",
        description="Read documents and print their text as Markdown. Exit status 1 if any of them failed.",
    )
    ocr.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a document, or a folder of documents")
    where = ocr.add_mutually_exclusive_group()
    where.add_argument("--url", help=f"read with the service at this URL; its key comes from {KEY_NAME}")
    where.add_argument("--embedded", action="store_true", help="read on this machine (the default)")
    ocr.add_argument(
        "--output", type=Path, metavar="DIR", help="write one file a document here; those that exist are skipped"
    )
    ocr.add_argument("--json", action="store_true", help="write the whole answer as JSON instead of Markdown")
    ocr.add_argument("--engine", default="auto", help="auto, or an engine by its name (default: auto)")
    ocr.add_argument("--languages", help="Tesseract's languages, such as tha+eng")
    ocr.add_argument("--pages", help="page numbers and ranges, such as 1-3,7")
    ocr.add_argument("--jobs", type=int, default=4, help="documents in work at a time (default: 4)")


def _serve(environ: Mapping[str, str]) -> int:
    settings = parse_settings(environ)
    from sidecar.service.server import serve  # noqa: PLC0415 - a mistake in the settings is told before anything is loaded
    from sidecar.telemetry import configure_logging  # noqa: PLC0415 - likewise

    configure_logging(settings.log_level)
    asyncio.run(serve(settings))
    return 0


def _prepare(command: str, environ: Mapping[str, str]) -> int:
    from sidecar.cli.doctor import doctor  # noqa: PLC0415 - serve must start fast

    return doctor(environ) if command == "doctor" else _fetch(environ)


def _fetch(environ: Mapping[str, str]) -> int:
    settings = parse_settings(environ)
    from sidecar.retrieval.bge.hub import find_model, is_installed  # noqa: PLC0415 - as above
    from sidecar.retrieval.model import ModelLoadError  # noqa: PLC0415 - as above

    if not is_installed():
        raise SettingsError("torch or FlagEmbedding is not installed: pip install '.[retrieval]'")
    status = 0
    for source in filter(None, (settings.bge_m3_model, settings.reranker_model)):
        print(f"{source}: ", end="", flush=True)  # a download takes minutes
        try:
            print(f"in {find_model(source)}")
        except ModelLoadError as exc:
            print(exc)
            print(f"{source}: {exc.__cause__ or exc}", file=sys.stderr)
            status = EXIT_FAILED
    return status


# ── reading documents ─────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Document:
    """A document to read; ``target`` is the file its text goes to, or None for standard output."""

    path: Path
    name: str
    target: Path | None


async def _ocr(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    documents = list(find_documents(options.files, options.output, ".json" if options.json else ".md"))
    _check_targets(documents, options.output)
    todo = [document for document in documents if not (document.target and document.target.exists())]
    console = Console(stderr=True)
    if skipped := len(documents) - len(todo):
        console.print(f"{skipped} of {len(documents)} documents are done already", highlight=False, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        async with _client(options, environ) as client:
            reading = _Reading(client, _fields(options), progress, console, as_json=options.json)
            failures = await reading.read_all(todo, max(1, options.jobs))
    return EXIT_FAILED if failures else 0


def _check_targets(documents: Sequence[Document], output: Path | None) -> None:
    """Refuse before any work what would lose it at the end: a folder that cannot be written, two texts in one file."""
    if output is None:
        return
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise SettingsError(f"the folder {output} cannot be made: {exc.strerror}") from exc
    if not os.access(output, os.W_OK):
        raise SettingsError(f"the folder {output} cannot be written to")
    targets = Counter(document.target for document in documents)
    if twice := [target for target, count in targets.items() if count > 1]:
        raise SettingsError(f"two documents would be written to {twice[0]}: name the folder that holds them instead")


def _client(options: argparse.Namespace, environ: Mapping[str, str]) -> AbstractAsyncContextManager[Client]:
    if options.url:
        return connect(options.url, environ.get(KEY_NAME, ""))
    return start_embedded(parse_settings(environ))


def _fields(options: argparse.Namespace) -> dict[str, str]:
    asked = {"engine": options.engine, "languages": options.languages, "pages": options.pages}
    return {name: value for name, value in asked.items() if value}


def find_documents(paths: Iterable[Path], output: Path | None, suffix: str) -> Iterable[Document]:
    """List the documents: files as they are named, folders by the suffixes that are read."""
    for path in paths:
        inside = path.is_dir()
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()) if inside else [path]
        for document in found:
            name = str(document.relative_to(path)) if inside else document.name
            yield Document(document, name, output / f"{name}{suffix}" if output else None)


class _Reading:
    """Reads documents a few at a time; one that fails is reported and leaves the others."""

    def __init__(
        self, client: Client, fields: Mapping[str, str], progress: Progress, console: Console, *, as_json: bool
    ) -> None:
        self._client = client
        self._fields = fields
        self._progress = progress
        self._console = console
        self._as_json = as_json

    async def read_all(self, documents: Sequence[Document], jobs: int) -> int:
        """Read all; give the number of those that failed. Standard output gets them in their order."""
        slots = asyncio.Semaphore(jobs)
        total = self._progress.add_task("documents", total=len(documents))
        tasks = [asyncio.create_task(self._read(document, slots)) for document in documents]
        failures = 0
        for document, task in zip(documents, tasks, strict=True):
            try:
                self._write(document, await task)
            except DocumentFailedError as exc:
                failures += 1
                self._say(f"{document.path}: {exc}", "red")
            self._progress.advance(total)
        return failures

    async def _read(self, document: Document, slots: asyncio.Semaphore) -> list[Event]:
        async with slots:
            bar = self._progress.add_task(document.name, total=None)
            try:
                return [self._seen(bar, event) async for event in self._client.read(document.path, self._fields)]
            finally:
                self._progress.remove_task(bar)

    def _seen(self, bar: TaskID, event: Event) -> Event:
        if event["event"] == "document":
            self._progress.update(bar, total=event["pageCount"])
        elif event["event"] == "page":
            self._progress.advance(bar)
        return event

    def _write(self, document: Document, events: list[Event]) -> None:
        for warning in events[-1]["warnings"]:
            self._say(f"{document.path}: {warning}", "yellow")
        text = render_json(document, events) if self._as_json else render_markdown(document, events)
        if document.target is None:
            print(text, flush=True)
            return
        document.target.parent.mkdir(parents=True, exist_ok=True)
        partial = document.target.with_name(document.target.name + ".partial")
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(document.target)  # whole or not at all: what exists is done

    def _say(self, text: str, style: str) -> None:
        self._console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)


def render_markdown(document: Document, events: Sequence[Event]) -> str:
    """Render a document with one heading a page; a page that could not be read says so."""
    parts = [f"# {document.name}"]
    for page in (event for event in events if event["event"] == "page"):
        failed = f"*This page could not be read: {page['error']}.*" if page["error"] else ""
        parts += [f"## Page {page['page']}", page["text"] or failed]
    return "\n\n".join(part for part in parts if part)


def render_json(document: Document, events: Sequence[Event]) -> str:
    """Render the whole answer on one line, as ``POST /ocr-upload`` gives it without streaming, with the file's name."""
    done = {key: value for key, value in events[-1].items() if key != "event"}
    pages = [{k: v for k, v in event.items() if k != "event"} for event in events if event["event"] == "page"]
    return json.dumps({"file": document.name, **done, "pages": pages}, ensure_ascii=False)
