"""Receives a JSON body with a document in it: the document into the spool, and only the rest into memory."""

from aiohttp import web

from sidecar.api import receive
from sidecar.api.app_keys import SETTINGS
from sidecar.documents.spool import SpoolFile
from sidecar.errors import MalformedBodyError
from sidecar.wire.dialects.data_uri import MAX_SKELETON_BYTES, BodySplitter


async def receive_json(request: web.Request, file: SpoolFile, splitter: BodySplitter) -> None:
    """Receive a body; afterwards the splitter has its skeleton. Base64 has four characters for three bytes.

    Raises:
        TooLargeError: the document is over its limit, by the body's length or while it is decoded.
        InvalidValueError, FieldTooLargeError: as for the splitter.
        MalformedBodyError, ReceiveTimeoutError: as for any body.
    """
    settings, writer = request.app[SETTINGS], receive.SpoolWriter(file)
    max_bytes = settings.max_document_bytes
    receive.refuse_length(request, 2 * MAX_SKELETON_BYTES + max_bytes * 4 // 3, max_bytes)
    is_first = True
    async with receive.receiving(settings.receive_timeout_s):
        async for chunk in receive.body_chunks(request):
            if is_first and chunk.strip():
                _refuse_other(chunk)
                is_first = False
            await writer.take(splitter.feed(chunk))
        writer.end()


def _refuse_other(chunk: bytes) -> None:
    """Refuse what cannot become a JSON object, such as a form, before it is read on as one."""
    if not chunk.lstrip().startswith(b"{"):
        raise MalformedBodyError("the body is no JSON object")
