"""A document in any format that is text, as a whole or page by page. Runs in workers: long ones take seconds.

Pure, but for the pages, which are opened one after the other.
"""

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence

from sidecar.evidence.page import Page
from sidecar.outputs.alto import alto
from sidecar.outputs.formats import Output
from sidecar.outputs.hocr import hocr
from sidecar.outputs.html_page import html
from sidecar.outputs.markdown import markdown
from sidecar.outputs.text import text

WRITERS: Mapping[Output, Callable[[Sequence[Page]], str]] = {
    Output.TEXT: text,
    Output.MARKDOWN: markdown,
    Output.HTML: html,
    Output.HOCR: hocr,
    Output.ALTO: alto,
}
FAST = 1
"""The level of zlib that costs least."""


def written(pages: Sequence[Page], output: Output) -> tuple[int, bytes]:
    """Write a document; return its size in bytes, and its text in UTF-8, deflated: it is small until it is sent."""
    whole = WRITERS[output](list(pages)).encode("utf-8", "replace")
    return len(whole), zlib.compress(whole, FAST)


def written_pages(pages: Sequence[Page], outputs: Iterable[Output]) -> dict[Output, list[str]]:
    """Write each page by itself, in each of these formats."""
    opened = list(pages)
    return {output: [WRITERS[output]([page]) for page in opened] for output in outputs}
