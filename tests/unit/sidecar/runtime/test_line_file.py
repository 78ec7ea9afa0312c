"""A file of lines is bounded, whole, and shared by processes."""

import errno
import multiprocessing
import os
import resource
from itertools import pairwise

import pytest

from sidecar.runtime.line_file import LineFile

KIB = 1024


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lines"


def lines_in(path) -> list[bytes]:
    """The lines of all files, the oldest first."""
    numbered = sorted(path.parent.glob("lines.*"), key=lambda one: -int(one.suffix[1:]))
    return b"".join(one.read_bytes() for one in [*numbered, path] if one.exists()).splitlines(keepends=True)


def test_lines_are_appended(path):
    LineFile(path, KIB, 3).append(b"one\n")
    LineFile(path, KIB, 3).append(b"two\nthree\n")
    assert path.read_bytes() == b"one\ntwo\nthree\n"
    assert path.stat().st_mode & 0o777 == 0o600, "only the service's user reads it"


def test_a_full_file_gives_way_to_the_next_and_the_oldest_is_deleted(path):
    file = LineFile(path, 10, 3)
    for number in range(5):
        file.append(f"line {number}\n".encode())
    assert lines_in(path) == [b"line 2\n", b"line 3\n", b"line 4\n"]
    assert sorted(one.name for one in path.parent.iterdir()) == ["lines", "lines.1", "lines.2"]


def test_one_file_alone_begins_anew(path):
    file = LineFile(path, 10, 1)
    for number in range(3):
        file.append(f"line {number}\n".encode())
    assert [one.name for one in path.parent.iterdir()] == ["lines"]
    assert path.read_bytes() == b"line 2\n"


def test_what_is_larger_than_a_file_is_written_all_the_same(path):
    LineFile(path, 10, 2).append(b"x" * 100 + b"\n")
    assert path.stat().st_size == 101


def test_a_file_that_somebody_moved_away_is_made_again(path):
    file = LineFile(path, KIB, 2)
    file.append(b"one\n")
    path.rename(path.with_name("taken"))
    file.append(b"two\n")
    assert path.read_bytes() == b"two\n"


def test_a_link_is_not_followed(path):
    path.symlink_to(path.with_name("elsewhere"))
    with pytest.raises(OSError) as failed:  # noqa: PT011 - the number says which
        LineFile(path, KIB, 2).append(b"one\n")
    assert failed.value.errno == errno.ELOOP


def write_numbers(path, together, writer: int, count: int) -> None:
    together.wait(60)
    file = LineFile(path, 3 * KIB, 1000)
    for number in range(count):
        file.append(f"{writer} {number} {'x' * 90}\n".encode())


def test_processes_tear_no_line_and_lose_none(path):
    count, context = 800, multiprocessing.get_context("spawn")
    together = context.Barrier(3)
    writers = [context.Process(target=write_numbers, args=(path, together, one, count)) for one in range(3)]
    for one in writers:
        one.start()
    for one in writers:
        one.join(60)
    found = [line.split() for line in lines_in(path)]
    assert sorted((int(one), int(number)) for one, number, _ in found) == [
        (one, number) for one in range(3) for number in range(count)
    ]
    for writer in range(3):
        numbers = [int(number) for one, number, _ in found if int(one) == writer]
        assert all(earlier < later for earlier, later in pairwise(numbers)), "in their order"


def write_over_the_limit(path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    file = LineFile(path, KIB, 2)
    file.append(b"whole\n")
    try:
        file.append(b"x" * 200 + b"\n")
    except OSError as exc:
        os._exit(exc.errno or 0)


def test_what_does_not_fit_on_the_disk_leaves_no_torn_line(path):
    writer = multiprocessing.get_context("spawn").Process(target=write_over_the_limit, args=(path,))
    writer.start()
    writer.join(60)
    assert writer.exitcode == errno.EFBIG
    assert path.read_bytes() == b"whole\n"
