"""The quality of the text: made pages of each kind, and the files that lie in the folder BENCH_DATA, reader by reader.

Other people's data are fetched by whoever measures and never committed: docs/quality.md says what belongs where.
"""

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench.harness.figure import Figure
from bench.harness.load import DATA as OWN_DATA
from bench.ocr.accuracy import SCANS
from bench.ocr.accuracy import error_rate as rate_of_lines
from bench.quality import laid_out
from bench.quality.arithmetic import (
    error_rate,
    error_rate_without_spaces,
    f1,
    passes,
    whole_amounts,
    word_scores,
)
from bench.quality.failing import wanted_of
from bench.quality.made import FAMILIES, KINDS, Made, make
from bench.quality.readers import Read, Reading, open_readers
from tools.numerals.fonts import find_fonts

BOTH, ENGLISH = "tha+eng", "eng"
PAGES, QUICK_PAGES = 4, 1
UNORDERED = {"table, scanned", "stamp over text"}
"""Kinds of which words alone are measured: rows or columns first, stamp or text first, both are right."""
RECEIPTS, EVERY = 40, 15
"""Of the receipts in the order of their names, every so many: what docs/quality.md compares."""
TARGET_FAILING, TARGET_SCANS, TARGET_RECEIPTS, TARGET_TEST_PAGE = 33, 0.0055, 0.88, 0.072
TARGET_THAI_FLAT, TARGET_THAI_PHOTO = 0.06, 0.40
TARGET_OLMOCR = 60
"""Of 88 tests, without a model; pdftotext passes 33."""

Readers = Mapping[str, Read]
Values = dict[str, float]


def run(*, quick: bool) -> list[Figure]:
    folder = os.environ.get("BENCH_DATA")
    with open_readers() as (readers, markdown):
        figures = [Figure("readers", ", ".join(readers)), *_made(readers, QUICK_PAGES if quick else PAGES)]
        figures += list(_laid_out(markdown, QUICK_PAGES if quick else PAGES))
        if not quick:
            figures.append(_scans(readers))
        if folder and not quick:
            for rows in (_failing, _receipts, _test_pages, _thai_pages):
                figures += list(rows(readers, Path(folder)))
            figures += list(_olmocr({**readers, "service": markdown}, Path(folder)))
    return figures


def _figure(name: str, shown: Mapping[str, str], target: str = "", *, reached: bool | None = None) -> Figure:
    return Figure(name, "; ".join(f"{reader} {value}" for reader, value in shown.items()), target, reached)


def _rate_row(name: str, rates: Values, target: float) -> Figure:
    shown = {reader: f"{rate:.4f}" for reader, rate in rates.items()}
    return _figure(name, shown, f"<= {target:g}", reached=rates["service"] <= target)


# ── made pages ────────────────────────────────────────────────────────────────────────────────────────────────────


def _made(readers: Readers, count: int) -> Iterator[Figure]:
    if not find_fonts(FAMILIES):
        yield Figure("made pages", "no fonts: make numeral-fonts", "", reached=False)
        return
    with tempfile.TemporaryDirectory(prefix="ocr-sidecar-bench-") as folder:
        for kind in KINDS:
            yield from _kind(readers, kind, [make(kind, number, Path(folder)) for number in range(count)])


def _kind(readers: Readers, kind: str, pages: Sequence[tuple[Path, Made]]) -> Iterator[Figure]:
    languages = BOTH if kind.startswith("Thai") else ENGLISH
    texts = {name: [read(path, languages, None).text for path, _ in pages] for name, read in readers.items()}
    truths = [made for _, made in pages]
    titles = {f"{kind}, {len(pages)} pages: CER": _mean_rate} if kind not in UNORDERED else {}
    titles |= {f"{kind}: word F1": _words} if not kind.startswith("Thai") else {}
    titles |= {f"{kind}: amounts whole": _amounts} if any(made.amounts for made in truths) else {}
    for title, measure in titles.items():
        yield _figure(title, {name: measure(read, truths) for name, read in texts.items()})


