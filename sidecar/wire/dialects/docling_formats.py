"""The text of pages in docling's own formats. Pages and paragraphs are known, no headings, tables or boxes. Pure."""

import re
from collections.abc import Sequence
from typing import Any

Page = tuple[int, str]
"""Its number, from 1, and its text."""
SCHEMA_VERSION = "1.0.0"
"""Of DoclingDocument; the fields that are used here are in its first version, and newer ones read it."""


def paragraphs(text: str) -> list[str]:
    """Divide a page's text at blank lines."""
    return [part.strip("\n") for part in re.split(r"\n\s*\n", text) if part.strip()]


def as_markdown(pages: Sequence[str], between: str) -> str:
    """Join the Markdown of pages; ``between`` stands between pages."""
    return (f"\n\n{between}\n\n" if between else "\n\n").join(pages)


def as_doctags(pages: Sequence[Page]) -> str:
    """Write paragraphs as texts, with breaks between pages; like docling, nothing is escaped."""
    inside = "<page_break>\n".join("".join(f"<text>{part}</text>\n" for part in paragraphs(text)) for _, text in pages)
    return f"<doctag>{inside}</doctag>"


def as_docling_document(pages: Sequence[Page], name: str) -> dict[str, Any]:
    """Write a DoclingDocument: a group for each page, named after its number, with its paragraphs."""
    groups: list[dict[str, Any]] = []
    texts: list[dict[str, Any]] = []
    for number, text in pages:
        group = f"#/groups/{len(groups)}"
        items = [_text_item(len(texts) + at, group, part) for at, part in enumerate(paragraphs(text))]
        texts += items
        groups.append(_node(group, "#/body", f"page {number}", [one["self_ref"] for one in items]))
    return {
        "schema_name": "DoclingDocument",
        "version": SCHEMA_VERSION,
        "name": name,
        "furniture": _node("#/furniture", None, "_root_", []) | {"content_layer": "furniture"},
        "body": _node("#/body", None, "_root_", [one["self_ref"] for one in groups]),
        "groups": groups,
        "texts": texts,
        "pictures": [],
        "tables": [],
        "key_value_items": [],
        "form_items": [],
        "pages": {},
    }


def _node(ref: str, parent: str | None, name: str, children: Sequence[str]) -> dict[str, Any]:
    return {
        "self_ref": ref,
        "parent": {"$ref": parent} if parent else None,
        "children": [{"$ref": child} for child in children],
        "content_layer": "body",
        "name": name,
        "label": "unspecified",
    }


def _text_item(index: int, parent: str, text: str) -> dict[str, Any]:
    return {
        "self_ref": f"#/texts/{index}",
        "parent": {"$ref": parent},
        "children": [],
        "content_layer": "body",
        "label": "text",
        "prov": [],
        "orig": text,
        "text": text,
    }
