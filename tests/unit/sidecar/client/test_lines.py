"""Lines as they arrive."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.client.lines import LineSplitter, LineTooLongError


@given(st.lists(st.binary(max_size=20)), st.integers(1, 7))
def test_however_a_body_is_cut_its_lines_are_the_same(lines, size):
    lines = [line.replace(b"\n", b"") for line in lines]
    body = b"".join(line + b"\n" for line in lines) + b"rest"
    splitter = LineSplitter(100)
    found = [line for start in range(0, len(body), size) for line in splitter.feed(body[start : start + size])]
    assert (found, splitter.rest) == (lines, b"rest")


def test_a_line_that_is_too_long_is_told_before_its_end():
    splitter = LineSplitter(10)
    assert splitter.feed(b"1234567890\n1234567890") == [b"1234567890"]
    with pytest.raises(LineTooLongError):
        splitter.feed(b"1")


@pytest.mark.alone
def test_a_long_line_takes_time_that_grows_with_its_length_alone():
    splitter = LineSplitter(64 * 1024 * 1024)
    begun = time.process_time()
    for _ in range(1000):
        splitter.feed(b" " * 65_000)
    assert len(splitter.feed(b"\n")[0]) == 65_000_000
    assert time.process_time() - begun < 2
