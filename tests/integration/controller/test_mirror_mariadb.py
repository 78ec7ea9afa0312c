"""The mirror on a real MariaDB: types, permissions, snapshots, kill, freeze, and what never reaches an error."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pymysql
import pytest
from sqlalchemy.exc import DBAPIError

from controller.mirror.database import Database, DatabaseError, open_database
from controller.mirror.mirror import Mirror
from controller.mirror.planner import MirrorRules
from controller.mirror.rows import ProfileRow
from controller.resource.mirror_state import STATE_ANNOTATION
from tests.conftest import until
from tests.integration.controller.mariadb import PASSWORD, MariaDb, mariadb, mariadb_server
from tools.fakes.profile_resources import MemoryResources

__all__ = ["mariadb", "mariadb_server"]

MODELS = ("np-dms-ocr",)
TYPE = "ocr_extraction"
INTERVAL_S = 0.2
EXPECTED = {
    "canonicalModel": "np-dms-ocr",
    "isActive": True,
    "temperature": 0.1,
    "topP": 0.5,
    "repeatPenalty": 1,
    "numCtx": 8192,
    "keepAliveSeconds": 0,
    "retry": {"maxAttempts": 2, "temperatureStep": 0.1},
    "prompt": {
        "promptType": TYPE,
        "versionNumber": 2,
        "systemPrompt": "อ่านเอกสารนี้ 🙏",
        "dmsTags": {"documentNumber": True},
    },
}

Open = Callable[..., Database]


@pytest.fixture
async def database(mariadb: MariaDb) -> AsyncIterator[Open]:
    """Open the database as the mirror's user; whatever is opened is closed."""
    async with contextlib.AsyncExitStack() as stack:

        def _open(url: str = "", read_timeout_s: float = 5.0) -> Database:
            opened = open_database(url or mariadb.url(), read_timeout_s)
            stack.push_async_callback(opened.close)
            return opened

        yield _open


class World:
    """A mirror, its resources, and a clock that can be put forward."""

    def __init__(self, database: Database, user_prompt_type: str | None = None) -> None:
        self.resources = MemoryResources()
        self.later = timedelta()
        rules = MirrorRules(namespace="ocr", user_prompt_type=user_prompt_type)
        self.mirror = Mirror(database, self.resources, rules, INTERVAL_S, lambda: datetime.now(UTC) + self.later)

    @property
    def temperature(self) -> float:
        return self.resources.spec("ocr-extract")["temperature"]


@pytest.fixture
async def world(database: Open) -> World:
    return World(database())


@pytest.fixture
async def running(world: World) -> AsyncIterator[World]:
    """A mirror that runs, and has mirrored the seed rows."""
    task = asyncio.create_task(world.mirror.run())
    await until(lambda: "ocr-extract" in world.resources.bodies)
    yield world
    assert not task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


# ── rows ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_seed_row_becomes_a_resource_and_then_nothing_is_written(world):
    await world.mirror.run_once()
    assert list(world.resources.bodies) == ["ocr-extract"]
    assert world.resources.spec("ocr-extract") == EXPECTED
    assert json.dumps(world.temperature) == "0.1"
    version = world.resources.version("ocr-extract")
    for _ in range(3):
        await world.mirror.run_once()
    assert world.resources.version("ocr-extract") == version
    assert world.resources.writes == 1
    assert world.mirror.facts.writes == {"create": 1}


async def test_an_edited_row_is_there_within_an_interval(mariadb, running):
    began = time.monotonic()
    mariadb.execute(
        "UPDATE ai_execution_profiles SET temperature = 0, max_tokens = 77 WHERE profile_name = 'ocr-extract'"
    )
    await until(lambda: running.temperature == 0)
    assert time.monotonic() - began < INTERVAL_S + 1
    assert running.resources.spec("ocr-extract")["maxTokens"] == 77


