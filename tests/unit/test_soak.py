"""The soak: each figure that must hold is missed when it does not; whom it sends, and what it weighs."""

import mmap
import os
from pathlib import Path

import pytest

from tools.soak import requests
from tools.soak.__main__ import KINDS, work
from tools.soak.ledger import End, Ledger, ModelMemory, figures, quantile, slope_mb_a_minute, slopes
from tools.soak.watch import anonymous_mb

FLAT = [(float(second), 100.0) for second in range(600)]
RISING = [(float(second), 100 + 0.2 * second / 60) for second in range(600)]


def missed(**changed) -> list[str]:
    """The figures that are not held of a soak that was well but for this."""
    ledger = changed.pop("ledger", Ledger())
    ledger.answered("digital", 200, b"{}")
    seen = {
        "memory": {"the service": FLAT, "its workers": FLAT},
        "livez_s": [0.01] * 1000,
        "livez_failed": 0,
        "left_in_spool": [],
        "exit_status": 0,
    }
    return [one.name for one in figures(ledger, **seen | changed) if not one.held]


def test_a_soak_that_was_well_misses_nothing():
    assert missed() == []


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"memory": {"the service": RISING}}, "anonymous memory of the service"),
        ({"memory": {"its workers": RISING}}, "anonymous memory of its workers"),
        ({"memory": {"the service": []}}, "anonymous memory of the service"),
        ({"livez_s": [0.01] * 900 + [0.3] * 100}, "/livez p99"),
        ({"livez_s": []}, "/livez p99"),
        ({"livez_failed": 1}, "/livez not answered"),
        ({"left_in_spool": ["document-1"]}, "documents left"),
        ({"exit_status": None}, "exit status"),
        ({"exit_status": 1}, "exit status"),
    ],
)
def test_each_figure_is_missed_when_it_does_not_hold(changed, name):
    (found,) = missed(**changed)
    assert found.startswith(name)


def test_a_lost_request_is_missed_and_one_that_left_is_not():
    ledger = Ledger()
    ledger.ended(End.LEFT)
    ledger.ended(End.IN_THE_AIR)
    assert missed(ledger=ledger) == []
    ledger.ended(End.LOST, "digital")
    assert [one.strip() for one in missed(ledger=ledger)] == ["lost (0)"]


@pytest.mark.parametrize(("status", "body"), [(500, b""), (200, b'{"error": "internal_error"}')])
def test_an_internal_error_is_missed_wherever_it_shows(status, body):
    ledger = Ledger()
    ledger.answered("digital", status, body)
    assert [one.partition(" (")[0] for one in missed(ledger=ledger)] == ["500s and internal errors"]


def test_a_slope_is_a_line_s_rise_in_a_minute():
    assert slope_mb_a_minute(RISING) == pytest.approx(0.2)
    assert slope_mb_a_minute(FLAT[:2]) == 0


def test_the_slope_of_each_part_tells_what_fills_from_what_leaks():
    filling = [(one, min(megabytes, 101.0)) for one, megabytes in RISING]
    assert slopes(RISING, 4) == pytest.approx([0.2] * 4)
    assert slopes(filling, 2) == pytest.approx([0.2, 0.0])


def test_a_quantile_is_one_of_the_values():
    assert quantile([float(one) for one in range(100)], 0.99) == 99


class Asked:
    """Stands where the soak has its crowd, its misfortunes or its watch: notes what is asked of it."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.made: set[object] = set()

    def __getattr__(self, name: str):
        def ask(*arguments: object) -> None:
            self.names.append(name)
            self.made |= {one for one in arguments if callable(one)}

        return ask


def asked(only: str | None) -> tuple[Asked, Asked, Asked]:
    crowd, misfortunes, watch = Asked(), Asked(), Asked()
    work(crowd, misfortunes, watch, 600, only)
    return crowd, misfortunes, watch


@pytest.mark.parametrize("only", KINDS)
def test_one_kind_of_callers_comes_alone_and_nothing_does_harm(only):
    crowd, misfortunes, watch = asked(only)
    assert (set(crowd.names), crowd.made) == ({"honest"}, {KINDS[only][0]})
    assert len(crowd.names) == KINDS[only][2]
    assert misfortunes.names == []
    assert sorted(watch.names) == ["ask_livez", "weigh"]


def test_everything_is_both_kinds_and_what_does_harm():
    crowd, misfortunes, watch = asked(None)
    assert set(crowd.names) == {"honest", "leaving", "slow_body", "slow_head", "idle"}
    assert crowd.made > {requests.document, requests.text}
    assert {"kill_workers", "restart"} < set(misfortunes.names)
    assert sorted(watch.names) == ["ask_livez", "weigh"]


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux tells it")
def test_what_is_weighed_is_what_was_written_and_no_file(tmp_path):
    size = 64 << 20
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    before_mb = anonymous_mb(os.getpid())
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert mapped.find(b"\1") == -1, "each of its pages was read"
        with_file_mb = anonymous_mb(os.getpid())
    assert with_file_mb - before_mb < 8
    # Pages straight from the kernel: memory that a test before this one freed would already be counted.
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as written:
        written.write(b"\1" * size)
        assert anonymous_mb(os.getpid()) - before_mb > 56


@pytest.mark.parametrize(
    ("full_mb", "is_judged", "held"), [(1250, True, True), (1251, True, False), (2000, False, True)]
)
def test_models_may_take_little_more_than_their_weights(full_mb, is_judged, held):
    found = ModelMemory(empty_mb=100, full_mb=full_mb, weights_mb=1000).figure(is_judged=is_judged)
    assert found.held == held
    assert f"({full_mb} less 100, of 1000 MB)" in found.value
