"""The formats in which the command line writes documents, and the names of their files. Pure."""

from collections.abc import Mapping

SUFFIXES_OF: Mapping[str | None, str] = {
    None: ".md",
    "json": ".json",
    "text": ".txt",
    "markdown": ".markdown.md",
    "html": ".html",
    "hocr": ".hocr",
    "alto": ".alto.xml",
    "pdf": ".searchable.pdf",
}
"""What follows the document's name in that of its file. None: Markdown with a heading for each page."""
FORMATS = tuple(filter(None, SUFFIXES_OF))
