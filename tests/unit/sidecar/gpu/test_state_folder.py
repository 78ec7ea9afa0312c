"""What outlives the process: real files in real folders, and folders that cannot be used."""

import json
import subprocess
import sys
from typing import Literal

import pytest
from pydantic import BaseModel

from sidecar.gpu.need import NeedKey, learn_peak
from sidecar.gpu.need_book import NeedBook
from sidecar.gpu.state_folder import StateFile, StateFolder
from sidecar.runtime.blocking_pool import BlockingPool
from tests.conftest import until

KEY = NeedKey(gpu="GPU-1", model="sha", num_ctx=0, longest_side=0)
LOCKER = """
import asyncio, sys
from pathlib import Path
from sidecar.gpu.state_folder import StateFolder
from sidecar.runtime.blocking_pool import BlockingPool

async def main():
    folder = StateFolder(Path(sys.argv[1]), BlockingPool("state", 1))
    print(await folder.lock("a.lock"), flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


class Note(BaseModel):
    version: Literal[1] = 1
    text: str


def opened(path) -> StateFolder:
    return StateFolder(path, BlockingPool("state", 1))


async def test_what_was_saved_is_there_for_the_next_process(tmp_path):
    folder = opened(tmp_path / "new" / "state")
    await folder.open()
    assert await StateFile(folder, "note.json", Note).save(Note(text="ก"))
    assert await StateFile(opened(tmp_path / "new" / "state"), "note.json", Note).load() == Note(text="ก")
    assert sorted(path.name for path in (tmp_path / "new" / "state").iterdir()) == [".written", "note.json"]


@pytest.mark.parametrize(
    "content", [b"\x00\xff", b"{}", b'{"version": 2, "text": "a"}', b"[1", b'{"version": 1, "text": "a']
)
async def test_a_file_that_cannot_be_understood_is_set_aside_and_begun_anew(tmp_path, content):
    (tmp_path / "note.json").write_bytes(content)
    folder = opened(tmp_path)
    file = StateFile(folder, "note.json", Note)
    assert await file.load() is None
    assert (tmp_path / "note.json.unreadable").read_bytes() == content
    assert folder.failure is None
    assert await file.save(Note(text="b"))
    assert await file.load() == Note(text="b")


async def test_without_a_folder_nothing_is_kept():
    file = StateFile(None, "note.json", Note)
    assert (await file.load(), await file.save(Note(text="a"))) == (None, False)


async def test_a_folder_that_cannot_be_written_says_so_until_it_can(tmp_path):
    (tmp_path / "state").write_text("a file, not a folder")
    folder = opened(tmp_path / "state")
    await folder.open()
    assert folder.failure == "the state folder cannot be used: File exists"
    assert await folder.write("a", b"1") is False
    (tmp_path / "state").unlink()
    (tmp_path / "state").mkdir()
    assert await folder.write("a", b"1") is True
    assert folder.failure is None


async def test_one_process_has_the_lock_and_a_dead_one_does_not(tmp_path):
    command = [sys.executable, "-c", LOCKER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        try:
            assert first.stdout.readline() == "True\n"
            folder = opened(tmp_path)
            assert await folder.lock("a.lock") is False
            assert await folder.lock("b.lock") is True
        finally:
            first.kill()
            first.wait()
        assert await folder.lock("a.lock") is True
        assert await folder.lock("a.lock") is True
        folder.close()


async def test_a_need_is_learned_by_one_process_and_known_to_the_next(tmp_path):
    book = NeedBook(opened(tmp_path), clock=lambda: 1000.0)
    await book.open()
    book.change(KEY, lambda need, now_s: learn_peak(need, 2, 14_300, now_s))
    await book.close()
    assert book.requirement(KEY, 2, 4000).mb == 14_300

    later = NeedBook(opened(tmp_path), clock=lambda: 2000.0)
    await later.open()
    assert later.requirement(KEY, 2, 4000).mb == 14_300
    assert later.requirement(KEY.model_copy(update={"gpu": "GPU-2"}), 2, 4000).mb == 4000


async def test_what_is_learned_while_it_is_saved_is_saved_too(tmp_path):
    book = NeedBook(opened(tmp_path), clock=lambda: 1000.0)
    for mb in range(9000, 9020):
        book.change(KEY, lambda need, now_s, mb=mb: learn_peak(need, 1, mb, now_s))
    await until((tmp_path / "need.json").exists)
    await book.close()
    kept = json.loads((tmp_path / "need.json").read_text())
    assert kept["needs"][0]["peaks"]["1"][-1] == {"mb": 9019, "at_s": 1000.0}


async def test_needs_are_not_kept_without_bound():
    book = NeedBook(clock=lambda: 0.0)
    for number in range(100):
        book.change(KEY.model_copy(update={"model": str(number)}), lambda need, now_s: learn_peak(need, 1, 5000, now_s))
    known = [book.requirement(KEY.model_copy(update={"model": str(n)}), 1, 4000).is_seen for n in range(100)]
    assert known == [False] * 36 + [True] * 64
