"""The spool: names of our own, nothing left behind, and the folders of the living left alone."""

import fcntl
import os
import resource
import subprocess
import sys
import time

import pytest

from sidecar.documents.spool import NEW_GRACE_S, NEW_PREFIX, RUN_PREFIX, Spool, SpoolError
from sidecar.errors import QueueFullError, StorageError, TooLargeError

MANY = 2**40

OPEN_AND_WAIT = """
import sys
from pathlib import Path
from sidecar.documents.spool import Spool
spool = Spool(Path(sys.argv[1]))
spool.open()
with spool.file(100) as file:
    file.write(b"a document")
    print(spool.folder, flush=True)
    sys.stdin.read()
spool.close()
"""
OPEN_AND_CLOSE = """
import sys, time
from pathlib import Path
from sidecar.documents.spool import Spool
end = time.monotonic() + 1.5
while time.monotonic() < end:
    spool = Spool(Path(sys.argv[1]))
    spool.open()
    with spool.file(100) as file:
        file.write(b"a document")
        assert file.path.read_bytes() == b"a document"
    spool.close()
"""
WRITE_TO_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from sidecar.errors import StorageError
from sidecar.errors import StorageError
from sidecar.documents.spool import Spool
spool = Spool(Path(sys.argv[1]))
spool.open()
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
with spool.file(2000) as file:
    try:
        file.write(bytes(1500))
    except StorageError:
        print("refused")
    else:
        print(file.path.stat().st_size)
