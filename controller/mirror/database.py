"""Reads the database: one snapshot of both tables, or one error that gives the reason without secrets.

The only user of SQLAlchemy's engines. Two kinds of database: MariaDB or MySQL in production, a SQLite file on a laptop.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from controller.mirror.mirror import DatabaseError
from controller.mirror.rows import ProfileRow, PromptRow, Snapshot
from controller.mirror.tables import MAX_ROWS, PROFILES, PROMPTS, select_any, select_profiles, select_prompts

__all__ = ["Database", "DatabaseError", "DatabaseUrlError", "open_database"]

MYSQL = "mysql+aiomysql"
SQLITE = "sqlite+aiosqlite"
CONNECT_TIMEOUT_S = 3
"""A database in the same cluster answers in milliseconds; one retransmission of a lost packet takes a second."""
READ_TIMEOUT_S = 5.0
"""Deadline of a whole read, including the connection: rows and prompt take milliseconds, a lock may take longer."""

BEGIN_MYSQL = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
"""Both tables at one moment: a prompt is never combined with another moment's profile. The server refuses writes."""
BEGIN_SQLITE = "BEGIN"

MEANINGS = {
    1040: "it has too many connections",
    1044: "the user may not use it",
    1045: "it refuses the user or the password",
    1049: "there is no database of that name",
    1054: "a column is missing",
    1142: "the user may not SELECT from both tables",
    1143: "the user may not SELECT from all columns",
    1146: "a table is missing",
    1205: "a lock was held too long",
    2002: "no connection",
    2003: "no connection",
    2006: "the connection was lost",
    2013: "the connection was lost",
}
"""Our texts for the error numbers of MariaDB and MySQL. Their own texts name hosts and users, and are not shown."""


class DatabaseUrlError(ValueError):
    """The mirror does not support this URL; the text does not repeat it."""


class Database:
    """A connection to the two tables, opened when first needed and reopened after a failure. The caller closes it."""

    def __init__(self, engine: AsyncEngine, begin: str, read_timeout_s: float, file: Path | None = None) -> None:
        self._engine = engine
        self._begin = begin
        self._read_timeout_s = read_timeout_s
        self._file = file

    async def read(self, models: tuple[str, ...], prompt_type: str, user_prompt_type: str | None = None) -> Snapshot:
        """Read the rows of these models and the active prompts of these types, at one moment.

        Raises:
            DatabaseError: no connection, no permission, no table, too many rows, or not within the deadline.
        """
        try:
            async with asyncio.timeout(self._read_timeout_s), self.open_transaction() as connection:
                return await _read(connection, models, prompt_type, user_prompt_type)
        except TimeoutError:
            raise DatabaseError(f"it did not answer within {self._read_timeout_s:g} s") from None
        except DatabaseError:
            raise
        except Exception as exc:  # noqa: BLE001 - see below
            # The peer may not be a database: aiomysql then raises AssertionError, IndexError, struct.error, whatever
            # its parser stumbles over. The cause is cut off, because it names user, host and statement.
            raise DatabaseError(_reason(exc)) from None

    @asynccontextmanager
    async def open_transaction(self) -> AsyncIterator[AsyncConnection]:
        """Open a read-only transaction on one snapshot, whatever the user's rights; errors are not mapped."""
        if self._file is not None:  # aiosqlite leaves a thread behind where it cannot open the file
            await asyncio.to_thread(_check_file, self._file)
        async with self._engine.connect() as connection:
            await connection.exec_driver_sql(self._begin)
            yield connection

    async def close(self) -> None:
        """Close the connection."""
        await self._engine.dispose()


def _check_file(path: Path) -> None:
    with path.open("rb"):
        pass


