"""What HTML, hOCR and ALTO share: text that stands in markup, attributes, languages. Pure."""

import html
import re

from sidecar.evidence.layout import Box

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, escaped or not: https://www.w3.org/TR/xml/#charsets."""
TWO_LETTERS = {
    "ara": "ar", "chi": "zh", "deu": "de", "eng": "en", "fra": "fr", "hin": "hi", "ita": "it", "jpn": "ja", "kor": "ko",
    "lao": "lo", "mya": "my", "nld": "nl", "por": "pt", "rus": "ru", "spa": "es", "tha": "th", "vie": "vi", "khm": "km",
}  # fmt: skip
"""Names of languages as BCP 47 wants them, where they differ from Tesseract's."""


def escaped(text: str) -> str:
    """Return a text as it stands in markup, in elements and in attributes; what XML cannot hold is left out."""
    return html.escape(_NO_XML.sub("", text))


def attributes(**values: object) -> str:
    """Return attributes with a space before each; those that are None are left out."""
    return "".join(f' {name}="{escaped(str(value))}"' for name, value in values.items() if value is not None)


def language(names: str) -> str | None:
    """Return the first of Tesseract's names, such as ``tha+eng``, as BCP 47 has it; None if there is none."""
    first = re.match(r"[A-Za-z]{2,8}", names)
    return TWO_LETTERS.get(first[0], first[0]) if first else None


def scaled(box: Box, factor: float) -> tuple[float, float, float, float]:
    """Return a box in another unit: left, top, right, bottom."""
    return box.left * factor, box.top * factor, box.right * factor, box.bottom * factor
