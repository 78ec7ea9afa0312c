"""Receives a document: form fields into memory, the file into the spool, limits biting while bytes arrive."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import BodyPartReader, web
from aiohttp.http import HttpProcessingError

from sidecar.documents.spool import SpoolFile
from sidecar.errors import (
    FieldTooLargeError,
    FilePartError,
    InvalidValueError,
    MalformedBodyError,
    ReceiveTimeoutError,
    TooLargeError,
    UnsupportedMediaError,
)
from sidecar.settings import Settings
from sidecar.wire.common import is_text

FILE_FIELD = "file"
MAX_FIELDS = 64
"""The contract has fifteen fields."""
CHUNK_BYTES = 256 * 1024
"""Written to the spool at a time. One chunk goes to the page cache in microseconds; beyond it a thread writes, because
a disk that has fallen behind would hold up the event loop."""
PLAIN_ENCODINGS = frozenset({"", "binary", "7bit", "8bit"})


async def receive_upload(request: web.Request, file: SpoolFile, settings: Settings) -> dict[str, str]:
    """Read a multipart body: the part ``file`` goes to ``file``, the others are returned by name.

    Raises:
        UnsupportedMediaError: the body is not multipart/form-data.
        TooLargeError: the document is over the limit, by its declared length or while it arrives.
        FieldTooLargeError: a field, or all of them, are over theirs.
        FilePartError: there is not exactly one ``file``.
        InvalidValueError: a field is given twice, or there are too many.
        MalformedBodyError: it breaks off, or is no multipart.
        ReceiveTimeoutError: it does not arrive in time.
    """
    if request.content_type != "multipart/form-data":
        raise UnsupportedMediaError("the body must be multipart/form-data with the document in the field file")
    refuse_length(request, settings.max_document_bytes + 2 * settings.max_field_bytes, settings.max_document_bytes)
    async with receiving(settings.receive_timeout_s):
        return await _Receiver(file, settings).receive(request)


def refuse_length(request: web.Request, max_body_bytes: int, limit_bytes: int) -> None:
    """Refuse from Content-Length, before the body is read."""
    if (request.content_length or 0) > max_body_bytes:
        raise TooLargeError(f"the body has {request.content_length} bytes, the limit is {limit_bytes}")


@asynccontextmanager
async def receiving(deadline_s: float) -> AsyncIterator[None]:
    """Bound the time a body may take, and map what aiohttp raises for bodies that are not what they claim."""
    try:
        async with asyncio.timeout(deadline_s):
            yield
    except TimeoutError as exc:
        raise ReceiveTimeoutError(f"the body did not arrive within {deadline_s:g} s") from exc
    except (ValueError, AssertionError, RuntimeError, HttpProcessingError, web.RequestPayloadError) as exc:
        raise MalformedBodyError("the body is malformed or breaks off") from exc


class _Receiver:
    def __init__(self, file: SpoolFile, settings: Settings) -> None:
        self._file = file
        self._settings = settings
        self._fields: dict[str, str] = {}
        self._field_bytes = 0
        self._has_file = False

    async def receive(self, request: web.Request) -> dict[str, str]:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or not part.name:
                raise MalformedBodyError("every part of the body needs a name, and none may hold parts itself")
            if not is_text(part.name):
                raise MalformedBodyError("the name of a field is not UTF-8 text")
            if part.headers.get("Content-Transfer-Encoding", "").lower() not in PLAIN_ENCODINGS:
                raise MalformedBodyError("parts must be sent as they are, without Content-Transfer-Encoding")
            if part.name == FILE_FIELD:
                await self._receive_file(part)
            else:
                await self._receive_field(part, part.name)
        if not self._has_file:
            raise FilePartError("the field file is missing")
        return self._fields

    async def _receive_file(self, part: BodyPartReader) -> None:
        if self._has_file:
            raise FilePartError("the field file is given twice, one document a request is accepted")
        self._has_file = True
        pending = bytearray()
        while chunk := await part.read_chunk(CHUNK_BYTES):
            pending += chunk
            if len(pending) >= CHUNK_BYTES:
                await asyncio.to_thread(self._file.write, pending)
                pending = bytearray()
        self._file.write(pending)

    async def _receive_field(self, part: BodyPartReader, name: str) -> None:
        if name in self._fields:
            raise InvalidValueError(f"{name[:80]} is given twice")
        if len(self._fields) >= MAX_FIELDS:
            raise InvalidValueError(f"there are more than {MAX_FIELDS} fields, which is the limit")
        limit = self._settings.max_field_bytes
        value = bytearray()
        while chunk := await part.read_chunk(CHUNK_BYTES):
            value += chunk
            self._field_bytes += len(chunk)
            if self._field_bytes > limit:
                raise FieldTooLargeError(f"the fields hold more than {limit} bytes, which is the limit")
        try:
            self._fields[name] = value.decode()
        except UnicodeDecodeError as exc:
            raise MalformedBodyError(f"{name[:80]} is not UTF-8 text") from exc


async def read_body(request: web.Request, max_bytes: int, hold: Callable[[int], None] = lambda _size: None) -> bytes:
    """Read a body that must not be empty, and refuse it at the first byte over the limit; ``hold`` is told of each."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        hold(len(chunk))
        body += chunk
        if len(body) > max_bytes:
            raise TooLargeError(f"the body has more than {max_bytes} bytes, which is the limit")
    if not body:
        raise MalformedBodyError("the body is empty, a JSON object is accepted")
    return bytes(body)
