"""The formats that a document may be asked for in, and their names on the web. Pure."""

from collections.abc import Mapping
from enum import StrEnum


class Output(StrEnum):
    """What ``output`` may be."""

    JSON = "json"
    TEXT = "text"
    MARKDOWN = "markdown"
    HTML = "html"
    HOCR = "hocr"
    ALTO = "alto"
    PDF = "pdf"


MEDIA_TYPES: Mapping[Output, str] = {
    Output.JSON: "application/json",
    Output.TEXT: "text/plain",
    Output.MARKDOWN: "text/markdown",
    Output.HTML: "text/html",
    Output.HOCR: "text/vnd.hocr+html",
    Output.ALTO: "application/alto+xml",
    Output.PDF: "application/pdf",
}
"""RFC 7763 for Markdown; hOCR 1.2, 1.1; ALTO has none that is registered."""
PLACED = frozenset({Output.HOCR, Output.ALTO, Output.PDF})
"""Those that say where each word stands."""
