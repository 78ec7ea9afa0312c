"""Documents that the command line is given, and the files that their texts go to: found, checked, written."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sidecar.cli.formats import SUFFIXES_OF
from sidecar.client import ClientError
from sidecar.settings import SettingsError

SUFFIXES = frozenset({".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp"})
STANDARD_INPUT = "-"
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


def find_documents(
    names: Iterable[str], output: Path | None, suffix: str, stdin: Path | None = None
) -> Iterator[Document]:
    """List the documents: files as named, in folders those with a supported suffix, ``-`` as ``stdin``."""
    for name in names:
        base = stdin if stdin and name == STANDARD_INPUT else Path(name)
        for path in _documents_in(base) if base.is_dir() else [base]:
            shown = str(path.relative_to(base)) if path != base else path.name
            yield Document(path, shown, output / f"{shown}{suffix}" if output else None)


def _documents_in(folder: Path) -> list[Path]:
    """List a folder's documents, without what `--format pdf` wrote."""
    ours = SUFFIXES_OF["pdf"]
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.name.endswith(ours))
    return sorted(path for path in found if path.is_file())


def is_empty(name: str) -> bool:
    """Tell whether it is a folder without a document."""
    return name != STANDARD_INPUT and Path(name).is_dir() and not _documents_in(Path(name))


def split_done(documents: Sequence[Document]) -> tuple[Sequence[Document], int]:
    """Return the documents whose file is not there, and the number of the others."""
    todo = [document for document in documents if not (document.target and document.target.is_file())]
    return todo, len(documents) - len(todo)


def check_targets(documents: Sequence[Document], output: Path | None) -> None:
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


def write_file(target: Path, content: bytes) -> None:
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
