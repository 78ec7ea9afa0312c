"""OCRmyPDF plugin: pages are read by ocr-sidecar. One file, with nothing but OCRmyPDF and what comes with it.

``ocrmypdf --plugin ocr_sidecar_ocrmypdf.py --sidecar-url http://127.0.0.1:8765 -l tha+eng in.pdf out.pdf``

The service tells what is written on a page, and not where. So each line of the text is laid over the page's ink from
top to bottom, in equal heights: the PDF can be searched, and its text copied, page by page; a marked word is not the
one that is seen.
"""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ocrmypdf import OcrEngine, OrientationConfidence, hookimpl
from ocrmypdf.builtin_plugins.tesseract_ocr import TesseractOptions
from ocrmypdf.exceptions import BadArgsError, MissingDependencyError, SubprocessOutputError
from ocrmypdf.hocrtransform import BoundingBox, OcrClass, OcrElement
from PIL import Image, ImageOps

__version__ = "1.0"

TRIES = 5
LONGEST_WAIT_S = 60.0
"""Between two tries, whatever the service asks for."""
BUSY = frozenset({429, 503})
REDIRECTS = range(300, 400)


# ── the service ───────────────────────────────────────────────────────────────────────────────────────────────────


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the key would be sent to wherever an answer points."""

    def redirect_request(self, *_: Any) -> None:
        """Return none: the redirect is the answer."""


class Sidecar:
    """The service at one URL."""

    def __init__(self, url: str, key: str, timeout_s: float) -> None:
        self._url = url.rstrip("/")
        self._key = key
        self._timeout_s = timeout_s
        self._opener = urllib.request.build_opener(_StayHere)

    def read(self, picture: Path, languages: Sequence[str]) -> str:
        """Read the picture of one page; wait while the service is busy.

        Raises:
            MissingDependencyError: the service is not there, is elsewhere, or does not let us in.
            SubprocessOutputError: it could not read the page.
        """
        body, content_type = encode_form(picture.read_bytes(), {"languages": "+".join(languages)})
        request = urllib.request.Request(
            f"{self._url}/ocr-upload", body, {"Content-Type": content_type, "X-API-Key": self._key}
        )
        for last in (False,) * (TRIES - 1) + (True,):
            try:
                with self._opener.open(request, timeout=self._timeout_s) as answer:
                    text: str = json.load(answer)["text"]
                    return text
            except urllib.error.HTTPError as exc:
                wait_s = self._wait_s(exc, last=last)
            except OSError as exc:
                raise MissingDependencyError(f"ocr-sidecar does not answer at {self._url}: {exc}") from exc
            time.sleep(wait_s)
        raise AssertionError

    def _wait_s(self, refused: urllib.error.HTTPError, *, last: bool) -> float:
        """Return how long to wait before the next try."""
        asked = refused.headers.get("Retry-After", "")
        detail = _detail(refused)
        if refused.code in REDIRECTS:
            raise MissingDependencyError(f"{self._url} redirects elsewhere, which is not followed") from refused
        if refused.code in {401, 403}:
            raise MissingDependencyError(f"ocr-sidecar refuses the key: {detail}") from refused
        if last or refused.code not in BUSY:
            raise SubprocessOutputError(f"ocr-sidecar answered {refused.code}: {detail}") from refused
        return min(LONGEST_WAIT_S, float(asked) if asked.isdigit() else 1.0)


def _detail(refused: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(refused)["detail"])
    except (ValueError, KeyError, TypeError):
        return refused.reason


def encode_form(content: bytes, fields: dict[str, str]) -> tuple[bytes, str]:
    """Encode a form with a file; return it with its content type."""
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="page.png"\r\n\r\n'
    return b"".join([*parts, head.encode(), content, f"\r\n--{boundary}--\r\n".encode()]), (
        f"multipart/form-data; boundary={boundary}"
    )


# ── a page ────────────────────────────────────────────────────────────────────────────────────────────────────────


def lay_out(text: str, ink: tuple[int, int, int, int]) -> list[OcrElement]:
    """Lay the lines of a text over the ink of its page, in equal heights; words are as wide as they have letters."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    left, top, right, bottom = ink
    height = (bottom - top) / max(1, len(lines))
    return [_line(words, (left, top + height * at, right, top + height * (at + 1))) for at, words in enumerate(lines)]


def _line(words: list[str], box: tuple[float, float, float, float]) -> OcrElement:
    left, top, right, bottom = box
    letter = (right - left) / (sum(map(len, words)) + len(words) - 1)
    children = []
    for word in words:
        end = left + letter * len(word)
        children.append(OcrElement(ocr_class=OcrClass.WORD, bbox=BoundingBox(left, top, end, bottom), text=word))
        left = end + letter
    return OcrElement(ocr_class=OcrClass.LINE, bbox=BoundingBox(*box), children=children)


