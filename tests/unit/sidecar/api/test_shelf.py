"""Files that wait to be read: whose they are, for how long, and how many."""

import psutil
import pytest

from sidecar.api.dialects.shelf import MAX_FILES, MAX_FILES_EACH, Shelf
from sidecar.documents.spool import Spool
from sidecar.errors import QueueFullError, QuotaExhaustedError, UploadNotFoundError

MIB = 1024 * 1024


@pytest.fixture
def spool(tmp_path):
    one = Spool(tmp_path / "spool")
    one.open()
    yield one
    one.close()


def put(shelf: Shelf, content: bytes = b"a", caller: object = "one"):
    with shelf.receiving(MIB) as (file, held):
        file.write(content)
        return shelf.keep(file, held, "a.pdf", caller)


def test_a_file_is_found_by_its_owner_alone(spool):
    shelf = Shelf(spool, 60, MIB)
    kept = put(shelf, b"abc")
    assert shelf.find(kept.id, "one").path.read_bytes() == b"abc"
    for caller in ("two", None):
        with pytest.raises(UploadNotFoundError, match="there is no file of the id"):
            shelf.find(kept.id, caller)
    shelf.clear()


def test_a_file_whose_time_is_over_is_not_found_though_nobody_has_tidied_up(spool):
    shelf = Shelf(spool, 0, MIB)
    kept = put(shelf)
    with pytest.raises(UploadNotFoundError, match="files are kept for 0 s"):
        shelf.find(kept.id, "one")
    assert (spool.used_bytes, kept.path.exists()) == (0, False)


def test_files_that_are_kept_take_no_descriptors(spool):
    shelf = Shelf(spool, 60, MIB)
    before = psutil.Process().num_fds()
    for _ in range(20):
        put(shelf)
    assert psutil.Process().num_fds() == before
    shelf.clear()


def test_what_is_not_kept_leaves_nothing_behind(spool):
    shelf = Shelf(spool, 60, MIB)
    with shelf.receiving(MIB) as (file, _):
        file.write(b"abc")
    assert (spool.used_bytes, shelf.size_bytes) == (0, 0)
    put(shelf, bytes(MIB - 1))
    with pytest.raises(QueueFullError, match="the files that are kept have 1048575 bytes"):
        put(shelf, b"ab")
    assert spool.used_bytes == shelf.size_bytes == MIB - 1
    shelf.clear()


def test_a_caller_and_all_callers_have_no_more_files_than_they_may(spool):
    shelf = Shelf(spool, 60, MIB)
    for number in range(MAX_FILES):
        put(shelf, caller=number // MAX_FILES_EACH)
    with pytest.raises(QuotaExhaustedError, match="100 files here"):
        shelf.refuse_if_full(0)
    with pytest.raises(QueueFullError, match="1000 files are kept"):
        shelf.refuse_if_full("another")
    shelf.clear()
    assert spool.used_bytes == 0
