"""Receives a document: form fields into memory, the file into the spool; limits apply while bytes arrive."""

import asyncio
import codecs
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http import HttpProcessingError

from sidecar.api import multipart_body
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

FILE_FIELD = "file"
MAX_FIELDS = 64
"""The contract has fifteen fields."""
CHUNK_BYTES = 256 * 1024
"""Bytes written to the spool at a time. One chunk reaches the page cache in microseconds; more is written by a thread,
because a slow disk would block the event loop."""
SMALL_CHUNKS = 10_000
SMALL_CHUNK_BYTES = 64
"""This many chunks may have any size; after them the mean size must reach this many bytes: a line of text is enough."""
PLAIN_ENCODINGS = frozenset({"", "binary", "7bit", "8bit"})


class SpoolWriter:
    """Writes what arrives in pieces of any size to a spool file, in chunks."""

    def __init__(self, file: SpoolFile) -> None:
        self._file = file
        self._pending = bytearray()

    async def take(self, data: bytes) -> None:
        """Append; what makes a chunk is written by a thread."""
        self._pending += data
        if len(self._pending) >= CHUNK_BYTES:
            full, self._pending = self._pending, bytearray()
            await asyncio.to_thread(self._file.write, full)

    def end(self) -> None:
        """Write the rest, which is less than a chunk."""
        self._file.write(self._pending)
        self._pending = bytearray()


async def receive_whole(request: web.Request, file: SpoolFile, settings: Settings) -> None:
    """Write a body that is the document itself to ``file``.

    Raises:
        TooLargeError, MalformedBodyError, ReceiveTimeoutError: as for an upload.
    """
    refuse_length(request, settings.max_document_bytes, settings.max_document_bytes)
    writer = SpoolWriter(file)
    async with receiving(settings.receive_timeout_s):
        async for chunk in body_chunks(request):
            await writer.take(chunk)
        writer.end()


@dataclass(frozen=True, slots=True)
class Form:
    """A form that was received: its fields, each with its values, and the name of its file, as the caller gave it."""

    fields: dict[str, list[str]]
    filename: str


async def receive_upload(request: web.Request, file: SpoolFile, settings: Settings) -> dict[str, str]:
    """Read our own form: the part ``file`` goes to ``file``, the others are returned by name, each given once.

    Raises:
        SidecarError: as for any form.
    """
    form = await receive_own_form(request, file, settings)
    return {name: value for name, (value,) in form.fields.items()}


async def receive_own_form(request: web.Request, file: SpoolFile, settings: Settings) -> Form:
    """Do as :func:`receive_upload`, with the file's name; each field has one value.

    Raises:
        SidecarError: as for any form.
    """
    return await receive_form(request, settings, _Receiver(file, settings))


async def receive_others_form(request: web.Request, file: SpoolFile, settings: Settings, file_field: str) -> Form:
    """Read a form of a dialect, whose document is in ``file_field``, and whose fields may have several values.

    Raises:
        SidecarError: as for any form.
    """
    return await receive_form(request, settings, _Receiver(file, settings, file_field, repeats=True))


async def receive_form(request: web.Request, settings: Settings, receiver: "_Receiver") -> Form:
    """Read a multipart body.

    Raises:
        UnsupportedMediaError: the body is not multipart/form-data.
        TooLargeError: the document is over the limit, by its declared length or while it arrives.
        FieldTooLargeError: a field, or all of them together, exceed their limit.
        FilePartError: there is not exactly one file.
        InvalidValueError: a field is given twice, or there are too many.
        MalformedBodyError: it is truncated, or is not multipart.
        ReceiveTimeoutError: it does not arrive in time.
    """
    if multipart_body.media_type_of(request.headers.get("Content-Type", "")) != "multipart/form-data":
        raise UnsupportedMediaError(
            f"the body must be multipart/form-data with the document in the field {receiver.file_field}"
        )
    refuse_length(request, settings.max_document_bytes + 2 * settings.max_field_bytes, settings.max_document_bytes)
    async with receiving(settings.receive_timeout_s):
        return await receiver.receive(request)


def refuse_length(request: web.Request, max_body_bytes: int, limit_bytes: int) -> None:
    """Refuse from Content-Length, before the body is read."""
    if (request.content_length or 0) > max_body_bytes:
        raise TooLargeError(f"the body has {request.content_length} bytes, the limit is {limit_bytes}")


@asynccontextmanager
async def receiving(deadline_s: float) -> AsyncIterator[None]:
    """Limit the time for a body, and map what aiohttp raises for malformed bodies."""
    try:
        async with asyncio.timeout(deadline_s):
            yield
    except TimeoutError as exc:
        raise ReceiveTimeoutError(f"the body did not arrive within {deadline_s:g} s") from exc
    except (ValueError, AssertionError, RuntimeError, HttpProcessingError, web.RequestPayloadError) as exc:
        raise MalformedBodyError("the body is malformed or incomplete") from exc


