"""When a busy service is asked again."""

from datetime import UTC, datetime

import pytest

from sidecar.client.failures import parse_error
from sidecar.client.retries import SHORTEST_S, next_pause_s, parse_retry_after

NOW = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("0", 0),
        ("Sat, 28 Nov 2026 12:00:30 GMT", 30),
        ("Sat, 28 Nov 2026 12:00:30", 30),  # without a zone: UTC, as HTTP has no other
        ("Sat, 28 Nov 2026 11:00:00 GMT", 0),
        ("9" * 400, 999_999_999),
    ],
)
def test_a_number_and_a_date_tell_when(header, seconds):
    assert parse_retry_after(header, NOW) == seconds


@pytest.mark.parametrize(
    "header",
    [
        *(None, "", "-1", "1.5", "soon", "nan", "inf", "٣", "Sat, 99 Nov 2026 12:00:00 GMT"),
        f"Mon, 01 Jan {'9' * 23} 00:00:00 GMT",
        f"Mon, 01 Jan 2024 {'9' * 23}:00:00 GMT",
        f"Mon, 01 Jan 2024 00:00:00 +{'9' * 23}",
    ],
)
def test_anything_else_tells_nothing(header):
    assert parse_retry_after(header, NOW) is None


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("told_s", "pause_s"), [(5.0, 5.0), (0.0, SHORTEST_S), (119.9, 119.9)])
def test_a_busy_service_is_asked_again_when_it_said(status, told_s, pause_s):
    assert next_pause_s(parse_error(status, b"", told_s), patience_s=120, chance=0) == pause_s


@pytest.mark.parametrize(
    ("status", "told_s"), [(429, None), (503, None), (429, 120.0), (503, 600.0), (500, 1.0), (502, 1.0), (422, 1.0)]
)
def test_what_says_nothing_or_takes_too_long_or_cannot_help_is_told_at_once(status, told_s):
    assert next_pause_s(parse_error(status, b"", told_s), patience_s=120, chance=0) is None


def test_callers_come_back_spread_out_and_never_after_their_time():
    error = parse_error(429, b"", 10.0)
    assert [next_pause_s(error, 100, chance) for chance in (0, 0.5, 1)] == [10, 11.25, 12.5]
    assert next_pause_s(error, 11, 1) == 11


def test_without_patience_nothing_is_asked_twice():
    assert next_pause_s(parse_error(429, b"", 0.0), patience_s=0, chance=0) is None
