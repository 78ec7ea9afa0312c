"""Lets one engine try one page: prepare it, wait for a slot, read it in bounded time; whatever fails is recorded."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

from sidecar.errors import DeadlineError, PageUnreadableError, SidecarError
from sidecar.ocr.engine import OcrEngine, PageText, PreparedPage, ReadOrder, SecondReader, TryFailedError
from sidecar.ocr.page_reading import PageReading
from sidecar.ocr.second_opinion import without_strays
from sidecar.runtime.admission import Admission
from sidecar.runtime.workers.pool import WorkerDiedError

log = logging.getLogger(__name__)

T = TypeVar("T")

GRACE_S = 1.0
"""How long after its deadline a call to an engine is cancelled. An engine ends by itself, with a better error; this is
for one that does not."""


async def try_engine(
    engine: OcrEngine, order: ReadOrder, index: int, reading: PageReading, admission: Admission
) -> None:
    """Let one engine try the page: prepare it, wait for a read slot, read it as often as the engine allows."""
    async with engine.prepare_slots.take(order.document, order.caller):
        started_s = time.monotonic()
        try:
            page = await _within(order.page_timeout_s, engine.prepare(order, index))
        except Exception as exc:  # noqa: BLE001 - mapped, and logged if unexpected
            reading.fail(engine.traits, failure(exc, index), time.monotonic() - started_s)
            return
        async with engine.read_slots.take(order.document, order.caller):
            started_s = time.monotonic()
            await _attempts(engine, order, page, reading)
            if reading.is_settled:  # else another engine is to read it, and the page counts there
                admission.page_done(time.monotonic() - started_s, engine.read_slots.slots)


async def give_second_opinion(engine: SecondReader, order: ReadOrder, index: int, reading: PageReading) -> None:
    """Let another engine read a doubtful page, if it knows its languages; a failure leaves the first reading."""
    first_text = without_strays(reading.first_reading) if reading.first_reading else ""
    if not engine.covers(order.languages, first_text):
        return
    async with _slots(engine, order):
        started_s = time.monotonic()
        try:
            read, took_s = await _read_once(engine, order, index, first_text)
        except Exception as exc:  # noqa: BLE001 - mapped, and logged if unexpected
            reading.fail_second(engine.traits, failure(exc, index), time.monotonic() - started_s)
            return
        reading.add_second(engine.traits, read, took_s)


async def read_once(engine: OcrEngine, order: ReadOrder, index: int, first_text: str) -> tuple[PageText, float]:
    """Have a page read that another engine read as ``first_text``; also tell the seconds it took.

    Raises:
        Exception: whatever ended the reading; see :func:`failure`.
    """
    async with _slots(engine, order):
        return await _read_once(engine, order, index, first_text)


@asynccontextmanager
async def _slots(engine: OcrEngine, order: ReadOrder) -> AsyncIterator[None]:
    async with (
        engine.prepare_slots.take(order.document, order.caller),
        engine.read_slots.take(order.document, order.caller),
    ):
        yield


async def _read_once(engine: OcrEngine, order: ReadOrder, index: int, first_text: str) -> tuple[PageText, float]:
    started_s = time.monotonic()
    page = replace(await _within(order.page_timeout_s, engine.prepare(order, index)), first_text=first_text)
    read = await _within(order.page_timeout_s, engine.read(order, page, 1, order.page_timeout_s))
    return read, time.monotonic() - started_s if read.worked_s is None else read.worked_s


async def _attempts(engine: OcrEngine, order: ReadOrder, page: PreparedPage, reading: PageReading) -> None:
    """Try until the page is settled; the tries share the page's deadline, an error ends them."""
    ends_s = time.monotonic() + order.page_timeout_s - page.worked_s
    took_before_s = page.worked_s
    for attempt in range(1, engine.max_attempts(order) + 1):
        started_s = time.monotonic()
        if attempt > 1 and started_s >= ends_s:
            return
        try:
            deadline_s = max(0.001, ends_s - started_s)
            read = await _within(deadline_s, engine.read(order, page, attempt, deadline_s))
        except Exception as exc:  # noqa: BLE001 - mapped, and logged if unexpected
            reading.fail(engine.traits, failure(exc, page.index), took_before_s + time.monotonic() - started_s)
            return
        took_s = time.monotonic() - started_s if read.worked_s is None else read.worked_s
        reading.add(engine.traits, read, took_before_s + took_s)
        took_before_s = 0.0
        if reading.is_settled or read.error:
            return


async def _within(deadline_s: float, call: Awaitable[T]) -> T:
    """Await a call to an engine; cancel it if it does not end by itself.

    Raises:
        DeadlineError: it was cancelled, or a timeout of the engine's own ended it.
    """
    try:
        async with asyncio.timeout(deadline_s + GRACE_S):
            return await call
    except TimeoutError as exc:
        raise DeadlineError(f"the page took longer than {deadline_s:g} s") from exc


def failure(exc: Exception, index: int) -> TryFailedError:
    """Turn whatever ended a try into one of our errors; a bug costs its page, not the others, and stays opaque."""
    match exc:
        case TryFailedError():
            return exc
        case SidecarError():
            return TryFailedError(exc)
        case WorkerDiedError():
            what = f"page {index + 1} cannot be read: it crashes the process that reads it"
            return TryFailedError(PageUnreadableError(what))
    log.error("a page failed unexpectedly", exc_info=exc)
    return TryFailedError(SidecarError())