async def _read(
    connection: AsyncConnection, models: tuple[str, ...], prompt_type: str, user_prompt_type: str | None
) -> Snapshot:
    profiles = (await connection.execute(select_profiles(models))).mappings().all()
    if len(profiles) > MAX_ROWS:
        raise DatabaseError(f"ai_execution_profiles has more than {MAX_ROWS} rows of these models, which is the limit")
    prompts = await _prompts(connection, prompt_type)
    return Snapshot(
        profiles=tuple(ProfileRow(**row) for row in profiles),
        prompts=prompts,
        user_prompts=await _prompts(connection, user_prompt_type) if user_prompt_type else (),
        has_profiles=bool(profiles) or (await connection.execute(select_any(PROFILES))).first() is not None,
        has_prompts=bool(prompts) or (await connection.execute(select_any(PROMPTS))).first() is not None,
    )


async def _prompts(connection: AsyncConnection, prompt_type: str) -> tuple[PromptRow, ...]:
    rows = await connection.execute(select_prompts(prompt_type))
    return tuple(PromptRow(**row) for row in rows.mappings())


def _reason(exc: Exception) -> str:
    """Describe the error in our own words: the driver's may contain secrets."""
    cause = getattr(exc, "orig", None) or exc
    if isinstance(cause, sqlite3.Error):
        return f"SQLite says: {cause}"  # its texts name tables and columns, never a path
    if isinstance(cause, OSError) and cause.errno:
        return f"{os.strerror(cause.errno)} ({type(cause).__name__})"  # its own text names file or host
    number = cause.args[0] if cause.args and isinstance(cause.args[0], int) else None
    meaning = MEANINGS.get(number, "the read failed") if number is not None else "the read failed"
    return f"{meaning} ({type(cause).__name__}{'' if number is None else f' {number}'})"


def open_database(url: str, read_timeout_s: float = READ_TIMEOUT_S) -> Database:
    """Prepare to read this database; nothing is connected yet.

    Raises:
        DatabaseUrlError: it is not a URL, or one of another kind of database.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise DatabaseUrlError("DATABASE_URL is not a URL of the form driver://user:password@host/name") from None
    if parsed.drivername == MYSQL:
        return Database(_open_mysql(parsed), BEGIN_MYSQL, read_timeout_s)
    if parsed.drivername == SQLITE and parsed.database:
        path = Path(parsed.database)
        return Database(_open_sqlite(path), BEGIN_SQLITE, read_timeout_s, path)
    raise DatabaseUrlError(f"DATABASE_URL must begin with {MYSQL}://, or with {SQLITE}:/// and name a file")


def _open_mysql(url: URL) -> AsyncEngine:
    connect_args: dict[str, Any] = {
        "charset": "utf8mb4",  # what MariaDB calls utf8 lacks all beyond the first 65,536 characters
        "connect_timeout": CONNECT_TIMEOUT_S,
    }
    if url.password is not None:  # aiomysql sends it as Latin 1, the server knows the bytes of its UTF-8
        connect_args["password"] = url.password.encode().decode("latin1")
    return create_async_engine(
        url,
        pool_size=1,  # there is one reader
        max_overflow=0,
        pool_pre_ping=True,  # a restart of the database then costs no failed read
        isolation_level="REPEATABLE READ",  # without it there is no snapshot below
        hide_parameters=True,
        connect_args=connect_args,
    )


def _open_sqlite(path: Path) -> AsyncEngine:
    """Open the file for reading only, which also keeps a wrong path from making an empty database."""
    url = URL.create(SQLITE, database=f"file:{quote(str(path))}", query={"mode": "ro", "uri": "true"})
    # No pool: a kept connection would continue to read a file that was replaced.
    engine = create_async_engine(url, poolclass=NullPool, hide_parameters=True)
    event.listen(engine.sync_engine, "connect", _keep_odd_bytes)
    return engine


def _keep_odd_bytes(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    """Pass text that is not UTF-8 on to the check of its row; SQLite's driver would fail the whole read."""
    connection.driver_connection.text_factory = lambda raw: raw.decode(errors="surrogateescape")  # type: ignore[attr-defined]
