"""The client's types, as a type checker sees them in a caller's program."""

import os
import subprocess
import sys
import tomllib

import pytest

from tests.unit.test_docs import ROOT

PROGRAM = """
from typing import assert_type

from sidecar.client import AsyncClient, Client, Document, Embeddings, Opened, Page, Ranking, Summary

with Client("http://127.0.0.1:8765") as client:
    assert_type(client.read(b"", pages=[1, 2], languages="tha"), Document)
    assert_type(client.read("a.pdf").pages[0].confidence, int | None)
    for event in client.stream("a.pdf", max_pages=3):
        assert_type(event, Opened | Page | Summary)
    assert_type(client.embed(["a"]), Embeddings)
    assert_type(client.rerank("a", ["b"]), Ranking)


async def read(asked: AsyncClient) -> None:
    assert_type(await asked.read("a.pdf"), Document)
    async for event in asked.stream("a.pdf"):
        assert_type(event, Opened | Page | Summary)
"""
MISTAKES = """
from sidecar.client import Client

client = Client("http://127.0.0.1:8765")
client.read("a.pdf", page=1)
client.read("a.pdf", max_pages="all")
client.read(7)
client.embed(b"a")
client.read("a.pdf").txt
"""


def check(folder, program: str) -> subprocess.CompletedProcess[str]:
    (folder / "program.py").write_text(program)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", ROOT / ".mypy_cache", folder / "program.py"]
    environ = os.environ | {"MYPYPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=110, check=False)


@pytest.mark.slow
def test_what_is_right_is_right_and_what_is_wrong_is_told(tmp_path):
    good = check(tmp_path, PROGRAM)
    assert good.returncode == 0, good.stdout
    wrong = check(tmp_path, MISTAKES)
    told = [int(line.split(":")[1]) for line in wrong.stdout.splitlines() if ": error:" in line]
    assert sorted(set(told)) == [5, 6, 7, 8, 9], wrong.stdout


def test_a_package_says_that_it_is_typed():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    assert "py.typed" in listed["sidecar"]
    assert (ROOT / "sidecar" / "py.typed").is_file()
