"""Runs the recipes of docs/integrations.md with the libraries they are for; each case asserts what came of them."""

import contextlib
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.clients.table import Row, run

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "integrations.md"
NUMBER = "LCBP3-RFA-2025-9613-0"
"""Stands on the first page of digital.pdf, which is the recipes' scan.pdf."""


def code_of(name: str, language: str = "python") -> str:
    """Return the only block of a language below a recipe's heading."""
    (section,) = re.findall(
        rf"^## {name}\n(.*?)(?=^##? |\Z)", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    (code,) = re.findall(rf"^```{language}\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    return str(code)


def recipe(name: str, check: Callable[[dict[str, Any]], None]) -> Callable[[str], None]:
    """Return the case of one recipe; ``check`` gets the names that its code leaves behind."""

    def case(url: str) -> None:
        names: dict[str, Any] = {"URL": url, "KEY": None, "__name__": "recipe"}
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            shutil.copy(ROOT / "tests" / "data" / "digital.pdf", "scan.pdf")
            exec(compile(code_of(name), f"{PAGE.name}: {name}", "exec"), names)
            check(names)

    return case


def langchain(names: dict[str, Any]) -> None:
    """Four pages are found, two of them stay."""
    assert sorted(one.metadata["page"] for one in names["near"]) == [1, 2, 3, 4]
    assert any(NUMBER in one.page_content for one in names["near"])
    assert len(names["best"]) == 2
    assert all(one in names["near"] for one in names["best"])


def llama_index(names: dict[str, Any]) -> None:
    """Each page is a document of its own."""
    assert sorted(one.metadata["page"] for one in names["documents"]) == [1, 2, 3, 4]
    assert {one.metadata["file_name"] for one in names["documents"]} == {"scan.pdf"}
    assert len(names["best"]) == 2


def haystack(names: dict[str, Any]) -> None:
    """The store has the pages with their vectors."""
    stored = names["store"].filter_documents()
    assert sorted(one.meta["page"] for one in stored) == [1, 2, 3, 4]
    assert all(len(one.embedding) == 32 for one in stored)


def qdrant(names: dict[str, Any]) -> None:
    """Two pages of those that both searches found."""
    assert len(names["near"]) == 4
    assert [one.payload["text"] for one in names["best"]] == [
        names["near"][index].payload["text"] for index in names["ranking"].ranked_indices
    ]


def litellm(names: dict[str, Any]) -> None:
    """All pages' text in one."""
    assert len(names["answer"].pages) == 4
    assert NUMBER in names["text"]


ROWS = (
    Row("langchain-core", "recipe: loader, vector store, reranker", recipe("LangChain", langchain)),
    Row("llama-index-core", "recipe: reader, index, reranker", recipe("LlamaIndex", llama_index)),
    Row("haystack-ai", "recipe: converter, embedder, store", recipe("Haystack", haystack)),
    Row("qdrant-client", "recipe: hybrid search of a document's pages, reranked", recipe("Qdrant", qdrant)),
    Row("litellm", "recipe: `ocr` of a document", recipe("Programs for docling-serve or Mistral OCR", litellm)),
)

if __name__ == "__main__":
    sys.exit(run(ROWS, sys.argv[1]))
