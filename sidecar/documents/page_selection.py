"""Which pages of a document are read. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sidecar.errors import InvalidValueError, TooManyPagesError

FIELD = "pages"
_RANGE = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6}))?")


@dataclass(frozen=True, slots=True)
class PageSelection:
    """The pages to read, by index from 0, and whether the default limit left out others."""

    indices: tuple[int, ...]
    limited: bool = False


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What the caller and the service say about pages. Of ``max_pages`` and ``default_max_pages``, 0 means all.

    ``clips``: ranges may reach beyond the document's end, and are cut there, unless nothing is left of them.
    ``counts_from``: the number that the caller gives the first page, for errors; here it is always 1.
    """

    pages: tuple[tuple[int, int], ...] = ()
    max_pages: int | None = None
    default_max_pages: int = 0
    page_limit: int = 500
    clips: bool = False
    counts_from: int = 1

    def select(self, page_count: int) -> PageSelection:
        """Select from the document's pages.

        Raises:
            InvalidValueError: the document does not have a requested page.
            TooManyPagesError: more pages would be read than the limit.
        """
        wanted: Sequence[int] = range(page_count)
        if self.pages:
            wanted = _expand(_clip(self.pages, page_count) if self.clips else self.pages, page_count, self.counts_from)
        first = self.default_max_pages if self.max_pages is None else self.max_pages
        chosen = wanted[: first or len(wanted)]
        if len(chosen) > self.page_limit:
            raise TooManyPagesError(
                f"{len(chosen)} pages are to be read, the limit is {self.page_limit}; ask for fewer"
            )
        return PageSelection(tuple(chosen), limited=self.max_pages is None and len(chosen) < len(wanted))


def parse_pages(text: str, page_limit: int) -> tuple[tuple[int, int], ...]:
    """Parse ``1-3,7`` into ranges of page numbers counted from 1, both ends included.

    Raises:
        InvalidValueError: not a list of pages, a descending range, a page 0, or more ranges than pages may be read.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > page_limit:
        raise InvalidValueError(f"lists {len(parts)} ranges, the limit is {page_limit}", field=FIELD)
    return tuple(_parse_range(part) for part in parts)


def listed(pages: Sequence[int]) -> str:
    """Write page numbers in ascending order as :func:`parse_pages` reads them, such as ``1-3,7``."""
    groups: list[list[int]] = []
    for page in pages:
        if groups and groups[-1][1] == page - 1:
            groups[-1][1] = page
        else:
            groups.append([page, page])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in groups)


def _parse_range(part: str) -> tuple[int, int]:
    match = _RANGE.fullmatch(part)
    first = int(match[1]) if match else 0
    last = int(match[2] or match[1]) if match else 0
    if not 1 <= first <= last:
        raise InvalidValueError(f"holds {part[:40]!r}, accepted are page numbers and ranges such as 1-3,7", field=FIELD)
    return first, last


def _clip(ranges: tuple[tuple[int, int], ...], page_count: int) -> tuple[tuple[int, int], ...]:
    """Cut ranges at the document's end; one that lies beyond it stays, and is refused."""
    return tuple((first, max(first, min(last, page_count))) for first, last in ranges)


def _expand(ranges: tuple[tuple[int, int], ...], page_count: int, counts_from: int) -> list[int]:
    for _, last in ranges:
        if last > page_count:
            page = last - 1 + counts_from
            raise InvalidValueError(f"asks for page {page}, the document has {page_count}", field=FIELD)
    return sorted({number - 1 for first, last in ranges for number in range(first, last + 1)})
