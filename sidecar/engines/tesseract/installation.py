"""What is installed of Tesseract: its version, and the languages whose data is found."""

from dataclasses import dataclass
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


def describe(tessdata_dir: Path | None) -> Installed | None:
    """Return what is installed; None without any data."""
    import tesserocr  # noqa: PLC0415 - as above

    folder = find_tessdata(tessdata_dir)
    if folder is None:
        return None
    version = tesserocr.tesseract_version().split()[1]
    return Installed(version, folder, frozenset(data.stem for data in folder.glob("*.traineddata")))


def find_tessdata(configured: Path | None) -> Path | None:
    """Find the folder of ``*.traineddata``; TESSDATA_PREFIX may name it or, as in Tesseract 3, its parent."""
    places = (configured, configured / "tessdata") if configured else map(Path, TESSDATA_PLACES)
    return next((place for place in places if any(place.glob("*.traineddata"))), None)
