"""How long texts will take, as learnt from those before."""

import pytest

from sidecar.errors import InvalidValueError, QueueFullError
from sidecar.retrieval.pace import ENOUGH, Estimate, Pace, check_estimate


def test_nothing_is_known_at_first_and_each_device_has_its_own_pace():
    pace = Pace()
    for _ in range(ENOUGH):
        assert pace.core_s("cpu", 1000) == 0.0
        pace.learn("cpu", core_s=2.0, tokens=1000)
    assert pace.core_s("cpu", 500) == pytest.approx(1.0)
    assert pace.core_s("cuda", 500) == 0.0


def test_a_few_short_batches_that_were_slow_refuse_nobody():
    """The first batches of all are such: five tokens, and a second to compile the code for them."""
    pace = Pace()
    for _ in range(3):
        pace.learn("cpu", core_s=1.0, tokens=5)
    for _ in range(2):
        pace.learn("cpu", core_s=0.1, tokens=100)
    assert pace.core_s("cpu", 1000) == pytest.approx(1.0)


def test_the_pace_follows_a_machine_that_slows_down():
    pace = Pace()
    for core_s in (1.0,) * 20 + (3.0,) * 20:
        pace.learn("cpu", core_s, 1000)
    assert pace.core_s("cpu", 1000) == pytest.approx(3.0, rel=0.05)


@pytest.mark.parametrize(
    ("wait_s", "own_s", "refused"),
    [
        (0, 0, None),  # nothing is known
        (30, 500, None),
        (31, 1, QueueFullError),
        (29, 590, QueueFullError),  # too long altogether, because of others
        (0, 601, InvalidValueError),
        (31, 601, InvalidValueError),  # it would not help to come back
    ],
)
def test_what_would_take_too_long_is_refused_by_its_cause(wait_s, own_s, refused):
    if refused is None:
        check_estimate(Estimate(wait_s, own_s), 30, 600)
        return
    with pytest.raises(refused) as caught:
        check_estimate(Estimate(wait_s, own_s), 30, 600)
    assert f"about {own_s if refused is InvalidValueError else wait_s} s" in caught.value.detail
    assert caught.value.retry_after_s == (wait_s if refused is QueueFullError else None)
