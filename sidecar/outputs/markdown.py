"""Pages as Markdown: what runs on every page is left out. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from sidecar.evidence.page import FURNITURE, Page
from sidecar.outputs.text import text


def markdown(pages: Sequence[Page]) -> str:
    """Write the blocks of pages that are no furniture."""
    return text(
        [replace(page, blocks=tuple(one for one in page.blocks if one.kind not in FURNITURE)) for page in pages]
    )