async def test_all_models_that_are_asked_for_are_read(database):
    snapshot = await database().read(("np-dms-ai", "np-dms-ocr"), TYPE)
    assert [row.profile_name for row in snapshot.profiles] == [
        "interactive",
        "standard",
        "quality",
        "deep-analysis",
        "ocr-extract",
    ]
    none = await database().read((), TYPE)
    assert (none.profiles, none.has_profiles) == ((), True)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ("UPDATE ai_execution_profiles SET temperature = 9.999 WHERE canonical_model = 'np-dms-ocr'", "RowInvalid"),
        ("UPDATE ai_execution_profiles SET canonical_model = 'NP-DMS-OCR' WHERE id = 5", "RowInvalid"),
        ("UPDATE ai_execution_profiles SET is_active = 7 WHERE id = 5", "RowInvalid"),
        ("UPDATE ai_prompts SET context_config = '{' WHERE version_number = 2", "PromptInvalid"),
        ("UPDATE ai_prompts SET template = REPEAT('ก', 10001) WHERE version_number = 2", "PromptInvalid"),
    ],
)
async def test_a_junk_row_keeps_the_last_good_resource_and_becomes_an_event(mariadb, world, edit, reason):
    await world.mirror.run_once()
    mariadb.execute(edit)
    for _ in range(3):
        await world.mirror.run_once()
    assert world.resources.spec("ocr-extract") == EXPECTED
    assert world.resources.told() == [("ocr-extract", reason)]
    assert world.mirror.facts.notices == {reason: 1}


async def test_the_user_prompt_is_read_of_its_own_type(database):
    world = World(database(), user_prompt_type="ocr_system")
    await world.mirror.run_once()
    assert world.resources.spec("ocr-extract")["prompt"] == EXPECTED["prompt"] | {"userPrompt": "another type"}


async def test_of_two_active_prompts_the_higher_version_wins(mariadb, world):
    mariadb.execute("UPDATE ai_prompts SET is_active = 1 WHERE prompt_type = 'ocr_extraction'")
    await world.mirror.run_once()
    assert world.resources.spec("ocr-extract")["prompt"]["versionNumber"] == 2
    assert world.resources.told() == [("ocr-extract", "TwoActivePrompts")]


# ── rows that go away ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_row_that_is_gone_is_withdrawn_then_deleted_by_whichever_mirror_runs_then(mariadb, world, database):
    await world.mirror.run_once()
    mariadb.execute("DELETE FROM ai_execution_profiles WHERE profile_name = 'ocr-extract'")
    await world.mirror.run_once()
    assert world.resources.spec("ocr-extract")["isActive"] is False
    restarted = World(database())
    restarted.resources = world.resources
    restarted.mirror = Mirror(
        database(), world.resources, MirrorRules("ocr"), now=lambda: datetime.now(UTC) + restarted.later
    )
    restarted.later = timedelta(seconds=590)
    await restarted.mirror.run_once()
    assert "ocr-extract" in world.resources.bodies
    restarted.later = timedelta(seconds=601)
    await restarted.mirror.run_once()
    assert world.resources.bodies == {}


async def test_an_emptied_table_deletes_nothing_and_a_restored_one_changes_nothing(mariadb, world):
    await world.mirror.run_once()
    rows = mariadb.execute("SELECT * FROM ai_execution_profiles")
    mariadb.execute("TRUNCATE ai_execution_profiles")
    world.later = timedelta(seconds=10)
    await world.mirror.run_once()
    world.later = timedelta(seconds=590)
    await world.mirror.run_once()
    assert world.resources.spec("ocr-extract") == EXPECTED
    assert world.resources.told() == [("ocr-extract", "TableEmpty")]
    marks = ", ".join(["%s"] * len(rows[0]))
    for row in rows:
        mariadb.execute(f"INSERT INTO ai_execution_profiles VALUES ({marks})", row)
    await world.mirror.run_once()
    assert world.resources.spec("ocr-extract") == EXPECTED
    assert world.resources.bodies["ocr-extract"]["metadata"]["annotations"][STATE_ANNOTATION] == "{}"


