"""How well a page's `quality` tells good pages from bad ones, and how often a check raises a false alarm.

On made pages in many grades of damage; the defaults were fitted on one part, the figures are those of the other.
"""

import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.harness.figure import Figure
from bench.harness.load import Connection, upload
from bench.harness.service import running_service
from bench.quality.arithmetic import error_rate_any_order
from bench.quality.grades import GradedPage, Part, make_graded
from sidecar.evidence.agreement import Reading, Verify, count_tokens, disagreements
from tools.numerals.fonts import find_fonts

PAGES, QUICK_PAGES = 120, 5
BAD, GOOD = 0.1, 0.02
"""Character error rates above and below which a page counts as bad, and as good."""
TARGET_CAUGHT, TARGET_MARKED = 0.9, 0.05


@dataclass(frozen=True, slots=True)
class Judged:
    """A page: how wrong its text is, the verdict on it, and how its numbers differ from the true ones."""

    name: str
    error_rate: float
    score: float
    verdict: str
    numbers: int
    differing: int


def run(*, quick: bool) -> list[Figure]:
    if not find_fonts(("Norasi", "DejaVuSans")):
        return [Figure("graded pages", "no fonts: make numeral-fonts", "", reached=False)]
    parts = (Part.HELD_BACK,) if quick else (Part.FIT, Part.HELD_BACK)
    with running_service() as service:
        return [one for part in parts for one in _part(service.port, part, QUICK_PAGES if quick else PAGES)]


def _part(port: int, part: Part, count: int) -> list[Figure]:
    pages = [_judged(port, make_graded(part, number)) for number in range(count)]
    bad = [page for page in pages if page.error_rate > BAD]
    good = [page for page in pages if page.error_rate < GOOD]
    caught, marked = _low(bad), _low(good)
    high = sum(page.verdict == "high" for page in bad)
    return [
        _share(f"{part}: bad pages that are low", caught, len(bad), f">= {TARGET_CAUGHT:g}", TARGET_CAUGHT),
        _share(f"{part}: good pages that are low", marked, len(good), f"<= {TARGET_MARKED:g}", -TARGET_MARKED),
        Figure(f"{part}: bad pages that are high", f"{high} of {len(bad)}"),
        Figure(f"{part}: bad pages that are not low", ", ".join(_told(one) for one in bad if one.verdict != "low")),
        Figure(f"{part}: good pages, numbers that a flawless reader would be told", _alarms(good)),
    ]


def _judged(port: int, page: GradedPage) -> Judged:
    read = _read(port, page)
    text, quality = read["text"], read["quality"] or {"score": 1.0, "verdict": "none"}
    true = Reading(page.text)
    found = disagreements(true, Reading(text), Verify.NUMBERS) or ()
    rate = error_rate_any_order(text, page.text)
    return Judged(page.name, rate, quality["score"], quality["verdict"], count_tokens(true, Verify.NUMBERS), len(found))


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
    return f"{page.name} (CER {page.error_rate:.2f}, score {page.score:.2f})"


def _alarms(pages: Sequence[Judged]) -> str:
    alarmed = [page for page in pages if page.differing]
    numbers, differing = sum(page.numbers for page in pages), sum(page.differing for page in pages)
    return f"{differing} of {numbers}, on {len(alarmed)} of {len(pages)} pages"
