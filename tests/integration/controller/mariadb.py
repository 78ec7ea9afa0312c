"""A private MariaDB: a folder and a free port of its own, and a user that may SELECT from two tables."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pymysql
import pytest

from bench.harness.service import free_ports

START_TIMEOUT_S = 20
PROGRAMS = ("mariadbd", "mariadb-install-db")
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
"""Debian keeps servers where only root looks."""
PASSWORD = "p@ss/word:ไทย"
"""Every character that a URL has to escape, and some that Latin 1 lacks."""

DDL = [
    """
    CREATE TABLE ai_execution_profiles (
      id INT AUTO_INCREMENT PRIMARY KEY,
      profile_name VARCHAR(50) NOT NULL UNIQUE,
      canonical_model VARCHAR(20) NOT NULL DEFAULT 'np-dms-ai',
      temperature DECIMAL(4,3) NOT NULL,
      top_p DECIMAL(4,3) NOT NULL,
      max_tokens INT NULL,
      num_ctx INT NULL,
      repeat_penalty DECIMAL(5,3) NOT NULL,
      keep_alive_seconds INT NOT NULL,
      is_active TINYINT(1) NOT NULL DEFAULT 1,
      updated_by INT NULL,
      updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
      created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
    ) CHARACTER SET utf8mb4
    """,
    """
    CREATE TABLE ai_prompts (
      id INT AUTO_INCREMENT PRIMARY KEY,
      public_id UUID NOT NULL DEFAULT UUID(),
      prompt_type VARCHAR(50) NOT NULL,
      version_number INT NOT NULL,
      template TEXT NOT NULL,
      field_schema LONGTEXT NULL CHECK (JSON_VALID(field_schema)),
      is_active TINYINT(1) NOT NULL DEFAULT 0,
      test_result_json JSON NULL,
      manual_note TEXT NULL,
      last_tested_at TIMESTAMP NULL,
      activated_at TIMESTAMP NULL,
      created_by INT NULL,
      created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
      context_config LONGTEXT NULL,
      version INT NOT NULL DEFAULT 1,
      UNIQUE (prompt_type, version_number)
    ) CHARACTER SET utf8mb4
    """,
    "CREATE TABLE users (id INT PRIMARY KEY, secret TEXT)",
]


class MariaDb:
    """One server, and an administrator's connection to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        (self.port,) = free_ports(1)

    # ── the server ────────────────────────────────────────────────────────────────────────────────────────────

    def install(self) -> None:
        """Make an empty database cluster, the example user in it."""
        command = ["mariadb-install-db", "--no-defaults", f"--datadir={self._data}", *self._as_root()]
        command += ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
        subprocess.run(command, check=True, capture_output=True, timeout=60, env={**os.environ, "PATH": PATH})

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        log = (self._folder / "log").open("ab")
        self._process = subprocess.Popen(self._command(), stdout=log, stderr=log, env={**os.environ, "PATH": PATH})
        log.close()
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            assert self._process.poll() is None, (self._folder / "log").read_text(errors="replace")[-2_000:]
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as knock:
                knock.connect(self._socket)
                return
            assert time.monotonic() < deadline, "mariadbd does not answer"
            time.sleep(0.02)

    @property
    def runs(self) -> bool:
        return self._process is not None

    def kill(self) -> None:
        """End the server without a chance to tidy up."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the server in order."""
        if self._process is not None:
            self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Stop the server's time: connections stay open, nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(how)
        self._process.wait(timeout=START_TIMEOUT_S)
        self._process = None

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _socket(self) -> str:
        return str(self._folder / "socket")

    @staticmethod
    def _as_root() -> list[str]:
        return ["--user=root"] if os.geteuid() == 0 else []

    def _command(self) -> list[str]:
        return [
            "mariadbd",
            "--no-defaults",
            *self._as_root(),
            f"--datadir={self._data}",
            f"--socket={self._socket}",
            f"--pid-file={self._folder / 'pid'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--innodb-buffer-pool-size=16M",
            "--innodb-log-file-size=8M",
            "--innodb-flush-log-at-trx-commit=2",  # what was committed survives a kill, if not a power cut
            "--debug-no-sync",
            "--performance-schema=OFF",
        ]

    # ── its content ───────────────────────────────────────────────────────────────────────────────────────────

    def url(self, user: str = "mirror", password: str = PASSWORD) -> str:
        """The URL for the controller."""
        return f"mysql+aiomysql://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}/dms"

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> tuple[Any, ...]:
        """Do something as the administrator, committed at once."""
        connection = pymysql.connect(unix_socket=self._socket, user="root", charset="utf8mb4", autocommit=True)
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE IF NOT EXISTS dms")
            cursor.execute("USE dms")
            cursor.execute(statement, values or None)
            return tuple(cursor.fetchall())

    def fill(self) -> None:
        """Make the tables anew, with the seed rows and the user."""
        self.execute("DROP DATABASE IF EXISTS dms")
        for statement in (*DDL, *SEED):
            self.execute(statement)
        self.execute("CREATE OR REPLACE USER mirror@'127.0.0.1' IDENTIFIED BY %s", (PASSWORD,))
        for table in ("ai_execution_profiles", "ai_prompts"):
            self.execute(f"GRANT SELECT ON dms.{table} TO mirror@'127.0.0.1'")


SEED = [
    """
    INSERT INTO ai_execution_profiles
      (profile_name, canonical_model, temperature, top_p, max_tokens, num_ctx, repeat_penalty, keep_alive_seconds)
    VALUES
      ('interactive', 'np-dms-ai', 0.15, 0.9, 2048, 4096, 1.05, 300),
      ('standard', 'np-dms-ai', 0.3, 0.8, 4096, 8192, 1.05, 600),
      ('quality', 'np-dms-ai', 0.1, 0.95, 8192, 8192, 1.05, 600),
      ('deep-analysis', 'np-dms-ai', 0.3, 0.85, 8192, 32768, 1.05, 0),
      ('ocr-extract', 'np-dms-ocr', 0.1, 0.5, NULL, 8192, 1.0, 0)
    """,
    """
    INSERT INTO ai_prompts (prompt_type, version_number, template, is_active, context_config)
    VALUES
      ('ocr_extraction', 1, 'old', 0, NULL),
      ('ocr_extraction', 2, 'อ่านเอกสารนี้ 🙏', 1, '{"dmsTags": {"documentNumber": true}}'),
      ('ocr_system', 1, 'another type', 1, NULL)
    """,
]


@pytest.fixture(scope="session")
def mariadb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDb]:
    for program in PROGRAMS:
        if shutil.which(program, path=PATH) is None:
            pytest.skip(f"there is no {program}: `make setup` installs it on Debian")
    server = MariaDb(tmp_path_factory.mktemp("mariadb"))
    server.install()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def mariadb(mariadb_server: MariaDb) -> Iterator[MariaDb]:
    """The server with fresh tables; it runs, whatever the test before did to it."""
    mariadb_server.fill()
    yield mariadb_server
    if not mariadb_server.runs:
        mariadb_server.start()
    mariadb_server.thaw()
