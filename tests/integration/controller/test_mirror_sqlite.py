"""The mirror on a SQLite file, and what answers where a database ought to be."""

import asyncio
import contextlib
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from controller.errors import ConflictError, RefusedError, UnavailableError
from controller.mirror.database import Database, DatabaseError, DatabaseUrlError, open_database
from controller.mirror.mirror import Mirror
from controller.mirror.planner import MirrorRules
from controller.resource.mirror_state import STATE_ANNOTATION
from tools.fakes.profile_resources import MemoryResources

DDL = """
CREATE TABLE ai_execution_profiles (
  id INTEGER PRIMARY KEY, profile_name VARCHAR(50) UNIQUE, canonical_model VARCHAR(20) DEFAULT 'np-dms-ai',
  temperature DECIMAL(4,3), top_p DECIMAL(4,3), max_tokens INT NULL, num_ctx INT NULL, repeat_penalty DECIMAL(5,3),
  keep_alive_seconds INT, is_active TINYINT(1) DEFAULT 1, updated_by INT NULL,
  updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE ai_prompts (
  id INTEGER PRIMARY KEY, public_id TEXT, prompt_type VARCHAR(50), version_number INT, template TEXT,
  field_schema LONGTEXT NULL, is_active TINYINT(1), test_result_json LONGTEXT, manual_note TEXT,
  last_tested_at TIMESTAMP, activated_at TIMESTAMP, created_by INT, created_at TIMESTAMP, context_config LONGTEXT NULL,
  version INT, UNIQUE (prompt_type, version_number)
);
INSERT INTO ai_execution_profiles
  (profile_name, canonical_model, temperature, top_p, max_tokens, num_ctx, repeat_penalty, keep_alive_seconds) VALUES
  ('standard', 'np-dms-ai', 0.3, 0.8, 4096, 8192, 1.05, 600),
  ('ocr-extract', 'np-dms-ocr', 0.100, 0.5, NULL, 8192, 1.0, 0);
INSERT INTO ai_prompts (prompt_type, version_number, template, is_active, context_config) VALUES
  ('ocr_extraction', 1, 'old', 0, NULL),
  ('ocr_extraction', 2, 'ถอดข้อความ', 1, '{"dmsTags": ["document_number"]}');
"""
OCR = "UPDATE ai_execution_profiles SET {} WHERE profile_name = 'ocr-extract'"