class SidecarEngine(OcrEngine):
    """An engine for OCRmyPDF that asks the service."""

    @staticmethod
    def version() -> str:
        """Return this plugin's version."""
        return __version__

    @staticmethod
    def creator_tag(options: Any) -> str:
        """Return what is written into the PDF."""
        return f"ocr-sidecar plugin {__version__}"

    def __str__(self) -> str:
        """Return the engine's name."""
        return f"ocr-sidecar plugin {__version__}"

    @staticmethod
    def languages(options: Any) -> set[str]:
        """Return none: the service itself refuses a language that it does not have, and names those it has."""
        return set()

    @staticmethod
    def get_orientation(input_file: Path, options: Any) -> OrientationConfidence:
        """Say nothing: the service reads pages that lie on their side."""
        return OrientationConfidence(angle=0, confidence=0.0)

    @staticmethod
    def supports_generate_ocr() -> bool:
        """Return that :meth:`generate_ocr` is there."""
        return True

    @staticmethod
    def generate_ocr(input_file: Path, options: Any, page_number: int = 0) -> tuple[OcrElement, str]:
        """Have a page read; return it with its lines, and its text."""
        with Image.open(input_file) as image:
            size, dpi = image.size, float(image.info.get("dpi", (72, 72))[0])
            ink = ImageOps.invert(image.convert("L")).getbbox()
        text = sidecar_of(options).read(input_file, options.languages) if ink else ""
        page = OcrElement(
            ocr_class=OcrClass.PAGE,
            bbox=BoundingBox(0, 0, *size),
            dpi=dpi,
            page_number=page_number,
            children=lay_out(text, ink) if ink else [],
        )
        return page, text

    @staticmethod
    def generate_hocr(input_file: Path, output_hocr: Path, output_text: Path, options: Any) -> None:
        """Refuse: OCRmyPDF 17 and newer call :meth:`generate_ocr`."""
        raise NotImplementedError("OCRmyPDF 17 or newer is needed")

    @staticmethod
    def generate_pdf(input_file: Path, output_pdf: Path, output_text: Path, options: Any) -> None:
        """Refuse: so does the renderer ``sandwich``, which needs Tesseract."""
        raise NotImplementedError("--pdf-renderer sandwich needs Tesseract; leave it out")


# ── options, and what OCRmyPDF calls ──────────────────────────────────────────────────────────────────────────────


@hookimpl
def initialize(plugin_manager: Any) -> None:
    """Replace the plugin for Tesseract, whose program need not be installed then."""
    plugin_manager.set_blocked("ocrmypdf.builtin_plugins.tesseract_ocr")


@hookimpl
def register_options() -> dict[str, Any]:
    """Keep Tesseract's options: OCRmyPDF looks at them, whoever reads."""
    return {"tesseract": TesseractOptions}


@hookimpl
def add_options(parser: ArgumentParser) -> None:
    """Add where the service is, and its key."""
    TesseractOptions.add_arguments_to_parser(parser)
    group = parser.add_argument_group("ocr-sidecar", "The service that reads the pages")
    group.add_argument("--sidecar-url", default="http://127.0.0.1:8765", help="URL of ocr-sidecar.")
    group.add_argument("--sidecar-key-file", type=Path, help="File that holds an API key of it.")
    group.add_argument("--sidecar-timeout", type=float, default=600.0, help="Seconds that a page may take.")


@hookimpl
def check_options(options: Any) -> None:
    """Refuse what cannot work before any page is read."""
    if urllib.parse.urlsplit(options.sidecar_url).scheme not in {"http", "https"}:
        raise BadArgsError(f"--sidecar-url is {options.sidecar_url!r}, an http or https URL is accepted")
    sidecar_of(options)


@hookimpl
def get_ocr_engine(options: Any) -> SidecarEngine | None:
    """Read by the service, unless another engine is named."""
    return SidecarEngine() if options is None or options.ocr_engine == "auto" else None


def sidecar_of(options: Any) -> Sidecar:
    """Return the service that the options name.

    Raises:
        BadArgsError: the file with the key cannot be read.
    """
    key = ""
    if options.sidecar_key_file:
        try:
            key = Path(options.sidecar_key_file).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as exc:
            raise BadArgsError(f"--sidecar-key-file cannot be read: {exc}") from exc
    return Sidecar(options.sidecar_url, key, options.sidecar_timeout)