class _Receiver:
    """Receives the parts of one body, one after the other."""

    def __init__(
        self, file: SpoolFile, settings: Settings, file_field: str = FILE_FIELD, *, repeats: bool = False
    ) -> None:
        self.file_field = file_field
        self._repeats = repeats
        self._file = SpoolWriter(file)
        self._max_field_bytes = settings.max_field_bytes
        self._fields: dict[str, list[str]] = {}
        self._filename = ""
        self._count = 0
        self._field_bytes = 0
        self._has_file = False
        self._astray = ""
        """The last other field that holds a file."""
        self._name = ""
        self._text = bytearray()

    async def receive(self, request: web.Request) -> Form:
        boundary = multipart_body.boundary_of(request.headers["Content-Type"])
        async for event in multipart_body.events(body_chunks(request), boundary):
            match event:
                case None:
                    self._end()
                case bytes():
                    await self._take(event)
                case part:
                    self._begin(part)
        if not self._has_file:
            raise FilePartError(f"the field {self.file_field} is missing{self._other_field()}")
        return Form(self._fields, self._filename)

    def _begin(self, part: multipart_body.Part) -> None:
        if not part.name:
            raise MalformedBodyError("every part of the body needs a name, and none may hold parts itself")
        if part.header("Content-Transfer-Encoding", "").lower() not in PLAIN_ENCODINGS:
            raise MalformedBodyError("parts must be sent as they are, without Content-Transfer-Encoding")
        if part.name == self.file_field and self._has_file:
            raise FilePartError(f"the field {self.file_field} is given twice, one document a request is accepted")
        if part.name in self._fields and not self._repeats:
            raise InvalidValueError(f"{part.name[:80]} is given twice")
        self._name, self._text = part.name, bytearray()
        if part.name == self.file_field:
            self._has_file, self._filename = True, part.filename or ""
            return
        if part.filename is not None:
            self._astray = part.name
        self._count += 1
        if self._count > MAX_FIELDS:
            raise InvalidValueError(f"there are more than {MAX_FIELDS} fields, which is the limit")

    async def _take(self, data: bytes) -> None:
        if self._name == self.file_field:
            await self._file.take(data)
            return
        self._text += data
        self._field_bytes += len(data)
        if self._field_bytes > self._max_field_bytes:
            if not _is_text(self._text):
                self._refuse_file()
            raise FieldTooLargeError(f"the fields hold more than {self._max_field_bytes} bytes, which is the limit")

    def _end(self) -> None:
        if self._name == self.file_field:
            self._file.end()
            return
        try:
            self._fields.setdefault(self._name, []).append(self._text.decode())
        except UnicodeDecodeError as exc:
            self._refuse_file()
            raise MalformedBodyError(f"{self._name[:80]} is not UTF-8 text") from exc

    def _refuse_file(self) -> None:
        """Refuse a field that would be accepted if it were text, and is a file in the wrong place."""
        if self._name == self._astray:
            raise FilePartError(f"the document belongs in the field {self.file_field}{self._other_field()}")

    def _other_field(self) -> str:
        return f"; the field {self._astray[:80]} has a file" if self._astray else ""


def _is_text(begun: bytearray) -> bool:
    """Return whether these bytes begin a text; the last character may be cut."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(begun)
    except UnicodeDecodeError:
        return False
    return True


async def body_chunks(request: web.Request) -> AsyncIterator[bytes]:
    """Yield a body's chunks as they arrive.

    Raises:
        MalformedBodyError: it arrives in tiny chunks, each of which costs as much as a large one.
    """
    count, size_bytes = 0, 0
    if not request.can_read_body:
        return  # aiohttp's stream without a body is one object for all requests, and ends only for the first of them
    async for chunk, _ in request.content.iter_chunks():
        count += 1
        size_bytes += len(chunk)
        if count > SMALL_CHUNKS + size_bytes // SMALL_CHUNK_BYTES:
            raise MalformedBodyError(f"the body arrives in too many chunks of less than {SMALL_CHUNK_BYTES} bytes")
        yield chunk


async def read_body(request: web.Request, max_bytes: int, hold: Callable[[int], None] = lambda _size: None) -> bytes:
    """Read a body, which must not be empty; refuse it at the first byte over the limit. ``hold`` gets each size."""
    body = bytearray()
    async for chunk in body_chunks(request):
        hold(len(chunk))
        body += chunk
        if len(body) > max_bytes:
            raise TooLargeError(f"the body has more than {max_bytes} bytes, which is the limit")
    if not body:
        raise MalformedBodyError("the body is empty, a JSON object is accepted")
    return bytes(body)