class World:
    """A database file, the resources, and a clock that can be put forward."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "a database.sqlite"
        self.resources = MemoryResources()
        self.later = timedelta()
        self.run(DDL)
        self.database = self.open()
        self.mirror = self.new_mirror()

    def open(self) -> Database:
        return open_database(f"sqlite+aiosqlite:///{self.path}")

    def new_mirror(self) -> Mirror:
        """A mirror as after a restart: it remembers nothing."""
        return Mirror(self.database, self.resources, MirrorRules("ocr"), now=lambda: datetime.now(UTC) + self.later)

    def run(self, script: str) -> None:
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            connection.executescript(script)

    async def spec_after(self, script: str) -> dict[str, Any]:
        self.run(script)
        await self.mirror.run_once()
        return self.resources.spec("ocr-extract")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    one = World(tmp_path)
    yield one
    await one.database.close()


async def test_the_seed_row_becomes_a_resource_and_then_nothing_is_written(world):
    await world.mirror.run_once()
    spec = world.resources.spec("ocr-extract")
    assert list(world.resources.bodies) == ["ocr-extract"]
    assert (spec["temperature"], spec["repeatPenalty"], spec["keepAliveSeconds"]) == (0.1, 1, 0)
    assert spec["prompt"]["dmsTags"] == {"document_number": True}
    for _ in range(3):
        await world.mirror.run_once()
    assert world.resources.writes == 1


@pytest.mark.parametrize(
    ("values", "field", "value"),
    [
        ("temperature = 0", "temperature", 0),
        ("temperature = '0.100'", "temperature", 0.1),
        ("temperature = NULL", "temperature", None),
        ("max_tokens = 131072", "maxTokens", 131_072),
        ("is_active = 0", "isActive", False),
        ("num_ctx = NULL", "numCtx", None),
    ],
)
async def test_an_edit_is_mirrored(world, values, field, value):
    await world.mirror.run_once()
    assert (await world.spec_after(OCR.format(values))).get(field) == value


@pytest.mark.parametrize(
    "junk",
    [
        "temperature = 'warm'",
        "temperature = x'ff'",
        "temperature = 9e999",
        "is_active = 'yes'",
        "keep_alive_seconds = -1",
        "top_p = 1.001",
    ],
)
async def test_junk_keeps_the_last_good_values_and_is_told_once_each_time(world, junk):
    await world.mirror.run_once()
    before = dict(world.resources.spec("ocr-extract"))
    for _ in range(3):
        assert await world.spec_after(OCR.format(junk)) == before
    assert world.resources.told() == [("ocr-extract", "RowInvalid")]
    assert world.resources.emits == 1
    await world.spec_after(OCR.format("temperature = 1, top_p = 1, is_active = 1, keep_alive_seconds = 0"))
    for _ in range(3):
        await world.spec_after(OCR.format(junk))
    assert world.resources.told() == [("ocr-extract", "RowInvalid"), ("ocr-extract", "RowInvalid")]
    assert world.resources.emits == 2


@pytest.mark.parametrize("junk", ["context_config = '{'", "template = CAST(x'fffe' AS TEXT)", "template = ''"])
async def test_a_junk_prompt_keeps_the_last_good_one(world, junk):
    await world.mirror.run_once()
    before = dict(world.resources.spec("ocr-extract"))
    assert await world.spec_after(f"UPDATE ai_prompts SET {junk} WHERE is_active") == before
    assert world.resources.told() == [("ocr-extract", "PromptInvalid")]


async def test_a_name_that_is_not_utf8_harms_nobody_else(world):
    world.run(
        "INSERT INTO ai_execution_profiles (profile_name, canonical_model) VALUES (CAST(x'ff' AS TEXT), 'np-dms-ocr')"
    )
    await world.mirror.run_once()
    assert list(world.resources.bodies) == ["ocr-extract"]
    assert [(kind, name, event.reason) for kind, name, event in world.resources.events] == [
        ("ConfigMap", "ocr-profiles", "RowInvalid")
    ]


# ── people beside the mirror ──────────────────────────────────────────────────────────────────────────────────────


async def test_the_database_wins_over_hand_edits_of_what_is_mirrored_and_of_nothing_else(world):
    await world.mirror.run_once()
    world.resources.edit("ocr-extract", maxTokens=5, temperature=1.5, retry={"maxAttempts": 9}, model="mine:latest")
    await world.mirror.run_once()
    spec = world.resources.spec("ocr-extract")
    assert (spec.get("maxTokens"), spec["temperature"]) == (None, 0.1)
    assert (spec["retry"], spec["model"]) == ({"maxAttempts": 9}, "mine:latest")
    writes = world.resources.writes
    await world.mirror.run_once()
    assert world.resources.writes == writes


async def test_a_resource_of_that_name_without_the_label_is_left_alone_and_told(world):
    world.resources.edit("ocr-extract", canonicalModel="np-dms-ocr", temperature=1.5)
    version = world.resources.version("ocr-extract")
    for _ in range(2):
        await world.mirror.run_once()
    assert world.resources.version("ocr-extract") == version
    assert world.resources.told() == [("ocr-extract", "NameClash")]


async def test_a_resource_that_lost_its_label_is_nobodys_row_any_more(world):
    await world.mirror.run_once()
    world.resources.unlabel("ocr-extract")
    before = dict(world.resources.spec("ocr-extract"))
    assert await world.spec_after(OCR.format("temperature = 1")) == before
    world.run("DELETE FROM ai_execution_profiles WHERE profile_name = 'ocr-extract'")
    world.later = timedelta(days=1)
    await world.mirror.run_once()
    assert world.resources.spec("ocr-extract") == before


async def test_a_resource_that_is_deleted_by_hand_comes_back(world):
    await world.mirror.run_once()
    world.resources.remove("ocr-extract")
    await world.mirror.run_once()
    assert world.resources.spec("ocr-extract")["isActive"] is True


async def test_a_hand_edit_is_seen_after_any_rest(world):
    for _ in range(3):
        await world.mirror.run_once()
    world.resources.edit("ocr-extract", temperature=1.5)
    await world.mirror.run_once()
    assert world.resources.spec("ocr-extract")["temperature"] == 0.1


async def test_time_alone_deletes_what_has_been_at_rest(world):
    await world.mirror.run_once()
    world.run("DELETE FROM ai_execution_profiles WHERE profile_name = 'ocr-extract'")
    for seconds in (1, 2, 3, 602):
        assert "ocr-extract" in world.resources.bodies
        world.later = timedelta(seconds=seconds)
        await world.mirror.run_once()
    assert world.resources.bodies == {}
    assert world.resources.emits == 1


# ── rows that go away ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_gone_row_is_withdrawn_and_deleted_across_restarts(world):
    await world.mirror.run_once()
    spec = await world.spec_after("DELETE FROM ai_execution_profiles WHERE profile_name = 'ocr-extract'")
    assert spec["isActive"] is False
    since = json.loads(world.resources.bodies["ocr-extract"]["metadata"]["annotations"][STATE_ANNOTATION])[
        "rowGoneSince"
    ]
    assert since.endswith("Z")
    for seconds, there in ((300, True), (599, True), (601, False)):
        world.later = timedelta(seconds=seconds)
        await world.new_mirror().run_once()
        assert ("ocr-extract" in world.resources.bodies) is there


async def test_an_emptied_table_deletes_only_when_it_stays_empty_and_an_outage_does_not_count(world):
    await world.mirror.run_once()
    before = dict(world.resources.spec("ocr-extract"))
    assert await world.spec_after("DELETE FROM ai_execution_profiles") == before
    away = world.path.with_suffix(".away")
    world.path.rename(away)
    await world.mirror.run_once()
    assert world.mirror.facts.down_since is not None
    world.later = timedelta(seconds=700)
    away.rename(world.path)
    await world.mirror.run_once()
    assert world.mirror.facts.down_since is None
    assert world.resources.spec("ocr-extract") == before
    world.later = timedelta(seconds=1_310)
    await world.mirror.run_once()
    assert world.resources.bodies == {}


async def test_an_emptied_table_of_prompts_keeps_the_prompt_for_a_while(world):
    await world.mirror.run_once()
    before = dict(world.resources.spec("ocr-extract"))
    assert await world.spec_after("DELETE FROM ai_prompts") == before
    world.later = timedelta(seconds=601)
    await world.mirror.run_once()
    assert world.resources.spec("ocr-extract")["prompt"] == {}


# ── an API server that fails ──────────────────────────────────────────────────────────────────────────────────────


async def test_an_api_server_that_fails_is_tried_again_with_the_rows_of_then(world):
    world.resources.failing = UnavailableError("patch ocrprofiles: TimeoutError")
    await world.mirror.run_once()
    assert world.mirror.facts.cluster_reason == "patch ocrprofiles: TimeoutError"
    assert world.mirror.facts.down_since is None
    world.resources.failing = None
    assert (await world.spec_after(OCR.format("temperature = 1")))["temperature"] == 1
    assert world.mirror.facts.cluster_reason == ""


class Obstinate(MemoryResources):
    """Resources of which one is refused by a newer schema, and one changes whenever it is written."""

    async def apply_profile(self, manifest, manager):
        if manifest["metadata"]["name"] == "refused":
            raise RefusedError("patch ocrprofiles: 422 spec.temperature: no longer")
        if manifest["metadata"]["name"] == "busy":
            raise ConflictError("patch ocrprofiles: 409")
        await super().apply_profile(manifest, manager)


async def test_one_resource_that_cannot_be_written_does_not_hold_the_others(world):
    world.resources = Obstinate()
    world.mirror = world.new_mirror()
    columns = "(profile_name, canonical_model, temperature)"
    for name in ("busy", "refused", "zz-last"):
        world.run(f"INSERT INTO ai_execution_profiles {columns} VALUES ('{name}', 'np-dms-ocr', 1)")
    for _ in range(2):
        await world.mirror.run_once()
    assert sorted(world.resources.bodies) == ["ocr-extract", "zz-last"]
    assert world.resources.told() == [("refused", "ApplyRefused")]
    assert world.mirror.facts.cluster_reason == "patch ocrprofiles: 422 spec.temperature: no longer"
    assert world.mirror.facts.writes == {"create": 2}


async def test_a_dry_run_changes_nothing(world):
    plan = await world.mirror.check()
    assert [action.name for action in plan.actions] == ["ocr-extract"]
    assert (world.resources.bodies, world.resources.events) == ({}, [])


# ── the file ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def reason_of(path: Path) -> str:
    database = open_database(f"sqlite+aiosqlite:///{path}")
    with pytest.raises(DatabaseError) as caught:
        await database.read(("np-dms-ocr",), "ocr_extraction")
    await database.close()
    return str(caught.value)


async def test_a_file_that_is_not_there_is_not_made(tmp_path):
    assert await reason_of(tmp_path / "none.sqlite") == "No such file or directory (FileNotFoundError)"
    assert list(tmp_path.iterdir()) == []


async def test_the_file_cannot_be_written(world):
    async with world.database.open_transaction() as connection:
        with pytest.raises(DBAPIError, match="readonly"):
            await connection.exec_driver_sql("UPDATE ai_execution_profiles SET temperature = 1")


async def test_what_is_no_database_file_is_an_outage(tmp_path):
    assert await reason_of(tmp_path) == "Is a directory (IsADirectoryError)"
    (tmp_path / "text").write_text("no database, " * 100)
    assert await reason_of(tmp_path / "text") == "SQLite says: file is not a database"


async def test_an_outage_is_dated_by_its_beginning(world):
    world.path.rename(world.path.with_suffix(".away"))
    await world.mirror.run_once()
    since = world.mirror.facts.down_since
    world.later = timedelta(hours=1)
    await world.mirror.run_once()
    assert since is not None
    assert world.mirror.facts.down_since == since
    assert world.mirror.facts.down_reason == "No such file or directory (FileNotFoundError)"


async def test_a_file_that_is_replaced_is_read_anew(world, tmp_path):
    await world.mirror.run_once()
    copy = Path(shutil.copy(world.path, tmp_path / "copy"))
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        connection.executescript(OCR.format("temperature = 1"))
    copy.replace(world.path)
    await world.mirror.run_once()
    assert world.resources.spec("ocr-extract")["temperature"] == 1


async def test_a_missing_table_is_an_outage_not_an_empty_table(world):
    await world.mirror.run_once()
    spec = await world.spec_after("DROP TABLE ai_execution_profiles")
    assert spec["isActive"] is True
    assert world.mirror.facts.down_reason == "SQLite says: no such table: ai_execution_profiles"


# ── what is no database ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "url",
    [
        "",
        "secret",
        "://secret",
        "mysql://u:secret@h/d",
        "postgresql+asyncpg://u:secret@h/d",
        "mysql+aiomysql://u:secret@h:port/d",
        "sqlite+aiosqlite://",
    ],
)
def test_a_url_of_something_else_is_refused_without_being_repeated(url):
    with pytest.raises(DatabaseUrlError) as caught:
        open_database(url)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]
GREETING = b"\x0a5.5.5-10.11.19-MariaDB\x00"


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00" * 200,
        b"\xff" * 200,
        b"\x01\x00\x00\x00\x0a",
        len(GREETING).to_bytes(3, "little") + b"\x00" + GREETING,
        b"\x03\x00\x00\x00\xff\x10\x04",
    ],
)
async def test_whatever_answers_in_place_of_the_database_is_an_outage(said):
    async def _answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    database = open_database(f"mysql+aiomysql://mirror:hush-hush@127.0.0.1:{port}/dms", read_timeout_s=2)
    with pytest.raises(DatabaseError) as caught:
        await database.read(("np-dms-ocr",), "ocr_extraction")
    await database.close()
    server.close()
    await server.wait_closed()
    assert not [word for word in ("hush", "mirror", "127.0.0.1", "SELECT", str(port)) if word in str(caught.value)]


@pytest.mark.alone
async def test_a_peer_that_says_nothing_is_given_up_in_time():
    left = asyncio.Event()

    async def _listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        left.set()

    server = await asyncio.start_server(_listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    database = open_database(f"mysql+aiomysql://mirror:x@127.0.0.1:{port}/dms", read_timeout_s=0.2)
    with pytest.raises(DatabaseError, match=r"it did not answer within 0\.2 s"):
        await database.read(("np-dms-ocr",), "ocr_extraction")
    async with asyncio.timeout(5):
        await left.wait()
    await database.close()
    server.close()
    await server.wait_closed()
