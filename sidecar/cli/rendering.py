"""What was read of a document, as the command line writes it. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sidecar.cli.documents import Document
from sidecar.cli.requests import JSON
from sidecar.client import Page, Summary, WrittenDocument


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of a document."""

    pages: Sequence[Page]
    summary: Summary

    @property
    def warnings(self) -> Sequence[str]:
        """What differs from what was asked."""
        return self.summary.warnings


def render(document: Document, reading: Reading | WrittenDocument, output: str | None) -> bytes:
    """Return what the document's file holds in a format; None: Markdown with a heading for each page."""
    if isinstance(reading, WrittenDocument):
        is_open = reading.media_type in {"text/plain", "text/markdown"} and not reading.content.endswith(b"\n")
        return reading.content + (b"\n" if is_open else b"")
    text = render_json(document, reading) if output == JSON else render_markdown(document, reading)
    return (text + "\n").encode("utf-8", "surrogateescape")


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
