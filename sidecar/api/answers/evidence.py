"""What an answer holds beside the text, as it is sent: made by workers, and small until then."""

import base64
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sidecar.evidence.packed import Packed, PackedPages
from sidecar.ocr.job import Wanted
from sidecar.ocr.page_reading import PageResult
from sidecar.runtime.workers.pool import WorkerPool
from sidecar.wire.answers.blocks import render_pages

log = logging.getLogger(__name__)

BATCH_PAGES = 32
"""Pages of one task: with 20,000 words a worker has them in a tenth of a second."""
NOTHING = b'"widthPt":null,"heightPt":null,"blocks":null'


@dataclass(frozen=True, slots=True)
class BlockWriter:
    """Has workers write pages' blocks as JSON, each batch within a deadline."""

    workers: WorkerPool
    deadline_s: float

    async def write(self, pages: Sequence[object], wanted: Wanted) -> list[Packed[bytes]] | None:
        """Return each page's fields, packed; None if it failed, which must cost no text."""
        if not isinstance(pages, PackedPages) or not wanted.layout:
            return None
        written: list[Packed[bytes]] = []
        try:
            for first in range(0, len(pages), BATCH_PAGES):
                batch = pages[first : first + BATCH_PAGES]
                written += await self.workers.run(render_pages, batch, wanted.words, deadline_s=self.deadline_s)
        except Exception:  # whatever it is
            log.exception("the blocks of a document could not be written")
            return None
        return written


def fields_of(page: PageResult, written: Packed[bytes] | None) -> bytes:
    """Return the fields of a page that hold what was found on it, without the braces around them."""
    return b",".join((written.unpack() if written else NOTHING, b'"image":' + _image(page)))


def _image(page: PageResult) -> bytes:
    if page.image is None:
        return b"null"
    head = f'{{"mediaType":"{page.image.media_type}","widthPx":{page.image.width},"heightPx":{page.image.height}'
    return head.encode() + b',"base64":"' + base64.b64encode(page.image.content) + b'"}'
