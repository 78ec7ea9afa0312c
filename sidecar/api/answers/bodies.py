"""A whole answer of a document that was read: in JSON with what was found on its pages."""

from dataclasses import replace
from typing import cast

from aiohttp import web

from sidecar.api import deliver
from sidecar.api.answers.answer import Answer
from sidecar.api.answers.evidence import BlockWriter
from sidecar.api.app_keys import SETTINGS, WORKERS
from sidecar.evidence.packed import Packed
from sidecar.ocr.job import DocumentResult
from sidecar.ocr.warning_codes import WarningCode
from sidecar.wire.common import JSON


def writer_of(app: web.Application) -> BlockWriter:
    """Return what writes pages' blocks."""
    return BlockWriter(app[WORKERS], app[SETTINGS].open_timeout_s)


async def deliver_json(request: web.Request, told: Answer, result: DocumentResult) -> web.StreamResponse:
    """Answer with a document that was read; blocks that cannot be written cost no text."""
    at_once = cast(list[Packed[bytes]] | None, result.written)
    written = at_once or await writer_of(request.app).write(result.structured, told.wanted)
    if told.wanted.layout and written is None and WarningCode.BLOCKS_MISSING not in result.warnings:
        result = replace(result, warnings=(*result.warnings, WarningCode.BLOCKS_MISSING))
    parts, stall_s = told.whole(result, written), request.app[SETTINGS].receive_timeout_s
    if not (told.wanted.layout or told.wanted.image):
        return await deliver.deliver(request, b"".join(parts), JSON, stall_s)
    return await deliver.deliver_parts(request, parts, JSON, stall_s)
