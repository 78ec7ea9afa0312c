"""What is installed of Tesseract: its version, and the languages whose data is found."""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

TESSDATA_PLACES = (
    "/usr/share/tesseract-ocr/5/tessdata",
    "/usr/share/tesseract-ocr/4.00/tessdata",
    "/usr/share/tessdata",
    "/usr/local/share/tessdata",
    "/opt/homebrew/share/tessdata",
)
"""Where distributions install Tesseract's data: Debian and Ubuntu, Fedora and Alpine, a build from source, Homebrew."""

ORIENTATION_DATA = "osd"
"""The data of the orientation model, which is no language."""


@dataclass(frozen=True, slots=True)
class Installed:
    """What is installed of Tesseract: its version, and the languages whose data was found."""

    version: str
    tessdata_dir: Path
    languages: frozenset[str]
    digests: Mapping[str, str] = field(default_factory=dict)
    """Of the data of some languages, by their :func:`data_key`; see :func:`data_digest`."""


def describe(tessdata_dir: Path | None, languages: str = "") -> Installed | None:
    """Return what is installed, with the digest of these languages' data; None without any data."""
    import tesserocr  # noqa: PLC0415 - as above

    folder = find_tessdata(tessdata_dir)
    if folder is None:
        return None
    version = tesserocr.tesseract_version().split()[1]
    found = frozenset(data.stem for data in folder.glob("*.traineddata"))
    key = data_key(languages)
    digests = {key: data_digest(folder, languages)} if found.issuperset(key.split("+")) else {}
    return Installed(version, folder, found, digests)


def data_key(languages: str) -> str:
    """Return languages such as ``tha+eng`` in the order in which their data is told."""
    return "+".join(sorted(set(languages.split("+"))))


def data_digest(folder: Path, languages: str) -> str:
    """Return the SHA-256 in hex of what ``sha256sum eng.traineddata tha.traineddata`` prints of these languages.

    A file is read once, until it changes.
    """
    lines = []
    for language in data_key(languages).split("+"):
        path = folder / f"{language}.traineddata"
        facts = path.stat()
        lines.append(f"{_file_digest(path, facts.st_mtime_ns, facts.st_size)}  {path.name}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@functools.lru_cache(maxsize=256)
def _file_digest(path: Path, _mtime_ns: int, _size_bytes: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_tessdata(configured: Path | None) -> Path | None:
    """Find the folder of ``*.traineddata``; TESSDATA_PREFIX may name it or, as in Tesseract 3, its parent."""
    places = (configured, configured / "tessdata") if configured else map(Path, TESSDATA_PLACES)
    return next((place for place in places if any(place.glob("*.traineddata"))), None)
