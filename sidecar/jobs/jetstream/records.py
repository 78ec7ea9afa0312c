"""What is known of jobs, in a bucket of keys and values; each change says which version it was made from."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from nats.js.api import RawStreamMsg
from nats.js.errors import KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from sidecar.errors import JobExpiredError, JobNotFoundError, JobsUnavailableError
from sidecar.jobs.calling.calls_log import CallsLog
from sidecar.jobs.jetstream.connection import Connection, about, last_message, told, unavailable
from sidecar.jobs.jetstream.streams import GONE, RECORDS
from sidecar.jobs.record import SCHEMA, Record, Ref, SliceRecord

UNMARKS, UNMARK_S = 30, 1.0
"""A mark is taken back once the server is back: while it is away nobody else can read the page either."""
STREAM, PREFIX = f"KV_{RECORDS}", f"$KV.{RECORDS}."


class ChangedError(Exception):
    """Somebody else has changed the record in between."""


@dataclass(frozen=True, slots=True)
class Versioned:
    """A record, and the version that a change of it is made from."""

    record: Record
    version: int


class Records:
    """Reads and writes records of jobs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @staticmethod
    def changes(ref: Ref) -> str:
        """Return the subject on which every change of a job is heard, in any pod."""
        return f"{PREFIX}{ref.key}.>"

    async def create(self, record: Record) -> bool:
        """Record a job, unless it is recorded already; return whether it was not."""
        with told():
            try:
                await (await self._bucket()).create(f"{record.order.ref.key}.record", record.packed())
            except KeyWrongLastSequenceError:
                return False
        return True

    async def get(self, ref: Ref) -> Versioned:
        """Return a job's record.

        Raises:
            JobNotFoundError: there is none.
            JobExpiredError: there was one.
            JobsUnavailableError: the server does not answer, or another version of the service wrote it.
        """
        kept = await self._get(f"{ref.key}.record")
        if kept is not None:
            return Versioned(_known(kept.data or b""), kept.seq or 0)
        if await last_message(self._connection, f"KV_{GONE}", f"$KV.{GONE}.{ref.key}"):
            raise JobExpiredError("the job has expired; its result is no longer kept")
        raise JobNotFoundError("there is no such job")

    async def change(self, old: Versioned, new: Record) -> Versioned:
        """Replace a record.

        Raises:
            ChangedError: it is not the one that it was made from.
        """
        with told():
            try:
                version = await (await self._bucket()).update(f"{new.order.ref.key}.record", new.packed(), old.version)
            except KeyWrongLastSequenceError as exc:
                raise ChangedError from exc
        return Versioned(new, version)

    async def delete(self, ref: Ref, *, is_remembered: bool) -> None:
        """Delete all that is recorded of a job; ``is_remembered``: but that there was one."""
        with told():
            if is_remembered:
                await (await self._connection.js.key_value(GONE)).put(ref.key, b"")
            await self._connection.js.purge_stream(STREAM, subject=self.changes(ref))

    async def add_slice(self, ref: Ref, done: SliceRecord) -> None:
        """Record that a slice is done."""
        with told():
            await (await self._bucket()).put(f"{ref.key}.slice.{done.number}", done.packed())

    async def slice(self, ref: Ref, number: int) -> SliceRecord | None:
        """Return what is recorded of a slice; None if it is not done."""
        kept = await self._get(f"{ref.key}.slice.{number}")
        return SliceRecord.unpacked(kept.data or b"") if kept else None

    async def slices_done(self, ref: Ref) -> list[int]:
        """Return the numbers of the slices that are done, in their order."""
        keys = await self._keys(f"{ref.key}.slice.*")
        return sorted(int(key.rpartition(".")[2]) for key in keys)

    async def deaths(self, ref: Ref) -> dict[int, int]:
        """Return by page how many began to read it alone and have not come back."""
        found = {}
        for key in await self._keys(f"{ref.key}.mark.*"):
            if kept := await self._get(key):
                found[int(key.rpartition(".")[2])] = int(kept.data or b"0")
        return found

    async def mark(self, ref: Ref, page: int, count: int) -> None:
        """Note how many began to read a page alone and have not come back."""
        with told():
            await (await self._bucket()).put(f"{ref.key}.mark.{page}", str(count).encode())

    @asynccontextmanager
    async def marked(self, ref: Ref, page: int, deaths: int) -> AsyncIterator[None]:
        """Mark a page for as long as it is read alone: whoever is lost meanwhile leaves the mark; nobody else does."""
        await self.mark(ref, page, deaths + 1)
        tries = UNMARKS
        try:
            yield
        except asyncio.CancelledError:
            tries = 1
            raise
        finally:
            await self._unmark(ref, page, deaths, tries)

    async def _unmark(self, ref: Ref, page: int, deaths: int, tries: int) -> None:
        for _ in range(tries):
            with suppress(JobsUnavailableError):
                await self.mark(ref, page, deaths)
                return
            await asyncio.sleep(UNMARK_S)

    async def calls_log(self, ref: Ref) -> CallsLog | None:
        """Return what became of the calls to a job's owner; None before the first."""
        kept = await self._get(f"{ref.key}.calls")
        return CallsLog.unpacked(kept.data or b"") if kept else None

    async def put_calls_log(self, ref: Ref, log: CallsLog) -> None:
        """Record what became of the calls to a job's owner."""
        with told():
            await (await self._bucket()).put(f"{ref.key}.calls", log.packed())

    async def ids(self, owner: str) -> list[str]:
        """Return the ids of an owner's jobs, the oldest first."""
        keys = await self._keys(f"job.{owner}.*.record")
        return sorted(key.split(".")[2] for key in keys)

    async def claim(self, name: str, job: str) -> str:
        """Give a name to a job, unless it belongs to one already; return whose it is."""
        with told():
            try:
                await (await self._bucket()).create(f"name.{name}", job.encode())
            except KeyWrongLastSequenceError:
                kept = await self._get(f"name.{name}")
                return (kept.data or b"").decode() if kept else await self.claim(name, job)
        return job

    async def reclaim(self, name: str, old: str, new: str) -> str:
        """Give a name that belongs to a job to another one; return whose it is then, if somebody was faster."""
        kept = await self._get(f"name.{name}")
        if kept is None or (kept.data or b"").decode() != old:
            return await self.claim(name, new)
        with told():
            try:
                await (await self._bucket()).update(f"name.{name}", new.encode(), kept.seq)
            except KeyWrongLastSequenceError:
                return await self.claim(name, new)
        return new

    async def _bucket(self) -> KeyValue:
        return KeyValue(RECORDS, STREAM, PREFIX, self._connection.js, direct=False)

    async def _keys(self, pattern: str) -> list[str]:
        found = await about(self._connection, STREAM, f"{PREFIX}{pattern}")
        return [subject.removeprefix(PREFIX) for subject in found.subjects]

    async def _get(self, key: str) -> RawStreamMsg | None:
        return await last_message(self._connection, STREAM, f"{PREFIX}{key}")


def _known(content: bytes) -> Record:
    if json.loads(content).get("schema_version", SCHEMA) != SCHEMA:
        raise unavailable("another version of the service wrote the job, in a form that this one does not know")
    return Record.unpacked(content)
