"""A caller's document as the body of a request that can be sent more than once. The caller's file stays open."""

import asyncio
import io
import os
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from sidecar.client.failures import ClientError

Source = str | Path | bytes | bytearray | memoryview | BinaryIO
"""A path, the document itself, or a file that is open for reading bytes."""
CHUNK_BYTES = 256 * 1024
IN_MEMORY_BYTES = 8 * 1024 * 1024
"""What a file that cannot be rewound may have before its copy lies on disk."""


class Upload:
    """One document, from where its file stood when it was given."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.start = file.tell()
        self.size = file.seek(0, os.SEEK_END) - self.start
        self._one_at_a_time = threading.Lock()
        self.failure: OSError | None = None
        """Why the file could not be read while it was sent; the connection breaks then, and tells less."""

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Raise what the file failed with, instead of what its connection failed with then.

        Raises:
            OSError: the file could not be read.
        """
        try:
            yield
        except ClientError as exc:
            if self.failure is not None:
                raise self.failure from exc
            raise

    def form(self, fields: dict[str, str], filename: str = "document") -> aiohttp.MultipartWriter:
        """Return the body of one request; ``filename`` is told and never opened."""
        form = aiohttp.MultipartWriter("form-data")
        for name, value in fields.items():
            form.append(value).set_content_disposition("form-data", name=name)
        # As browsers send it: in UTF-8, and not in per cent.
        part = form.append_payload(_FilePart(self))
        part.set_content_disposition("form-data", quote_fields=False, name="file", filename=_as_in_header(filename))
        return form

    def read(self, place: int) -> bytes:
        """Read the next bytes from a place in the document."""
        with self._one_at_a_time:  # a try that was given up may still read in its thread while the next one begins
            self.file.seek(self.start + place)
            chunk = self.file.read(min(CHUNK_BYTES, self.size - place))
        if not chunk:
            raise OSError("the file became shorter while it was sent")
        return chunk


class _FilePart(Payload):
    """The document's bytes; nothing is closed when they are sent."""

    _autoclose = True

    def __init__(self, upload: Upload) -> None:
        super().__init__(upload, content_type="application/octet-stream")
        self._size = upload.size
        self._upload = upload

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - the base's signature
        raise TypeError("a document is bytes")

    async def write(self, writer: AbstractStreamWriter) -> None:
        place = 0
        while place < self._upload.size:
            try:
                chunk = await asyncio.to_thread(self._upload.read, place)
            except OSError as exc:
                self._upload.failure = exc
                raise
            await writer.write(chunk)
            place += len(chunk)


@asynccontextmanager
async def open_upload(source: Source) -> AsyncIterator[Upload]:
    """Open a document during the block; what was opened here is closed afterwards, and nothing else.

    Raises:
        OSError: it cannot be opened.
        TypeError: it is open for reading text.
    """
    with ExitStack() as held:
        yield await asyncio.to_thread(_open, source, held)


def _as_in_header(name: str) -> str:
    """Return a name without what would end it there, or the line, and without bytes that are no text."""
    safe = "".join(char if char.isprintable() else "?" for char in name)
    return safe.replace("\\", "_").replace('"', "'")


def _open(source: Source, held: ExitStack) -> Upload:
    if isinstance(source, str | Path):
        return Upload(held.enter_context(Path(source).open("rb")))
    if isinstance(source, bytes | bytearray | memoryview):
        return Upload(io.BytesIO(source))
    if not _gives_bytes(source):
        raise TypeError("a document is a path, bytes, or a file that is open for reading bytes")
    if _can_rewind(source):
        return Upload(source)
    return Upload(_copy(source, held))


def _gives_bytes(source: object) -> bool:
    return hasattr(source, "read") and not isinstance(source, io.TextIOBase)


def _copy(source: BinaryIO, held: ExitStack) -> BinaryIO:
    copy = held.enter_context(tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES))  # noqa: SIM115 - the stack closes it
    shutil.copyfileobj(source, copy)
    copy.seek(0)
    return cast("BinaryIO", copy)


def _can_rewind(file: BinaryIO) -> bool:
    try:
        return file.seekable()
    except AttributeError:
        return False