# ── a database that fails ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_killed_database_loses_nothing_and_is_caught_up_with_after_its_restart(mariadb, running):
    before = running.resources.version("ocr-extract")
    for temperature in (0.3, 0.5):
        mariadb.execute("UPDATE ai_execution_profiles SET temperature = %s WHERE id = 5", (temperature,))
        mariadb.kill()
        await until(lambda: running.mirror.facts.down_since is not None)
        down_since = running.mirror.facts.down_since
        running.later += timedelta(hours=2)
        reads = running.mirror.facts.last_read
        await until(lambda: "connection" in running.mirror.facts.down_reason)
        assert running.mirror.facts.down_since == down_since
        assert running.mirror.facts.last_read == reads
        assert running.resources.spec("ocr-extract")["isActive"] is True
        await asyncio.to_thread(mariadb.start)
        began = time.monotonic()
        await until(lambda t=temperature: running.temperature == t)
        assert time.monotonic() - began < INTERVAL_S + 1
        assert running.mirror.facts.down_since is None
    assert running.resources.version("ocr-extract") != before
    assert running.mirror.facts.writes == {"create": 1, "update": 2}


async def test_a_restart_between_two_reads_costs_no_read(mariadb, world):
    await world.mirror.run_once()
    mariadb.kill()
    await asyncio.to_thread(mariadb.start)
    assert await world.mirror.run_once() is not None
    assert world.mirror.facts.down_since is None


@pytest.mark.alone
async def test_a_frozen_database_is_given_up_in_time_and_found_again(mariadb, database):
    frozen = database(read_timeout_s=0.3)
    await frozen.read(MODELS, TYPE)
    mariadb.freeze()
    began = time.monotonic()
    for _ in range(2):
        with pytest.raises(DatabaseError, match=r"it did not answer within 0\.3 s"):
            await frozen.read(MODELS, TYPE)
    assert time.monotonic() - began < 4
    mariadb.thaw()
    assert (await frozen.read(MODELS, TYPE)).has_profiles


@pytest.mark.alone
async def test_a_frozen_database_does_not_hold_the_end(mariadb, database):
    idle = database()
    await idle.read(MODELS, TYPE)
    mariadb.freeze()
    async with asyncio.timeout(2):
        await idle.close()


async def test_a_lock_that_somebody_holds_does_not_hold_the_mirror(mariadb, world):
    connection = pymysql.connect(host="127.0.0.1", port=mariadb.port, user="root", database="dms")
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM ai_execution_profiles FOR UPDATE")
        cursor.execute("UPDATE ai_execution_profiles SET temperature = 1")
        assert await world.mirror.run_once() is not None
        assert world.temperature == 0.1
        connection.commit()
    await world.mirror.run_once()
    assert world.temperature == 1


async def test_both_tables_are_read_as_of_one_moment(mariadb, database):
    """A writer moves profile and prompt together; no read ever sees the one without the other."""
    opened = database()
    connection = pymysql.connect(host="127.0.0.1", port=mariadb.port, user="root", database="dms")
    stop = False

    def _write() -> int:
        version = 2
        with contextlib.closing(connection), connection.cursor() as cursor:
            while not stop:
                version += 1
                cursor.execute("UPDATE ai_execution_profiles SET num_ctx = %s WHERE id = 5", (512 + version,))
                cursor.execute("UPDATE ai_prompts SET version_number = %s WHERE is_active AND id = 2", (version,))
                connection.commit()
        return version

    mariadb.execute("UPDATE ai_execution_profiles SET num_ctx = 514 WHERE id = 5")
    writer = asyncio.create_task(asyncio.to_thread(_write))
    seen = []
    for _ in range(200):
        snapshot = await opened.read(MODELS, TYPE)
        seen.append((snapshot.profiles[0].num_ctx, snapshot.prompts[0].version_number))
    stop = True
    assert await writer > 10
    assert len(set(seen)) > 10
    assert all(num_ctx == 512 + version for num_ctx, version in seen)


