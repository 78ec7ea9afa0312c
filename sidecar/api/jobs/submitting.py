"""Hands jobs in: what `/ocr-upload` would refuse is refused here, before anything is kept."""

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial

from aiohttp import web

from sidecar.api import reading, receive
from sidecar.api.app_keys import DRAIN, JOBS, PROFILE_STORE, QUOTA, REQUEST_ID, SETTINGS, SPOOL, caller_of
from sidecar.api.jobs import orders, owners
from sidecar.documents.spool import SpoolFile
from sidecar.errors import InvalidValueError
from sidecar.jobs.jobs import Draft
from sidecar.jobs.view import JobView
from sidecar.webhook_hosts import check_callback_url
from sidecar.wire import common, ocr
from sidecar.wire import jobs as wire
from sidecar.wire.answers import outputs


async def submit(request: web.Request) -> web.StreamResponse:
    """Hand a job in."""
    common.refuse_keep_alive(request.query)
    key = wire.parse_key(request.headers.get("Idempotency-Key"))
    view = await hand_in(request, partial(_receive, request), key)
    body = wire.render_job(view, datetime.now(UTC))
    headers = {"Location": f"/v1/jobs/{body.id}"}
    return web.Response(status=202, body=common.render(body), content_type=common.JSON, headers=headers)


async def hand_in(
    request: web.Request, take: Callable[[SpoolFile], Awaitable[Draft]], key: str | None = None
) -> JobView:
    """Receive a document by ``take``, which tells what is asked of it, and hand it in.

    Raises:
        SidecarError: it is refused.
    """
    app = request.app
    with ExitStack() as held:
        held.enter_context(app[QUOTA].place(caller_of(request)))
        file = held.enter_context(app[SPOOL].file(app[SETTINGS].max_document_bytes))
        async with app[DRAIN].arriving():
            draft = await take(file)
            return await app[JOBS].submit(draft, file.path, key)


async def _receive(request: web.Request, file: SpoolFile) -> Draft:
    """Receive a form, and refuse what no pod could read.

    Raises:
        SidecarError: it is refused.
    """
    app, settings = request.app, request.app[SETTINGS]
    profiles = app[PROFILE_STORE].current
    form = await receive.receive_own_form(request, file, settings)
    submission, fields = wire.parse_submission({name: value for name, (value,) in form.fields.items()})
    asked, ignored = ocr.parse_form(fields, reading.accepted(app))
    outputs.with_output(asked, "")
    profile = reading.published(asked.profile, profiles, settings)
    orders.check(app, asked, profile)
    return Draft(
        owner=await owners.owner_of(request),
        lane=submission.priority,
        request=asked.model_dump(mode="json", exclude_unset=True),
        profile=profile.model_dump(mode="json") if profile else None,
        request_id=request[REQUEST_ID],
        ignored_fields=tuple(ignored),
        label=submission.label,
        filename=wire.shown_text(common.shown_name(form.filename)),
        callback_url=_callback(request, submission.callback_url),
    )


def _callback(request: web.Request, url: str | None) -> str | None:
    if url is None:
        return None
    try:
        return check_callback_url(url, request.app[SETTINGS].callback_hosts)
    except ValueError as exc:
        raise InvalidValueError(str(exc)) from None
