from datetime import UTC, datetime

import pytest

from controller.mirror.facts import MirrorFacts
from controller.ops.health import Facts, is_alive, mirror_alone, readiness

SINCE = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("facts", "reasons"),
    [
        (Facts(is_crd_there=True), []),
        (Facts(is_crd_there=False, waiting=["ocr"]), [{"reason": "crd-missing"}]),
        (Facts(is_crd_there=True, waiting=["ocr"]), [{"reason": "not-reconciled-yet", "about": "ocr"}]),
        (Facts(is_crd_there=False, waiting=["ocr"], stands_by=True), []),
        (
            Facts(is_crd_there=False, stands_by=True, lease_problem="get leases: 403"),
            [{"reason": "lease-failing", "about": "get leases: 403"}],
        ),
        (
            Facts(is_crd_there=True, waiting=["ocr"], failing={"ocr": ("BusyError", SINCE)}),
            [{"reason": "reconcile-failing", "about": "ocr: BusyError", "since": "2026-01-01T00:00:00+00:00"}],
        ),
        (
            Facts(is_crd_there=True, database_down_since=SINCE),
            [{"reason": "database-unreachable", "since": "2026-01-01T00:00:00+00:00"}],
        ),
        (
            Facts(is_crd_there=True, watch_ages_s={"pods": 181.4, "ocrprofiles": 3}, longest_watch_s=180),
            [{"reason": "watch-silent", "about": "pods: 181 s"}],
        ),
    ],
)
def test_reasons_say_what_is_wrong_with_what_and_since_when(facts, reasons):
    assert [reason.render() for reason in readiness(facts)] == reasons


def test_a_loop_that_stands_still_is_not_alive():
    assert is_alive(Facts(is_crd_there=True, oldest_beat_s=10, longest_beat_s=120))
    assert not is_alive(Facts(is_crd_there=True, oldest_beat_s=121, longest_beat_s=120))


@pytest.mark.parametrize(
    ("mirror", "reasons"),
    [
        (MirrorFacts(), [{"reason": "not-reconciled-yet", "about": "/profiles"}]),
        (MirrorFacts(last_read=SINCE), []),
        (
            MirrorFacts(last_read=SINCE, cluster_reason="full"),
            [{"reason": "reconcile-failing", "about": "/profiles: full"}],
        ),
        (
            MirrorFacts(last_read=SINCE, down_since=SINCE),
            [{"reason": "database-unreachable", "since": "2026-01-01T00:00:00+00:00"}],
        ),
    ],
)
def test_a_mirror_alone_is_ready_once_it_reads_and_writes(mirror, reasons):
    assert [reason.render() for reason in readiness(mirror_alone(mirror, "/profiles", 0, 120))] == reasons


def test_a_mirror_alone_that_hangs_is_not_alive():
    assert [is_alive(mirror_alone(MirrorFacts(), "/profiles", still_s, 120)) for still_s in (120, 121)] == [True, False]