# ── permissions and secrets ───────────────────────────────────────────────────────────────────────────────────────


async def test_select_on_two_tables_is_all_it_needs_and_all_its_user_may(mariadb, database):
    (row,) = (await database().read(MODELS, TYPE)).profiles
    assert isinstance(row, ProfileRow)
    theirs = {
        "host": "127.0.0.1",
        "port": mariadb.port,
        "user": "mirror",
        "password": PASSWORD.encode(),
        "database": "dms",
    }
    with contextlib.closing(pymysql.connect(**theirs)) as connection, connection.cursor() as cursor:
        for statement in ("SELECT * FROM users", "DELETE FROM ai_prompts", "UPDATE ai_execution_profiles SET id = 9"):
            with pytest.raises(pymysql.err.OperationalError, match="denied"):
                cursor.execute(statement)


async def test_not_even_a_user_that_may_write_can(mariadb, database):
    administrator = database(mariadb.url("root", ""))
    async with administrator.open_transaction() as connection:
        with pytest.raises(DBAPIError, match="1792"):
            await connection.exec_driver_sql("UPDATE ai_execution_profiles SET temperature = 1")
    assert (await administrator.read(MODELS, TYPE)).has_profiles


Break = Callable[[MariaDb], str]


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda db: db.url(password="wrong-secret"), "it refuses the user or the password (OperationalError 1045)"),
        (lambda db: db.url().replace("/dms", "/other"), "the user may not use it (OperationalError 1044)"),
        (lambda db: db.url().replace(str(db.port), "1"), "no connection (OperationalError 2003)"),
        (lambda db: db.execute("DROP TABLE dms.ai_prompts"), "a table is missing (ProgrammingError 1146)"),
        (
            lambda db: db.execute("ALTER TABLE dms.ai_prompts DROP COLUMN template"),
            "a column is missing (OperationalError 1054)",
        ),
        (
            lambda db: db.execute("REVOKE SELECT ON dms.ai_prompts FROM mirror@'127.0.0.1'"),
            "the user may not SELECT from both tables (OperationalError 1142)",
        ),
    ],
    ids=["password", "database", "port", "table", "column", "permission"],
)
async def test_what_failed_is_told_without_user_host_password_or_statement(mariadb, database, break_it, reason):
    broken = break_it(mariadb)
    opened = database(broken if isinstance(broken, str) else "")
    with pytest.raises(DatabaseError) as caught:
        await opened.read(MODELS, TYPE)
    assert str(caught.value) == reason
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


async def test_too_many_rows_are_refused_rather_than_cut(mariadb, world):
    await world.mirror.run_once()
    mariadb.execute(
        "INSERT INTO ai_execution_profiles"
        " (profile_name, canonical_model, temperature, top_p, repeat_penalty, keep_alive_seconds)"
        " SELECT CONCAT('p-', seq), 'np-dms-ocr', 1, 1, 1, 0 FROM seq_1_to_5000"
    )
    await world.mirror.run_once()
    assert list(world.resources.bodies) == ["ocr-extract"]
    assert world.mirror.facts.down_reason == (
        "ai_execution_profiles has more than 5000 rows of these models, which is the limit"
    )


@pytest.mark.alone
async def test_a_thousand_rows_are_applied_at_once_and_then_rest(mariadb, world):
    mariadb.execute(
        "INSERT INTO ai_execution_profiles"
        " (profile_name, canonical_model, temperature, top_p, repeat_penalty, keep_alive_seconds)"
        " SELECT CONCAT('p-', seq), 'np-dms-ocr', 0.7, 1, 1, 0 FROM seq_1_to_999"
    )
    began = time.monotonic()
    await world.mirror.run_once()
    assert time.monotonic() - began < 10
    assert len(world.resources.bodies) == 1000
    plan = await world.mirror.run_once()
    assert plan is not None
    assert plan.actions == ()