"""


@pytest.fixture
def base(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def spool(base):
    spool = Spool(base)
    spool.open()
    yield spool
    spool.close()


@pytest.fixture
def other_process(base):
    """Another process whose spool is open, and the folder it has."""
    with subprocess.Popen(
        [sys.executable, "-c", OPEN_AND_WAIT, base], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            folder = process.stdout.readline().strip()
            assert folder
            yield process, base / os.path.basename(folder)  # noqa: PTH119
        finally:
            process.kill()


def in_spool(base):
    return sorted(path.name for path in base.rglob("*") if not path.is_dir())


# ── files ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_holds_what_was_written_until_the_end_of_its_block(spool, base):
    with spool.file(MANY) as file:
        file.write(b"one ")
        file.write(bytearray(b"two"))
        assert file.path.read_bytes() == b"one two"
        assert file.path.parent == spool.folder
        assert in_spool(base) == [file.path.name]
    assert in_spool(base) == []


def test_names_are_ours_and_differ(spool):
    with spool.file(MANY) as one, spool.file(MANY) as two:
        assert (one.path.name, two.path.name) == ("document-1", "document-2")
        assert one.path != two.path


def test_a_file_is_removed_when_its_block_fails(spool, base):
    with pytest.raises(ZeroDivisionError), spool.file(MANY) as file:
        raise ZeroDivisionError(file.write(b"x"))
    assert in_spool(base) == []
    assert spool.used_bytes == 0


def test_a_file_that_is_gone_before_the_end_of_its_block_is_no_error(spool):
    with spool.file(MANY) as file:
        file.write(b"x")
        file.path.unlink()
    assert spool.used_bytes == 0


def test_folder_and_files_are_for_this_user_alone(spool, base):
    with spool.file(MANY):
        assert [path.stat().st_mode & 0o077 for path in (base, spool.folder)] == [0, 0]


def test_no_descriptor_is_left_open(base):
    def descriptors():
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    before = descriptors()
    spool = Spool(base)
    spool.open()
    with spool.file(MANY) as file:
        file.write(b"x")
    spool.close()
    assert descriptors() == before


# ── how much it may hold ──────────────────────────────────────────────────────────────────────────────────────────


def test_all_documents_together_are_bounded_and_what_ends_makes_room(base):
    spool = Spool(base, max_bytes=10)
    spool.open()
    with spool.file(MANY) as one:
        one.write(bytes(6))
        with spool.file(MANY) as two:
            two.write(bytes(4))
            with pytest.raises(QueueFullError):
                one.write(b"x")
            assert spool.used_bytes == 10
        assert spool.used_bytes == 6
        one.write(bytes(4))
    assert spool.used_bytes == 0
    spool.close()


def test_a_document_that_does_not_fit_is_told_when_to_come_back(base):
    with pytest.raises(QueueFullError) as caught:
        Spool(base, max_bytes=10).count(11)
    assert caught.value.retry_after_s >= 1


def test_a_document_of_the_greatest_size_is_taken_and_one_byte_more_is_not(spool):
    with spool.file(10) as file:
        file.write(bytes(10))
        with pytest.raises(TooLargeError):
            file.write(b"x")
        assert (file.size_bytes, spool.used_bytes) == (10, 10)


def test_what_a_cancelled_request_writes_too_late_is_not_counted_for_ever(spool):
    with spool.file(MANY) as file:
        file.write(b"x")
    with pytest.raises(StorageError):
        file.write(b"too late")
    assert spool.used_bytes == 0


def test_a_document_that_the_disk_takes_only_in_part_is_never_taken_for_the_whole(base):
    command = [sys.executable, "-c", WRITE_TO_A_FULL_DISK, base]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert ended.stdout.strip() == "refused"
    assert resource.getrlimit(resource.RLIMIT_FSIZE) != (1000, 1000)


# ── folders ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_closing_removes_everything_even_a_file_that_is_still_there(base):
    spool = Spool(base)
    spool.open()
    (spool.folder / "document-99").write_bytes(b"x")
    spool.close()
    assert not base.exists()


def test_closing_leaves_alone_what_is_not_ours(base):
    base.mkdir()
    (base / "somebody-elses").write_text("x")
    spool = Spool(base)
    spool.open()
    spool.close()
    assert [path.name for path in base.iterdir()] == ["somebody-elses"]


def test_a_spool_that_never_opened_removes_nothing_when_it_is_closed(base):
    base.mkdir()
    (base / "somebody-elses").write_text("x")
    Spool(base).close()
    assert [path.name for path in base.iterdir()] == ["somebody-elses"]


def test_the_folder_of_a_killed_process_is_cleared_away_by_the_next(base, other_process):
    process, folder = other_process
    process.kill()
    process.wait(timeout=10)
    assert in_spool(base) == ["document-1"]
    spool = Spool(base)
    spool.open()
    assert list(base.iterdir()) == [spool.folder]
    assert not folder.exists()
    spool.close()


def test_the_folder_of_a_living_process_is_left_alone(base, other_process, spool):
    process, folder = other_process
    second = Spool(base)
    second.open()
    assert (folder / "document-1").read_bytes() == b"a document"
    assert spool.folder.exists()
    second.close()
    process.communicate("", timeout=10)
    assert process.returncode == 0
    assert not folder.exists()


@pytest.mark.parametrize(("age_s", "stays"), [(0, True), (NEW_GRACE_S - 10, True), (NEW_GRACE_S + 10, False)])
def test_a_folder_that_is_being_made_is_cleared_away_once_it_is_old(base, age_s, stays):
    new = base / f"{NEW_PREFIX}1"
    new.mkdir(parents=True)
    os.utime(new, (time.time() - age_s,) * 2)
    spool = Spool(base)
    spool.open()
    assert new.exists() is stays
    spool.close()


def test_a_folder_in_use_has_its_final_name_and_is_locked(spool):
    assert spool.folder.name.startswith(RUN_PREFIX)
    folder = os.open(spool.folder, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(folder)


@pytest.mark.parametrize("left", [(), ("document-7",), ("lock",)])
def test_a_folder_that_a_killed_process_had_half_removed_is_cleared_away(base, left):
    """Whatever of it was removed first, and however young it is: no process holds it."""
    half_removed = base / f"{RUN_PREFIX}1"
    half_removed.mkdir(parents=True)
    for name in left:
        (half_removed / name).write_bytes(b"x")
    spool = Spool(base)
    spool.open()
    assert list(base.iterdir()) == [spool.folder]
    spool.close()


def test_a_folder_in_use_stays_even_where_somebody_removed_all_that_was_in_it(base, other_process):
    process, folder = other_process
    for path in folder.iterdir():
        path.unlink()
    os.utime(folder, (time.time() - 10 * NEW_GRACE_S,) * 2)
    spool = Spool(base)
    spool.open()
    assert folder.exists()
    spool.close()
    process.communicate("", timeout=10)
    assert process.returncode == 0


def test_a_link_with_the_name_of_a_run_is_left_alone(base, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").touch()
    base.mkdir()
    (base / f"{RUN_PREFIX}1").symlink_to(tmp_path / "elsewhere")
    spool = Spool(base)
    spool.open()
    assert (tmp_path / "elsewhere" / "file").exists()
    spool.close()


def test_processes_that_come_and_go_at_the_same_time_do_not_disturb_each_other(base):
    processes = [
        subprocess.Popen([sys.executable, "-c", OPEN_AND_CLOSE, base], stderr=subprocess.PIPE) for _ in range(4)
    ]
    errors = [process.communicate(timeout=60)[1].decode().splitlines()[-1:] for process in processes]
    assert errors == [[]] * 4


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to somebody else")
def test_a_folder_of_somebody_else_is_refused(base):
    base.mkdir()
    os.chown(base, 12345, 12345)
    with pytest.raises(SpoolError, match="belongs to another user: set OCR_SPOOL_DIR"):
        Spool(base).open()
    assert list(base.iterdir()) == []


def test_a_link_is_not_followed_to_a_folder_that_is_cleared_as_if_it_were_ours(base, tmp_path):
    """In a folder that all write to, anybody can lay a link where the spool will be looked for."""
    results = tmp_path / "home" / f"{NEW_PREFIX}results"
    results.mkdir(parents=True)
    os.utime(results, (time.time() - NEW_GRACE_S - 10,) * 2)
    base.symlink_to(results.parent)

    with pytest.raises(SpoolError, match="is a link: set OCR_SPOOL_DIR to a folder itself"):
        Spool(base).open()

    assert [path.name for path in results.parent.iterdir()] == [results.name]


@pytest.mark.parametrize("place", ["/dev/null/spool", "/proc/spool"])
def test_a_folder_that_cannot_be_made_is_told(place, tmp_path):
    with pytest.raises(SpoolError, match="the spool folder "):
        Spool(type(tmp_path)(place)).open()
