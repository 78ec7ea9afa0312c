"""Lines are taken at once; what the disk does delays nobody, and is told."""

import threading
import time

import pytest

from sidecar.runtime.line_writer import LineWriter


class Disk:
    """A disk that a test fills, holds up, and empties."""

    def __init__(self) -> None:
        self.content = b""
        self.error: OSError | None = None
        self.answers = threading.Event()
        self.answers.set()

    def append(self, lines: bytes) -> None:
        assert self.answers.wait(10)
        if self.error:
            raise self.error
        self.content += lines


@pytest.fixture
def disk():
    return Disk()


def started(disk, **limits) -> LineWriter:
    writer = LineWriter(disk.append, **limits)
    writer.start()
    return writer


def finish(writer, within_s: float) -> None:
    writer.end(within_s)
    writer.finish()


def until(holds) -> None:
    ends_s = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < ends_s
        time.sleep(0.005)


def test_lines_are_written_in_their_order_before_the_end(disk):
    writer = started(disk)
    lines = [f"{number}\n".encode() for number in range(5000)]
    for line in lines:
        writer.put([line])
    finish(writer, 10)
    assert disk.content == b"".join(lines)
    assert (writer.waiting, writer.lost, writer.failure) == (0, 0, None)


def test_a_disk_that_cannot_be_written_is_told_before_the_first_line(disk):
    disk.error = OSError(30, "Read-only file system")
    writer = started(disk)
    until(lambda: writer.failure == "Read-only file system")
    assert writer.lost == 0


def test_lines_that_a_full_disk_does_not_take_are_counted_until_it_takes_some_again(disk):
    writer = started(disk)
    disk.error = OSError(28, "No space left on device")
    writer.put([b"one\n", b"two\n"])
    until(lambda: writer.waiting == 0)
    assert (writer.lost, writer.failure) == (2, "No space left on device")

    disk.error = None
    writer.put([b"three\n"])
    until(lambda: writer.waiting == 0)
    assert (writer.lost, writer.failure, disk.content) == (2, None, b"three\n")


def test_lines_that_wait_for_a_disk_are_bounded(disk):
    disk.answers.clear()
    writer = started(disk, max_waiting=3)
    writer.put([b"%d\n" % number for number in range(5)])
    assert (writer.waiting, writer.lost) == (3, 2)
    disk.answers.set()
    finish(writer, 10)
    assert disk.content == b"0\n1\n2\n"


def test_the_end_does_not_wait_for_a_disk_that_does_not_answer(disk):
    disk.answers.clear()
    writer = started(disk)
    writer.put([b"one\n"])
    began_s = time.monotonic()
    finish(writer, 0.1)
    assert time.monotonic() - began_s < 5
    assert writer.lost == 1
    disk.answers.set()
