import math

import pytest

from controller.app import MAX_STILL_S
from controller.schedule.backoff import BUSY_WINDOW_S, CALM_WINDOW_S, LONGEST_BUSY_S, LONGEST_PAUSE_S, Backoff


def test_a_storm_widens_the_window_and_calm_narrows_it():
    backoff = Backoff(resync_s=30)
    windows = []
    for _ in range(6):
        windows.append(backoff.window_s)
        backoff = backoff.after_pass(is_settled=True, has_news=True)
    assert windows == [0.1, 0.2, 0.4, 0.8, 1.5, 1.5]
    assert max(windows) == BUSY_WINDOW_S
    assert backoff.after_pass(is_settled=True, has_news=False).window_s == CALM_WINDOW_S


def test_at_rest_nothing_is_looked_at_until_the_resync():
    assert Backoff(30).after_pass(is_settled=True, has_news=False).look_s == 30


def test_what_is_unsettled_is_looked_after_ever_later():
    backoff = Backoff(30)
    looks = []
    for _ in range(9):
        backoff = backoff.after_pass(is_settled=False, has_news=False)
        looks.append(backoff.look_s)
    assert looks == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert backoff.after_news().after_pass(is_settled=False, has_news=False).look_s == 0.5


def test_failures_pause_ever_longer_and_as_long_as_the_server_says():
    backoff = Backoff(30)
    pauses = []
    for _ in range(7):
        backoff = backoff.after_failure()
        pauses.append(backoff.pause_s)
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2, 2]
    assert max(pauses) == LONGEST_PAUSE_S
    assert Backoff(30).after_failure(retry_after_s=9).pause_s == 9
    assert backoff.after_pass(is_settled=True, has_news=False).pause_s == 0


@pytest.mark.parametrize("retry_after_s", [600, 86_400, 1e300, math.inf])
def test_a_server_that_wants_to_be_left_alone_for_long_is_asked_before_livez_takes_the_loop_for_stuck(retry_after_s):
    assert Backoff(30).after_failure(retry_after_s).pause_s == LONGEST_BUSY_S
    assert LONGEST_BUSY_S + BUSY_WINDOW_S < MAX_STILL_S
