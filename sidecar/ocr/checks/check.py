"""Has a page read by a second engine, and its text held against that; whatever fails leaves the text, unverified."""

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import cast

from sidecar.errors import DeadlineError, SidecarError
from sidecar.evidence.agreement import Verify
from sidecar.ocr import page_tries
from sidecar.ocr.checks.comparison import Obstacle, Outcome, Read, Verification, compare, verification
from sidecar.ocr.engine import Attempt, OcrEngine, PageText, PageVerdict, ReadOrder, SecondReader
from sidecar.ocr.page_reading import PageResult, attempt_of
from sidecar.runtime.admission import Admission
from sidecar.runtime.workers.pool import WorkerPool

log = logging.getLogger(__name__)

COMPARE_S = 5.0
"""Longest time that two readings of a page are compared, in seconds: a page takes a hundredth of it."""


class Checker:
    """Checks pages with the engines that may check."""

    def __init__(self, engines: Iterable[OcrEngine], workers: WorkerPool, admission: Admission) -> None:
        self._engines = [one for one in engines if one.traits.may_check]
        self._workers = workers
        self._admission = admission

    async def check(self, page: PageResult, order: ReadOrder) -> PageResult:
        """Return the page with what came of its check; at the document's deadline it is unverified."""
        engine = self._engine_for(page, order)
        if engine is None:
            return replace(page, verification=Verification(Outcome.UNVERIFIED, reason=Obstacle.NO_CHECKER))
        started_s = time.monotonic()
        try:
            self._refuse_if_late()
            other = self._known(page, engine) or (await self._read(page, engine, order))[0]
            mine, theirs = Read(page.text, page.layout, page.unit), Read(other.text, other.layout, page.unit)
            found = await self._workers.run(compare, mine, theirs, order.instructions.verify, deadline_s=COMPARE_S)
        except asyncio.CancelledError:  # at the document's deadline the text stands, as it does without a check
            return _unverified(page, engine, started_s, DeadlineError.code)
        except Exception as exc:  # noqa: BLE001 - a check must cost no text
            return _unverified(page, engine, started_s, page_tries.failure(exc, page.page - 1).error.code)
        took_ms = round((time.monotonic() - started_s) * 1000)
        return replace(page, verification=verification(found, engine.traits.name, took_ms))

    async def witness(self, page: PageResult, order: ReadOrder) -> PageResult:
        """Add a reading that tells places to a page whose reader tells none; where there is no such, it stays so."""
        engine = self._engine_for(page, order)
        if engine is None or self._known(page, engine):
            return page
        started_s, name = time.monotonic(), engine.traits.name
        try:
            self._refuse_if_late()
            read, took_s = await self._read(page, engine, order)
        except asyncio.CancelledError:  # at the document's deadline the text stands without places
            return page
        except Exception as exc:  # noqa: BLE001 - a place must cost no text
            code = page_tries.failure(exc, page.page - 1).error.code
            took_ms = round((time.monotonic() - started_s) * 1000)
            return replace(page, attempts=(*page.attempts, Attempt(name, took_ms, PageVerdict.FAILED, code)))
        attempts = (*page.attempts, attempt_of(name, read, took_s))
        return replace(page, attempts=attempts, other_reading=(name, read))

    def _engine_for(self, page: PageResult, order: ReadOrder) -> OcrEngine | None:
        """Return the first engine that did not read the page, is ready, and knows what is written there."""
        able = (one for one in self._engines if one.traits.name != page.engine and one.capability.ready)
        return next((one for one in able if _knows(one, page, order)), None)

    @staticmethod
    def _known(page: PageResult, engine: OcrEngine) -> PageText | None:
        """Return what the engine read on the page already, for a second opinion."""
        return page.other_reading[1] if page.other_reading and page.other_reading[0] == engine.traits.name else None

    @staticmethod
    def _refuse_if_late() -> None:
        """Begin nothing where the document's deadline has passed, and only this page's end is waited for."""
        task = asyncio.current_task()
        if task and task.cancelling():
            raise asyncio.CancelledError

    async def _read(self, page: PageResult, engine: OcrEngine, order: ReadOrder) -> tuple[PageText, float]:
        order = replace(order, wants_layout=True)
        read, took_s = await page_tries.read_once(engine, order, page.page - 1, page.text)
        self._admission.page_done(took_s, engine.read_slots.slots)
        return read, took_s


def _knows(engine: OcrEngine, page: PageResult, order: ReadOrder) -> bool:
    if engine.traits.gives_opinions:
        return cast(SecondReader, engine).covers(order.languages, page.text)
    try:
        engine.check_languages(order.languages)
    except SidecarError:
        return False
    return True


def _unverified(page: PageResult, engine: OcrEngine, started_s: float, reason: str) -> PageResult:
    took_ms = round((time.monotonic() - started_s) * 1000)
    return replace(page, verification=Verification(Outcome.UNVERIFIED, engine.traits.name, took_ms, reason=reason))


def to_check(page: PageResult, verify: Verify) -> bool:
    """Return whether there is anything to check on a page that was read."""
    return verify is not Verify.NONE and page.is_answer and not page.blank and bool(page.text.strip())
