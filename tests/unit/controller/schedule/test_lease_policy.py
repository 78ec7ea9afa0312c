"""Who may take the Lease, and what is written into it."""

from datetime import UTC, datetime

import pytest

from controller.schedule.lease_policy import Held, may_take, parse_lease, render_lease

NOW = datetime(2026, 11, 28, 12, 0, 0, 250_000, tzinfo=UTC)
OTHERS = Held("other", "2026-11-28T11:59:50.000000Z", 3, "7")


@pytest.mark.parametrize(
    ("held", "unchanged_s", "wanted"),
    [
        (None, 0, True),
        (Held("", "", 1, "7"), 0, True),
        (Held("me", "", 1, "7"), 0, True),
        (OTHERS, 0, False),
        (OTHERS, 15, False),
        (OTHERS, 15.1, True),
    ],
)
def test_it_is_taken_where_nobody_has_it_or_its_holder_is_silent(held, unchanged_s, wanted):
    assert may_take(held, "me", unchanged_s, 15) is wanted


def test_what_is_written_is_read_again():
    body = render_lease("ocr", "me", 15, NOW, None)
    body["metadata"]["resourceVersion"] = "8"
    assert parse_lease(body) == Held("me", "2026-11-28T12:00:00.250000Z", 0, "8")
    assert body["spec"]["leaseDurationSeconds"] == 15


def test_a_new_holder_is_one_more_transition_and_names_the_version_that_it_saw():
    body = render_lease("ocr", "me", 15, NOW, OTHERS)
    assert (body["spec"]["leaseTransitions"], body["metadata"]["resourceVersion"]) == (4, "7")
    again = render_lease("ocr", "me", 15, NOW, Held("me", "", 4, "8"))
    assert again["spec"]["leaseTransitions"] == 4


@pytest.mark.parametrize("spec", [None, {}, {"holderIdentity": None, "leaseTransitions": None}])
def test_a_lease_without_anything_was_given_back(spec):
    assert parse_lease({"metadata": {}, "spec": spec}) == Held("", "", 0, "")
