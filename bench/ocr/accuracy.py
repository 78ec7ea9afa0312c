"""Character error rates against the true texts, and those of bare Tesseract on the same pictures.

The service spells its text as people type it (:func:`sidecar.documents.layers.thai_text.compose_sara_am`); the
reference is Tesseract's raw text, which causes some of its errors.
"""

import asyncio
import json
import re
import statistics
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from rapidfuzz.distance import Levenshtein

from bench.harness.figure import Figure
from bench.harness.load import DATA, send, upload
from bench.harness.service import running_service
from bench.ocr.reference import Page, read_as_drawn_by_service, reference_processes
from sidecar.runtime.cores import usable_cores

Documents = dict[str, tuple[int, ...]]
"""Page numbers, from 1, by document."""
Rates = dict[tuple[str, int], float]

SCANS: Documents = {
    "scan-thai-english.pdf": (1, 2, 3),
    "scan-noisy-skewed.pdf": (1, 2),
    "mixed.pdf": (1, 2),
    "blank-pages.pdf": (1, 2, 3),
    "photo.png": (1,),
    "fax.tiff": (1, 2),
}
QUICK_SCANS: Documents = {"photo.png": (1,), "fax.tiff": (1, 2)}
UNREADABLE: Documents = {"dot-leaders.pdf": (1,)}
"""Rows of dots with a number at the end, which Tesseract cannot read: for information, and not in the mean."""
TARGET_MEAN = 0.02


def run(*, quick: bool) -> list[Figure]:
    scans = QUICK_SCANS if quick else SCANS
    pages = [(name, page) for name, numbers in (scans | UNREADABLE).items() for page in numbers]
    truth: Mapping[str, Sequence[str]] = json.loads((DATA / "truth.json").read_text(encoding="utf-8"))
    service = _rates(pages, truth, _read_by_service(scans | UNREADABLE))
    bare = _rates(pages, truth, _read_bare(pages))
    mean = _mean(service)
    return [
        Figure("service, mean", f"{mean:.4f}", f"<= {TARGET_MEAN:g}", mean <= TARGET_MEAN),
        Figure("service, worst page", _worst(service)),
        Figure("bare Tesseract, mean", f"{_mean(bare):.4f}"),
        Figure("bare Tesseract, worst page", _worst(bare)),
        *(Figure(f"{page[0]}: service, bare", f"{service[page]:.4f}, {bare[page]:.4f}") for page in _apart(service)),
    ]


def error_rate(read: str, true: str) -> float:
    """Return the edits to the true text, per true character; at most 1, as for a blank page read as text."""
    read, true = _normal(read), _normal(true)
    return min(1.0, Levenshtein.distance(read, true) / max(1, len(true)))


def _normal(text: str) -> str:
    lines = (re.sub(r"\s+", " ", line).strip() for line in unicodedata.normalize("NFC", text).splitlines())
    return "\n".join(line for line in lines if line)


def _rates(pages: Sequence[tuple[str, int]], truth: Mapping[str, Sequence[str]], texts: Iterable[str]) -> Rates:
    return {
        (name, page): error_rate(text, truth[name][page - 1]) for (name, page), text in zip(pages, texts, strict=True)
    }


def _read_by_service(documents: Documents) -> list[str]:
    requests = [
        upload(name, engine="tesseract", pages=",".join(map(str, numbers))) for name, numbers in documents.items()
    ]
    with running_service() as service:
        replies = asyncio.run(send(service.port, requests, connections=usable_cores()))
    return [page["text"] for reply in replies for page in json.loads(reply.body)["pages"]]


def _read_bare(pages: Iterable[tuple[str, int]]) -> list[str]:
    with reference_processes() as pool:
        return list(pool.map(read_as_drawn_by_service, [Page(DATA / name, page - 1) for name, page in pages]))


def _apart(rates: Rates) -> list[tuple[str, int]]:
    return [page for page in rates if page[0] in UNREADABLE]


def _mean(rates: Rates) -> float:
    return statistics.mean(rate for page, rate in rates.items() if page[0] not in UNREADABLE)


def _worst(rates: Rates) -> str:
    rate, (name, page) = max((rate, page) for page, rate in rates.items() if page[0] not in UNREADABLE)
    return f"{rate:.4f} ({name}, page {page})"
