"""A document in any format that is text, as a whole or page by page. Runs in workers: long ones take seconds.

Pure, but for the pages, which are opened one after the other.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sidecar.evidence.page import Page
from sidecar.outputs.alto import alto
from sidecar.outputs.formats import Output
from sidecar.outputs.hocr import hocr
from sidecar.outputs.html_page import html
from sidecar.outputs.markdown import markdown
from sidecar.outputs.text import text

WRITERS: Mapping[Output, Callable[[Sequence[Page]], str]] = {
    Output.TEXT: text,
    Output.HTML: html,
    Output.HOCR: hocr,
    Output.ALTO: alto,
}
FAST = 1
"""The level of zlib that costs least."""


# Workers send it with every document. Without slots it is pickled in C instead of Python.


@dataclass(frozen=True)
class Texts:
    """A document in the formats that others' services answer with: Markdown page by page, the others as a whole."""

    markdown: tuple[str, ...]
    html: str
    text: str


def written(pages: Sequence[Page], output: Output, verbatim: Mapping[int, str]) -> tuple[int, bytes]:
    """Write a document; return its size in bytes, and its text in UTF-8, deflated: it is small until it is sent.

    ``verbatim`` holds the Markdown of pages, by their numbers, that was read as such: what models write.
    """
    opened = list(pages)
    if output is Output.MARKDOWN:
        whole = "\n\n".join(filter(None, _markdown(opened, verbatim)))
    else:
        whole = WRITERS[output](opened)
    content = whole.encode("utf-8", "replace")
    return len(content), zlib.compress(content, FAST)


def texts(pages: Sequence[Page], verbatim: Mapping[int, str], title: str) -> Texts:
    """Write a document in several formats; ``verbatim`` as for :func:`written`."""
    opened = list(pages)
    return Texts(tuple(_markdown(opened, verbatim)), html(opened, title), text(opened))


def _markdown(pages: Iterable[Page], verbatim: Mapping[int, str]) -> Iterator[str]:
    for page in pages:
        yield verbatim[page.number] if page.number in verbatim else markdown([page])
