"""What is known of jobs, in a bucket of keys and values; each change says which version it was made from."""

from contextlib import suppress
from dataclasses import dataclass

from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from sidecar.errors import JobExpiredError, JobNotFoundError
from sidecar.jobs.jetstream.connection import Connection, told
from sidecar.jobs.jetstream.streams import GONE, RECORDS
from sidecar.jobs.record import Record, Ref, SliceRecord

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
        """
        with told():
            try:
                entry = await (await self._bucket()).get(f"{ref.key}.record")
            except KeyNotFoundError:
                if await self._is_gone(ref):
                    raise JobExpiredError("the job has expired; its result is no longer kept") from None
                raise JobNotFoundError("there is no such job") from None
        return Versioned(Record.unpacked(entry.value or b""), entry.revision or 0)

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
        with told():
            try:
                entry = await (await self._bucket()).get(f"{ref.key}.slice.{number}")
            except KeyNotFoundError:
                return None
        return SliceRecord.unpacked(entry.value or b"")

    async def slices_done(self, ref: Ref) -> list[int]:
        """Return the numbers of the slices that are done, in their order."""
        keys = await self._keys(f"{ref.key}.slice.*")
        return sorted(int(key.rpartition(".")[2]) for key in keys)

    async def deaths(self, ref: Ref) -> dict[int, int]:
        """Return by page how many began to read it alone and have not come back."""
        found = {}
        for key in await self._keys(f"{ref.key}.mark.*"):
            with told(), suppress(KeyNotFoundError):
                found[int(key.rpartition(".")[2])] = int((await (await self._bucket()).get(key)).value or b"0")
        return found

    async def mark(self, ref: Ref, page: int, count: int) -> None:
        """Note how many began to read a page alone and have not come back."""
        with told():
            await (await self._bucket()).put(f"{ref.key}.mark.{page}", str(count).encode())

    async def ids(self, owner: str) -> list[str]:
        """Return the ids of an owner's jobs, the oldest first."""
        keys = await self._keys(f"job.{owner}.*.record")
        return sorted(key.split(".")[2] for key in keys)

    async def claim(self, name: str, job: str) -> str:
        """Give a name to a job, unless it belongs to one already; return whose it is."""
        with told():
            bucket = await self._bucket()
            try:
                await bucket.create(f"name.{name}", job.encode())
            except KeyWrongLastSequenceError:
                return ((await bucket.get(f"name.{name}")).value or b"").decode()
        return job

    async def release(self, name: str) -> None:
        """Take a name from the job that has it."""
        with told():
            await self._connection.js.purge_stream(STREAM, subject=f"{PREFIX}name.{name}")

    async def _bucket(self) -> KeyValue:
        return KeyValue(RECORDS, STREAM, PREFIX, self._connection.js, direct=False)

    async def _keys(self, pattern: str) -> list[str]:
        with told():
            about = await self._connection.js.stream_info(STREAM, subjects_filter=f"{PREFIX}{pattern}")
        return [subject.removeprefix(PREFIX) for subject in about.state.subjects or {}]

    async def _is_gone(self, ref: Ref) -> bool:
        try:
            await (await self._connection.js.key_value(GONE)).get(ref.key)
        except KeyNotFoundError:
            return False
        return True
