"""How well a page's `quality` tells good pages from bad ones, and how often a check raises a false alarm.

On made pages in many grades of damage; the defaults were fitted on one part, the figures are those of the other.
"""

import asyncio
import json
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.harness.figure import Figure
from bench.harness.load import Connection, upload
from bench.harness.service import running_service
from bench.quality.arithmetic import error_rate_any_order, error_rate_without_spaces
from bench.quality.grades import GradedPage, Part, make_graded
from sidecar.evidence.agreement import Reading, Verify, count_tokens, disagreements
from sidecar.runtime.cores import usable_cores
from tools.numerals.fonts import find_fonts

PAGES, QUICK_PAGES = 120, 5
BAD, GOOD = 0.1, 0.02
"""Character error rates above and below which a page counts as bad, and as good."""
BLANK = "blank"
TARGET_CAUGHT, TARGET_MARKED = 0.9, 0.05


@dataclass(frozen=True, slots=True)
class Judged:
    """A page: how wrong its text is, the verdict on it, and how its numbers differ from the true ones."""

    name: str
    error_rate: float
    """In any order of words."""
    in_order: float
    """The same, where words must stand in the true order."""
    score: float
    verdict: str
    numbers: int
    differing: int


def run(*, quick: bool) -> list[Figure]:
    if not find_fonts(("Norasi", "DejaVuSans")):
        return [Figure("graded pages", "no fonts: make numeral-fonts", "", reached=False)]
    parts = (Part.HELD_BACK,) if quick else (Part.HELD_BACK, Part.FIT)
    with running_service() as service:
        return [one for part in parts for one in _part(service.port, part, QUICK_PAGES if quick else PAGES)]


def _part(port: int, part: Part, count: int) -> list[Figure]:
    judge = partial(_judged, port, part)
    with ThreadPoolExecutor(usable_cores()) as at_once:
        pages = list(at_once.map(judge, range(count)))
    good = [page for page in pages if page.error_rate < GOOD]
    return [
        *_verdicts(f"{part}, words in any order", [(page.error_rate, page) for page in pages]),
        *_verdicts(f"{part}, words in order", [(page.in_order, page) for page in pages]),
        Figure(f"{part}: good pages, numbers that a flawless reader would be told", _alarms(good)),
    ]


def _verdicts(name: str, rated: Sequence[tuple[float, Judged]]) -> list[Figure]:
    """Hold the verdicts on pages against how wrong their texts are."""
    bad = [page for rate, page in rated if rate > BAD]
    good = [page for rate, page in rated if rate < GOOD]
    blank = [page for page in bad if page.verdict == BLANK]
    high, missed = [page for page in bad if page.verdict == "high"], [page for page in bad if page.verdict != "low"]
    return [
        _share(f"{name}: bad pages that are low", _low(bad), len(bad), f">= {TARGET_CAUGHT:g}", TARGET_CAUGHT),
        _share(f"{name}: good pages that are low", _low(good), len(good), f"<= {TARGET_MARKED:g}", -TARGET_MARKED),
        Figure(f"{name}: bad pages that are called blank, and have no verdict", f"{len(blank)} of {len(bad)}"),
        Figure(f"{name}: bad pages that are high", f"{len(high)} of {len(bad)}"),
        Figure(f"{name}: bad pages that are not low", ", ".join(map(_told, missed))),
    ]


def _judged(port: int, part: Part, number: int) -> Judged:
    page = make_graded(part, number)
    read = _read(port, page)
    text, quality = read["text"], read["quality"] or {"score": 1.0, "verdict": BLANK}
    true = Reading(page.text)
    found = disagreements(true, Reading(text), Verify.NUMBERS) or ()
    numbers = count_tokens(true, Verify.NUMBERS)
    rates = error_rate_any_order(text, page.text), error_rate_without_spaces(text, page.text)
    return Judged(page.name, *rates, quality["score"], quality["verdict"], numbers, len(found))


def _read(port: int, page: GradedPage) -> dict[str, Any]:
    """Have the service read a page; one on which nobody read anything has no text and is low."""
    with tempfile.TemporaryDirectory(prefix="ocr-sidecar-bench-") as folder:
        path = Path(folder) / page.name
        path.write_bytes(page.content)
        reply = json.loads(asyncio.run(_ask(port, upload.__wrapped__(str(path), languages=page.languages))))
    (read,) = reply["pages"]
    return dict(read)


async def _ask(port: int, request: bytes) -> bytes:
    async with Connection.open(port) as connection:
        return (await connection.ask(request)).body


def _low(pages: Sequence[Judged]) -> int:
    return sum(page.verdict == "low" for page in pages)


def _share(name: str, count: int, of: int, target: str, bound: float) -> Figure:
    """Show a share; a positive bound is the least, a negative one the most."""
    share = count / max(1, of)
    return Figure(name, f"{count} of {of}", target, share >= bound if bound > 0 else share <= -bound)


def _told(page: Judged) -> str:
    return f"{page.name} (CER {page.error_rate:.2f}, {page.in_order:.2f} in order, score {page.score:.2f})"


def _alarms(pages: Sequence[Judged]) -> str:
    alarmed = [page for page in pages if page.differing]
    numbers, differing = sum(page.numbers for page in pages), sum(page.differing for page in pages)
    return f"{differing} of {numbers}, on {len(alarmed)} of {len(pages)} pages"
