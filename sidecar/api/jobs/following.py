"""Tells of jobs: one as it is, one once it has got on, those of a caller; and gives one up."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime

from aiohttp import web

from sidecar.api.app_keys import CALLS_LOGS, DRAIN, JOBS
from sidecar.api.jobs import owners, streaming
from sidecar.errors import InvalidValueError, JobExpiredError, JobNotFoundError
from sidecar.jobs.record import Ref
from sidecar.jobs.view import JobView
from sidecar.wire import common
from sidecar.wire import jobs as wire
from sidecar.wire.common import JSON

LOOK_S = 0.5
"""How often a caller who waits is looked after: the service may be about to stop."""
AT_ONCE = 16
MOST_SCANNED = 2000
"""Jobs looked at for one page of a list: a label that few have must not take minutes."""


async def get_job(request: web.Request) -> web.StreamResponse:
    """Tell of a job: as it is, once it has got on (`wait`), or page by page (`Accept`)."""
    ref = await owners.ref_of(request)
    if kind := streaming.wanted_kind(request):
        return await streaming.stream(request, ref, kind)
    wait_s = wire.parse_wait(request.query)
    view = await request.app[JOBS].view(ref)
    if wait_s and not view.record.state.is_end:
        view = await news(request, ref, request.query.get("known") or wire.version_of(view), wait_s) or view
    return await _answer(request, view)


async def news(request: web.Request, ref: Ref, known: str, wait_s: float) -> JobView | None:
    """Wait until a job is no longer what is known of it; None if it still is when the time is over."""
    watching = asyncio.create_task(_changed(request, ref, known))
    try:
        async with asyncio.timeout(wait_s):
            while not watching.done() and not request.app[DRAIN].draining:
                await asyncio.wait([watching], timeout=LOOK_S)
            return await watching if watching.done() else None
    except TimeoutError:
        return None
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _changed(request: web.Request, ref: Ref, known: str) -> JobView | None:
    async with aclosing(request.app[JOBS].watch(ref)) as views:
        async for view in views:
            if wire.version_of(view) != known:
                return view
    return None


async def list_jobs(request: web.Request) -> web.StreamResponse:
    """List jobs of the caller, the oldest first.

    Raises:
        InvalidValueError: anybody may be the caller, and no label is named: ids are what jobs are protected by.
    """
    asked, owner = wire.parse_listing(request.query), await owners.owner_of(request)
    if owner == owners.ANYBODY and not asked.label:
        raise InvalidValueError("label is needed where callers have no keys: jobs are listed to who knows theirs")
    ids = [one for one in await request.app[JOBS].ids(owner) if asked.after is None or one > asked.after]
    found, at = list[JobView](), 0
    while at < min(len(ids), MOST_SCANNED) and len(found) < asked.limit:
        some = ids[at : at + min(AT_ONCE, asked.limit - len(found))]
        found += [one for one in await _views(request, owner, some) if one and _is_listed(one, asked)]
        at += len(some)
    now = datetime.now(UTC)
    body = wire.JobsBody(
        jobs=[wire.render_job(one, now) for one in found], next=ids[at - 1] if 0 < at < len(ids) else None
    )
    return web.Response(body=common.render(body), content_type=JSON)


async def _views(request: web.Request, owner: str, ids: list[str]) -> list[JobView | None]:
    async def view(job: str) -> JobView | None:
        try:
            return await request.app[JOBS].view(Ref(owner=owner, id=job))
        except (JobNotFoundError, JobExpiredError):
            return None

    return list(await asyncio.gather(*map(view, ids)))


def _is_listed(view: JobView, asked: wire.Listing) -> bool:
    record = view.record
    return asked.label in (None, record.order.label) and asked.state in (None, record.state)


async def cancel(request: web.Request) -> web.StreamResponse:
    """Give a job up; one that has ended stays as it is."""
    return await _answer(request, await request.app[JOBS].cancel(await owners.ref_of(request)), status=202)


async def _answer(request: web.Request, view: JobView, status: int = 200) -> web.StreamResponse:
    order = view.record.order
    log = None
    if order.callback_url and view.record.state.is_end:
        log = await request.app[CALLS_LOGS].calls_log(order.ref)
    body = wire.render_job(view, datetime.now(UTC), log)
    return web.Response(status=status, body=common.render(body), content_type=JSON)