def _mean_rate(texts: Sequence[str], truths: Sequence[Made]) -> str:
    rates = [error_rate_without_spaces(text, made.text) for text, made in zip(texts, truths, strict=True)]
    return f"{sum(rates) / len(rates):.4f}"


def _amounts(texts: Sequence[str], truths: Sequence[Made]) -> str:
    right = sum(whole_amounts(text, made.amounts) for text, made in zip(texts, truths, strict=True))
    return f"{right} of {sum(len(made.amounts) for made in truths)}"


def _words(texts: Sequence[str], truths: Sequence[Made]) -> str:
    return f"{f1(word_scores(text, made.text) for text, made in zip(texts, truths, strict=True)):.3f}"


def _laid_out(markdown: Read, count: int) -> Iterator[Figure]:
    """Tell how many of their tests documents with a layout pass in Markdown, digital and as scans of their pages."""
    if not find_fonts(FAMILIES):
        return
    with tempfile.TemporaryDirectory(prefix="ocr-sidecar-bench-") as folder:
        for kind in laid_out.KINDS:
            made = [laid_out.make(kind, number) for number in range(count)]
            shown = {}
            for name, content_of in (("digital", _content), ("scanned", laid_out.scanned)):
                passed = sum(_passed(markdown, one.tests, content_of(one), Path(folder)) for one in made)
                shown[name] = f"{passed} of {sum(len(one.tests) for one in made)}"
            yield _figure(f"layout, {kind}: tests passed", shown)


def _content(made: laid_out.LaidOut) -> bytes:
    return made.content


def _passed(markdown: Read, tests: Sequence[laid_out.Test], content: bytes, folder: Path) -> int:
    path = folder / "made.pdf"
    path.write_bytes(content)
    read = markdown(path, BOTH, None).text
    return sum(bool(passes(read, test)) for test in tests)


# ── the repository's own scans, and other people's files ──────────────────────────────────────────────────────────


def _scans(readers: Readers) -> Figure:
    truth: Mapping[str, Sequence[str]] = json.loads((OWN_DATA / "truth.json").read_text(encoding="utf-8"))
    rates: Values = {}
    for name in ("service", "Tesseract"):
        read = readers[name]
        each = [
            rate_of_lines(read(OWN_DATA / file, BOTH, page).text, truth[file][page - 1])
            for file, pages in SCANS.items()
            for page in pages
        ]
        rates[name] = sum(each) / len(each)
    return _rate_row("sample scans of the repository, CER", rates, TARGET_SCANS)


def _failing(readers: Readers, folder: Path) -> Iterator[Figure]:
    files = [path for path in sorted((folder / "failing").glob("*")) if wanted_of(path.name)]
    if not files:
        return
    wrong = {name: [path.name for path in files if not _is_right(read, path)] for name, read in readers.items()}
    right = {name: f"{len(files) - len(missed)} of {len(files)}" for name, missed in wrong.items()}
    needed = round(TARGET_FAILING / 36 * len(files))
    reached = len(files) - len(wrong["service"]) >= needed
    yield _figure("difficult files as expected", right, f">= {needed}", reached=reached)
    yield Figure("difficult files: the service's wrong", " ".join(re.split("[-.]", one)[0] for one in wrong["service"]))


def _is_right(read: Read, path: Path) -> bool:
    reading, wanted = read(path, BOTH, None), wanted_of(path.name)
    return wanted is not None and not any(wanted.problems(reading.pages, reading.codes))


def _receipts(readers: Readers, folder: Path) -> Iterator[Figure]:
    pictures = sorted((folder / "data" / "img").glob("*.jpg"))[: RECEIPTS * EVERY : EVERY]
    if not pictures:
        return
    scores = {
        name: f1(word_scores(read(path, ENGLISH, None).text, _receipt(path)) for path in pictures)
        for name, read in readers.items()
        if name != "pdftotext"
    }
    shown = {name: f"{score:.3f}" for name, score in scores.items()}
    reached = scores["service"] >= TARGET_RECEIPTS
    yield _figure(f"SROIE, {len(pictures)} receipts: word F1", shown, f">= {TARGET_RECEIPTS:g}", reached=reached)


