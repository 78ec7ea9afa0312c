"""Contents of jobs, such as documents and pages that were read: cut into messages, each of a subject of its own.

The library's object store would do as well, but for two things: what a killed pod left half written stays in it for
ever, and small contents take six round trips. Here all of a job goes by one call, half written or not.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import IO, Protocol

from pydantic import BaseModel

from sidecar.errors import JobsUnavailableError
from sidecar.jobs.jetstream.connection import Connection, last_message, told
from sidecar.jobs.jetstream.streams import BLOB_BYTES, BLOBS

AT_ONCE = 4
"""Pieces that are on their way at a time."""
TRIES = 3
"""A content that is replaced while it is fetched is fetched again."""


class Target(Protocol):
    """What a content is written into."""

    def write(self, data: bytes, /) -> object:
        """Append."""


class BlobMissingError(Exception):
    """There is no such content, or it was deleted while it was fetched."""


class _Manifest(BaseModel):
    size_bytes: int
    sha256: str
    token: str
    pieces: int


class Blobs:
    """Reads, writes and deletes contents by job and name."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def put(self, job: str, name: str, content: bytes) -> None:
        """Write a content in place of the one before, as a whole or not at all.

        Raises:
            JobsUnavailableError: it cannot be stored now.
        """
        pieces = (content[at : at + BLOB_BYTES] for at in range(0, len(content), BLOB_BYTES))
        await self._put(job, name, _each(pieces))

    async def put_file(self, job: str, name: str, path: Path) -> None:
        """Write a file's content; see :meth:`put`."""
        with await asyncio.to_thread(path.open, "rb") as file:
            await self._put(job, name, _pieces_of(file))

    async def get(self, job: str, name: str) -> bytes:
        """Return a content.

        Raises:
            BlobMissingError: there is none.
            JobsUnavailableError: the server does not answer.
        """
        for _ in range(TRIES):
            manifest = await self._manifest(job, name)
            content = b"".join([piece async for piece in self._pieces(job, name, manifest)])
            if hashlib.sha256(content).hexdigest() == manifest.sha256:
                return content
        raise BlobMissingError(name)

    async def get_file(self, job: str, name: str, file: Target) -> None:
        """Write a content into a file; see :meth:`get`."""
        manifest = await self._manifest(job, name)
        digest = hashlib.sha256()
        async for piece in self._pieces(job, name, manifest):
            digest.update(piece)
            await asyncio.to_thread(file.write, piece)
        if digest.hexdigest() != manifest.sha256:
            raise BlobMissingError(name)

    async def has(self, job: str, name: str) -> bool:
        """Return whether there is such a content."""
        try:
            await self._manifest(job, name)
        except BlobMissingError:
            return False
        return True

    async def delete(self, job: str, name: str | None = None) -> None:
        """Delete a content, or all of a job's."""
        subject = f"ocr.blob.{job}.>" if name is None else f"ocr.blob.{job}.{name}.>"
        with told():
            await self._connection.js.purge_stream(BLOBS, subject=subject)

    async def _put(self, job: str, name: str, pieces: AsyncIterator[bytes]) -> None:
        token = token_hex(6)
        try:
            await self._put_as(job, name, token, pieces)
        except BaseException:  # where there is no room, what was written of it would keep the room from all others
            with suppress(JobsUnavailableError):
                await self.delete(job, f"{name}.{token}")
            raise

    async def _put_as(self, job: str, name: str, token: str, pieces: AsyncIterator[bytes]) -> None:
        js, digest = self._connection.js, hashlib.sha256()
        size = count = 0
        with told():
            async for piece in pieces:
                digest.update(piece)
                await js.publish(f"ocr.blob.{job}.{name}.{token}.{count}", piece)
                size, count = size + len(piece), count + 1
            made = _Manifest(size_bytes=size, sha256=digest.hexdigest(), token=token, pieces=count)
            await js.publish(f"ocr.blob.{job}.{name}.manifest", made.model_dump_json().encode())

    async def _manifest(self, job: str, name: str) -> _Manifest:
        return _Manifest.model_validate_json(await self._piece(f"ocr.blob.{job}.{name}.manifest"))

    async def _pieces(self, job: str, name: str, manifest: _Manifest) -> AsyncIterator[bytes]:
        for first in range(0, manifest.pieces, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, manifest.pieces))
            wanted = [self._piece(f"ocr.blob.{job}.{name}.{manifest.token}.{number}") for number in numbers]
            for piece in await asyncio.gather(*wanted):
                yield piece

    async def _piece(self, subject: str) -> bytes:
        message = await last_message(self._connection, BLOBS, subject)
        if message is None:
            raise BlobMissingError(subject)
        return message.data or b""


async def _each(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _pieces_of(file: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, BLOB_BYTES):
        yield piece
