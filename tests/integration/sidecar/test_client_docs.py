"""The code of docs/client.md runs against the real service, and its tables hold what the client has."""

import asyncio
import contextlib
import re
import shutil

import pytest

from sidecar import client
from sidecar.client import Client, failures
from sidecar.client.job_calls import JobCalls
from tests.integration.sidecar.retrieving import loaded
from tests.unit.test_docs import ROOT, columns, rows

PAGE = ROOT / "docs" / "client.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path, data):
    """The documents that the page reads, in the folder where it is run."""
    shutil.copy(data / "digital.pdf", tmp_path / "scan.pdf")
    shutil.copy(data / "encrypted.pdf", tmp_path)
    with contextlib.chdir(tmp_path):
        yield tmp_path


@pytest.fixture
async def everything(start, models, tmp_path):
    """A service with models of embed and rerank, and jobs."""
    return await loaded(await start(OCR_JOBS="embedded", OCR_JOBS_DIR=str(tmp_path / "queue"), **models.environment))


async def test_every_block_runs(everything, folder, capsys):
    for block in BLOCKS:
        names = {"URL": everything.url, "KEY": None}
        await asyncio.to_thread(exec, compile(block, PAGE.name, "exec"), names)
        if "read_all" in names:
            documents = await names["read_all"](["scan.pdf", "scan.pdf"])
            assert [one.page_count for one in documents] == [4, 4]
            assert await names["first_page"]("scan.pdf") == documents[0].pages[0].text
    printed = capsys.readouterr().out
    for said in (
        "fast-path",
        "paragraph ",
        "4 pages",
        "page 4: ",
        "job's page 4: ",
        "done 4 4 ",
        "scan.pdf done ",
        "32 indices=",
        "422 document_encrypted",
        " ok\n",
    ):
        assert said in printed
    assert len(BLOCKS) == 8


def test_every_exception_has_its_line():
    kinds = [name for name in client.__all__ if name.endswith("Error")]
    assert columns(PAGE, "## What can go wrong") == sorted((name,) for name in kinds)
    tree = failures.__doc__.partition("::")[2]
    assert sorted(re.findall(r"\w+Error\b", tree.replace("OSError", ""))) == sorted(kinds)


def test_every_call_about_jobs_has_its_line():
    assert columns(PAGE, "## Jobs") == sorted((name,) for name in vars(JobCalls) if not name.startswith("_"))


def test_every_default_is_the_one_that_holds():
    defaults = Client.__init__.__kwdefaults__
    assert {name: float(default) for name, default, _ in rows(PAGE, "## A busy service, and time")} == defaults
