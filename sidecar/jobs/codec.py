"""Pages that were read, as bytes that any pod can open: JSON, since a pickle would run whatever its writer liked. Pure.

It takes milliseconds a page: call it in a thread.
"""

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from cattrs import Converter

from sidecar.documents.pages import DocumentFacts, PageFacts
from sidecar.errors import SidecarError, error_classes
from sidecar.evidence.layout import Layout
from sidecar.evidence.packed import Packed, Small
from sidecar.jobs.record import SCHEMA
from sidecar.ocr.job import PagesRead
from sidecar.ocr.page_reading import PageResult

FAST = 1
"""The level of zlib: higher ones take more time than the disk saves."""


class UnknownSchemaError(Exception):
    """Written by another version, in a form that this one does not know."""


@dataclass(frozen=True, slots=True)
class SlicePages:
    """What was read of a slice so far.

    ``tries`` counts by page how often it was read and failed, ``given_back`` how often the slice was handed back by one
    who lived on.
    """

    facts: DocumentFacts | None = None
    pages: tuple[PageResult, ...] = ()
    unread: tuple[int, ...] = ()
    tries: Mapping[int, int] = field(default_factory=dict)
    given_back: int = 0

    def adding(self, read: PagesRead) -> "SlicePages":
        """Return it with more that was read."""
        told = [*([self.facts] if self.facts else []), read.facts]
        return replace(self.with_pages(read.pages), facts=joined(told), unread=(*self.unread, *read.unread))

    def with_pages(self, pages: Sequence[PageResult]) -> "SlicePages":
        """Return it with more pages; a page that was there is replaced, and its failure counted."""
        new = {page.page for page in pages}
        kept = sorted((*(one for one in self.pages if one.page not in new), *pages), key=lambda one: one.page)
        failed = {one.page: self.tries.get(one.page, 0) + 1 for one in pages if one.error and one.engine is None}
        return replace(self, pages=tuple(kept), tries={**self.tries, **failed})


def joined(facts: Iterable[DocumentFacts]) -> DocumentFacts:
    """Return what several openings of one document told, each of some of its pages."""
    first, *others = facts
    pages = {page.index: page for one in (first, *others) for page in one.pages}
    return replace(first, pages=tuple(pages[index] for index in sorted(pages)))


def pack(slice_pages: SlicePages) -> bytes:
    """Return it as bytes."""
    bare = slice_pages.facts and replace(slice_pages.facts, pages=tuple(map(_bare, slice_pages.facts.pages)))
    told = {"schema": SCHEMA, **_CONVERTER.unstructure(replace(slice_pages, facts=bare))}
    return zlib.compress(json.dumps(told, ensure_ascii=False).encode("utf-8", "surrogatepass"), FAST)


def unpack(content: bytes) -> SlicePages:
    """Read it from bytes.

    Raises:
        UnknownSchemaError: another version wrote it.
    """
    told = json.loads(zlib.decompress(content).decode("utf-8", "surrogatepass"))
    if told.pop("schema", None) != SCHEMA:
        raise UnknownSchemaError
    return _CONVERTER.structure(told, SlicePages)


def _bare(page: PageFacts) -> PageFacts:
    """Leave out what the page's result has anyway."""
    return replace(page, text=None if page.text is None else "", certainty=None, layout=None, notes=())


def _error_told(error: SidecarError) -> dict[str, Any]:
    said = error.detail.removeprefix(f"{error.field} ") if error.field else error.detail
    return {"code": error.code, "said": said, "field": error.field, "retry_after_s": error.retry_after_s}


def error_from(told: dict[str, Any]) -> SidecarError:
    """Make an error of what was told of it."""
    kind = error_classes().get(told["code"], SidecarError)
    return kind(told["said"], field=told.get("field", ""), retry_after_s=told.get("retry_after_s"))


def _converter() -> Converter:
    made = Converter(omit_if_default=True)
    made.register_unstructure_hook_func(_is_error, _error_told)
    made.register_structure_hook_func(_is_error, lambda told, _: error_from(told))
    made.register_unstructure_hook_func(_is_packed, lambda packed: made.unstructure(packed.unpack(), Layout))
    made.register_structure_hook_func(_is_packed, lambda told, _: Packed(made.structure(told, Layout)))
    made.register_unstructure_hook(bytes, lambda value: base64.b64encode(value).decode())
    made.register_structure_hook(bytes, lambda told, _: base64.b64decode(told))
    made.register_unstructure_hook_func(_is_small, lambda _: None)
    made.register_structure_hook_func(_is_small, lambda _, __: None)
    made.register_structure_hook_func(lambda kind: kind is object, lambda told, _: told)
    made.register_structure_hook_func(lambda kind: kind == int | float, lambda told, _: told)
    return made


def _is_error(kind: Any) -> bool:  # noqa: ANN401 - a type, or what stands for one
    return isinstance(kind, type) and issubclass(kind, SidecarError)


def _is_packed(kind: Any) -> bool:  # noqa: ANN401
    return kind is Packed or getattr(kind, "__origin__", None) is Packed


def _is_small(kind: Any) -> bool:  # noqa: ANN401
    return kind is Small or (Small in get_args(kind))


_CONVERTER = _converter()
