"""Thai numerals on generated pages, in fonts not used in training, beside bare Tesseract on the same pixels.

Pages with Thai numerals, with Arabic ones, and with none; 9 to 16 points at 200 and 300 dpi, with noise, blur, skew and
rules. The bare text is from the same recognition, before the numerals were read again.
"""

import functools
import multiprocessing
import os
import re
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rapidfuzz.distance import Levenshtein

from bench.harness.figure import Figure, at_least, below
from bench.ocr.reference import LANGUAGES, find_data
from sidecar.documents.pages import PageImage
from sidecar.engines.numerals.alphabet import THAI_DIGITS
from sidecar.engines.tesseract import worker
from sidecar.ocr.engine import PageText
from sidecar.runtime.cores import usable_cores
from tools.numerals.pages import MadePage, Writing, make_page

if TYPE_CHECKING:
    from tesserocr import PyTessBaseAPI

PAGES, QUICK_PAGES = 60, 4
OTHER_PAGES, QUICK_OTHER_PAGES = 15, 2
"""Pages with Arabic numerals, and as many with none: nothing may change on them."""
TARGET_DIGITS, TARGET_AMOUNTS = 0.995, 0.97
TARGET_WITHOUT_MS, TARGET_WITH_MS = 15.0, 60.0
_NUMERAL = re.compile(r"[\u0e50-\u0e590-9.,/-]+")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One page's result: amounts and digits, how many bare Tesseract and ours have right, and the time."""

    writing: Writing
    amounts: int
    amounts_bare: int
    amounts_right: int
    digits: int
    wrong_bare: int
    wrong: int
    changed: bool
    doubtful: bool
    took_ms: float


def run(*, quick: bool) -> list[Figure]:
    numeral_pages, others = (QUICK_PAGES, QUICK_OTHER_PAGES) if quick else (PAGES, OTHER_PAGES)
    counts = {Writing.THAI: numeral_pages, Writing.ARABIC: others, Writing.NONE: others}
    jobs = [(writing, number) for writing, count in counts.items() for number in range(count)]
    os.environ["OMP_THREAD_LIMIT"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # the processes import NumPy at once
    with ProcessPoolExecutor(usable_cores(), multiprocessing.get_context("spawn"), _prepare) as pool:
        outcomes = list(pool.map(_read, *zip(*jobs, strict=True)))
    thai = [one for one in outcomes if one.writing is Writing.THAI]
    return [*_rightness(thai), *_warnings(thai), *_cost(outcomes)]


def _rightness(thai: Sequence[Outcome]) -> list[Figure]:
    digits, amounts = sum(one.digits for one in thai), sum(one.amounts for one in thai)
    right = 1 - sum(one.wrong for one in thai) / digits
    whole = sum(one.amounts_right for one in thai)
    bare = sum(one.amounts_bare for one in thai)
    return [
        at_least(f"digits right, of {digits}", f"{right:.4f}", right, TARGET_DIGITS),
        Figure("digits right, bare Tesseract", f"{1 - sum(one.wrong_bare for one in thai) / digits:.4f}"),
        at_least("amounts right", f"{whole} of {amounts} ({whole / amounts:.4f})", whole / amounts, TARGET_AMOUNTS),
        Figure("amounts right, bare Tesseract", f"{bare} of {amounts} ({bare / amounts:.4f})"),
    ]


def _warnings(thai: Sequence[Outcome]) -> list[Figure]:
    wrong = [one for one in thai if one.amounts_right < one.amounts]
    whole = [one for one in thai if one.amounts_right == one.amounts]
    silent = sum(not one.doubtful for one in wrong)
    loud = sum(one.doubtful for one in whole)
    return [
        Figure(f"pages with a wrong amount and no warning, of {len(wrong)}", str(silent), "0", silent == 0),
        Figure(f"pages with all amounts right and a warning, of {len(whole)}", str(loud), "0", loud == 0),
    ]


def _cost(outcomes: Sequence[Outcome]) -> list[Figure]:
    thai = [one.took_ms for one in outcomes if one.writing is Writing.THAI]
    others = [one for one in outcomes if one.writing is not Writing.THAI]
    changed = sum(one.changed or one.doubtful for one in others)
    with_ms, without_ms = statistics.median(thai), max(one.took_ms for one in others)
    return [
        Figure(f"pages changed or warned without Thai numerals, of {len(others)}", str(changed), "0", changed == 0),
        below("a page with, median", f"{with_ms:.1f} ms (worst {max(thai):.1f})", with_ms, TARGET_WITH_MS, " ms"),
        below("a page without, worst", f"{without_ms:.1f} ms", without_ms, TARGET_WITHOUT_MS, " ms"),
    ]


# ── in the processes ──────────────────────────────────────────────────────────────────────────────────────────────


def _prepare() -> None:
    worker.preload()


def _read(writing: Writing, number: int) -> Outcome:
    made = make_page(writing, number)
    page = PageImage(made.image.width, made.image.height, made.look.dpi, made.image.tobytes())
    api = _model()
    api.SetImageBytes(page.pixels, page.width, page.height, 1, page.width)
    api.SetSourceResolution(page.dpi)
    try:
        bare = PageText(api.GetUTF8Text())
        began_s = time.process_time()  # of this process alone: what else runs here does not count
        read, _ = worker.with_numerals(api, page, bare, LANGUAGES)
        took_ms = (time.process_time() - began_s) * 1000
    finally:
        api.Clear()
    return _compare(writing, made, bare, read, took_ms)


def _compare(writing: Writing, made: MadePage, bare: PageText, read: PageText, took_ms: float) -> Outcome:
    true = "\n".join(made.lines)
    return Outcome(
        writing,
        len(made.amounts),
        _amounts_right(made, bare.text),
        _amounts_right(made, read.text),
        len(_digits(true)),
        Levenshtein.distance(_digits(true), _digits(bare.text)),
        Levenshtein.distance(_digits(true), _digits(read.text)),
        read.text != bare.text,
        read.numerals_doubtful,
        took_ms,
    )


def _amounts_right(made: MadePage, text: str) -> int:
    return (Counter(made.amounts) & Counter(found.strip(".,-/") for found in _NUMERAL.findall(text))).total()


def _digits(text: str) -> str:
    return "".join(character for character in text if character in THAI_DIGITS)


@functools.cache
def _model() -> "PyTessBaseAPI":
    from tesserocr import OEM, PSM, PyTessBaseAPI  # noqa: PLC0415 - after OMP_THREAD_LIMIT is set

    return PyTessBaseAPI(path=str(find_data()), lang=LANGUAGES, psm=PSM.AUTO, oem=OEM.LSTM_ONLY)
