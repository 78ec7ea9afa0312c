"""``stale``: which results were made in another way than a page would be read in now, and have to be read again."""

import argparse
import asyncio
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sidecar.client import AsyncClient, ClientError, Document, Page, Provenance, Reader, Summary
from sidecar.settings import SettingsError

EXIT_CURRENT, EXIT_STALE, EXIT_UNKNOWN = 0, 1, 3
SUFFIXES = frozenset({".json", ".ndjson", ".jsonl"})
MAX_BYTES = 64 * 1024 * 1024
"""Of a file that is one answer, and of a line: an answer of 500 pages has 10 MiB."""
CAUSES = ("revision", "model", "prompt", "recipe", "engine", "service")


class NoResultError(Exception):
    """It is nothing that this service answered; the text says why."""


@dataclass(frozen=True, slots=True)
class Result:
    """An answer, as it was kept."""

    summary: Summary
    pages: Sequence[Page]


def list_stale(options: argparse.Namespace, api_key: str) -> int:
    """Print each file with a result that was made in another way, and in which; return the exit status."""
    ignored = {one.strip() for one in (options.ignore or "").split(",") if one.strip()}
    if unknown := sorted(ignored - set(CAUSES)):
        raise SettingsError(f"--ignore names {unknown[0]!r}, there are {', '.join(CAUSES)}")
    now = _told(options.told) if options.told else asyncio.run(_ask(options, api_key))
    paths = list(_files(options.paths))
    stale, unknown_files = 0, 0
    for path in paths:
        try:
            causes = {cause for result in results_in(path) for cause in differences(result, now)} - ignored
        except (NoResultError, OSError) as exc:
            unknown_files += 1
            print(f"{_shown(path)}: {exc}", file=sys.stderr)
            continue
        if causes:
            stale += 1
            print(f"{_shown(path)}\t{','.join(one for one in CAUSES if one in causes)}")
    print(f"{stale} of {len(paths)} files are out of date, {unknown_files} cannot be judged", file=sys.stderr)
    return EXIT_STALE if stale else EXIT_UNKNOWN if unknown_files else EXIT_CURRENT


async def _ask(options: argparse.Namespace, api_key: str) -> Provenance:
    try:
        async with AsyncClient(options.url, api_key) as client:
            return await client.provenance(options.profile)
    except ClientError as exc:
        raise SettingsError(f"the service does not say how it reads now: {exc}") from exc
    except ValueError as exc:
        raise SettingsError(f"the key cannot be sent: {exc}") from exc


def _told(path: Path) -> Provenance:
    """Read what `GET /provenance` answered once."""
    try:
        told = _parse(_head(path))
        now: Provenance = Provenance.model_validate(told)
    except (OSError, NoResultError, ValidationError) as exc:
        raise SettingsError(f"{path} is no answer of GET /provenance") from exc
    return now


# ── files ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """List files as named, and in folders those that may hold results."""
    for path in paths:
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.suffix.lower() in SUFFIXES and one.is_file())
        else:
            yield path


def _shown(path: Path) -> str:
    """Return a path without what would move the cursor or end the line: whoever named the file may mean harm."""
    return "".join(char if char.isprintable() else "?" for char in str(path))


def results_in(path: Path) -> Iterator[Result]:
    """Yield the answers that a file holds: one, one a line, or the events of streamed ones.

    Raises:
        NoResultError: it holds something else, or nothing.
        OSError: it cannot be read.
    """
    pages: list[Page] = []
    count = 0
    for value in _objects(path):
        match _answer(value):
            case Page() as page:
                pages.append(page)
            case Document() as whole:
                count += 1
                yield Result(whole, whole.pages)
            case Summary() as summary:
                count += 1
                yield Result(summary, pages)
                pages = []
            case None:
                pages = []
    if not count:
        raise NoResultError("it holds no answer of this service")


def _answer(value: object) -> Page | Summary | None:
    """Return a whole answer, or an event; None for events that say nothing of how a page was read."""
    if not isinstance(value, dict):
        raise NoResultError("it holds something that is no answer of this service")
    kinds: dict[object, type[Page | Summary]] = {"page": Page, "done": Summary, None: Document}
    event = value.get("event")
    if event in ("document", "error"):
        return None
    kind = kinds.get(event if isinstance(event, str | None) else "")
    try:
        return kind.model_validate(value) if kind else None
    except ValidationError as exc:
        raise NoResultError("it holds something that is no answer of this service") from exc


def _objects(path: Path) -> Iterator[object]:
    if not path.is_file():
        raise NoResultError("it is no file")
    if path.suffix.lower() == ".json":
        with suppress(NoResultError):  # else there are several answers, one a line
            yield _parse(_head(path))
            return
    with path.open("rb") as file:
        while line := file.readline(MAX_BYTES + 1):
            if len(line) > MAX_BYTES:
                raise NoResultError(f"a line has more than {MAX_BYTES} bytes")
            if line.strip():
                yield _parse(line)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise NoResultError(f"it has more than {MAX_BYTES} bytes")
    return content


def _parse(content: bytes) -> Any:  # noqa: ANN401 - whatever JSON holds
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise NoResultError("it is no JSON") from exc


# ── what differs ──────────────────────────────────────────────────────────────────────────────────────────────────


def differences(result: Result, now: Provenance) -> set[str]:
    """Name what of an answer would be another now.

    Raises:
        NoResultError: it has no receipt, so that nobody knows how it was made.
    """
    summary = result.summary
    if summary.receipt is None:
        raise NoResultError("it has no receipt: have it read with include=receipt, as `ocr --json` does")
    found = {"service"} if summary.receipt.service != now.service else set()
    if summary.profile and (summary.profile.name, summary.profile.revision) != (now.profile, now.revision):
        found.add("revision")
    readers = {one.engine: one for one in now.readers}
    for page in result.pages:
        if page.engine and page.receipt:
            found |= _differences_of_page(page, readers.get(page.engine))
    return found


def _differences_of_page(page: Page, reader: Reader | None) -> set[str]:
    made = page.receipt
    if made is None or reader is None:
        return {"engine"}
    takes_prompt = made.prompt_sha256 is not None
    found = set()
    if made.model != reader.model:
        found.add("model" if takes_prompt else "engine")
    if made.model_digest and reader.model_digest and made.model_digest != reader.model_digest:
        if takes_prompt:
            found.add("model")
        elif made.parameters.get("languages") == reader.languages:  # else it is other languages' data
            found.add("engine")
    if takes_prompt and made.prompt_sha256 != reader.prompt_sha256:
        found.add("prompt")
    if takes_prompt and made.recipe != reader.recipe:
        found.add("recipe")
    return found