def _receipt(picture: Path) -> str:
    """Return a receipt's true text: the ninth field of each line and what follows it."""
    file = picture.parents[1] / "box" / f"{picture.stem}.csv"
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    return " ".join(line.split(",", 8)[8].strip() for line in lines if line.count(",") >= 8)


def _test_pages(readers: Readers, folder: Path) -> Iterator[Figure]:
    for truth in sorted((folder / "testing").glob("*.txt")):
        picture, true = truth.with_suffix(".tif"), truth.read_text(errors="replace")
        if picture.exists():
            rates = _rates(readers, picture, ENGLISH, partial(error_rate, true=true))
            yield _rate_row(f"Tesseract's test page {truth.stem}, CER", rates, TARGET_TEST_PAGE)


def _rates(readers: Readers, picture: Path, languages: str, rate: Callable[[str], float]) -> Values:
    return {name: rate(read(picture, languages, None).text) for name, read in readers.items() if name != "pdftotext"}


def _thai_pages(readers: Readers, folder: Path) -> Iterator[Figure]:
    index = folder / "MDPBench" / "demo_data" / "MDPBench_demo.json"
    for page in json.loads(index.read_text(encoding="utf-8")) if index.exists() else ():
        picture = index.with_suffix("") / Path(page["page_info"]["image_path"]).name
        if picture.name.startswith("th_") and picture.exists():
            true = _layout_text(page)
            rates = _rates(readers, picture, BOTH, partial(error_rate_without_spaces, true=true))
            is_photo = "light" in picture.name
            yield _rate_row(f"MDPBench {picture.stem}, CER", rates, TARGET_THAI_PHOTO if is_photo else TARGET_THAI_FLAT)


def _layout_text(page: Mapping[str, Any]) -> str:
    boxes = sorted(page["layout_dets"], key=lambda box: box.get("order") or 0)
    return "\n".join(box.get("text") or re.sub(r"<[^>]+>", " ", box.get("html") or "") for box in boxes)


def _olmocr(readers: Readers, folder: Path) -> Iterator[Figure]:
    samples = folder / "olmocr" / "bench" / "sample_data"
    tests = [json.loads(line) for file in sorted(samples.glob("*.jsonl")) for line in file.open() if line.strip()]
    totals: dict[str, int] = {}
    asked = sum(test["type"] != "math" for test in tests)
    for kind in sorted({test["type"] for test in tests} - {"math"}):
        chosen = [test for test in tests if test["type"] == kind]
        passed = {name: sum(_passes(read, samples, test) for test in chosen) for name, read in readers.items()}
        for name, number in passed.items():
            totals[name] = totals.get(name, 0) + number
        yield _figure(f"olmOCR's sample, {kind}", {name: f"{count} of {len(chosen)}" for name, count in passed.items()})
    if totals:
        shown = {name: f"{number} of {asked}" for name, number in totals.items()}
        reached = totals["service"] >= TARGET_OLMOCR
        yield _figure("olmOCR's sample, all but math", shown, f">= {TARGET_OLMOCR}", reached=reached)


def _passes(read: Read, samples: Path, test: Mapping[str, Any]) -> bool:
    return bool(passes(_cached(read, samples / "pdfs" / test["pdf"], test["page"]).text, test))


_READINGS: dict[tuple[int, Path, int], Reading] = {}


def _cached(read: Read, path: Path, page: int) -> Reading:
    """Read a page once for all its tests."""
    key = (id(read), path, page)
    if key not in _READINGS:
        _READINGS[key] = read(path, ENGLISH, page)
    return _READINGS[key]
