import pytest

from sidecar.runtime.circuit_breaker import FAILURES_IN_A_ROW, OPEN_S, CircuitBreaker
from tools.fakes.ollama import ManualClock


def opened() -> tuple[CircuitBreaker, ManualClock]:
    clock = ManualClock()
    circuit = CircuitBreaker(clock)
    for _ in range(FAILURES_IN_A_ROW):
        assert circuit.admit()
        circuit.failed()
    return circuit, clock


def test_calls_pass_until_five_failed_in_a_row():
    circuit = CircuitBreaker(ManualClock())
    for _ in range(4):
        circuit.failed()
        assert (circuit.admit(), circuit.is_open) == (True, False)
    circuit.failed()
    assert (circuit.admit(), circuit.is_open) == (False, True)


def test_one_answer_forgets_the_failures_before_it():
    circuit = CircuitBreaker(ManualClock())
    for _ in range(3):
        for _ in range(4):
            circuit.failed()
        assert circuit.admit()
        circuit.succeeded()


def test_a_caller_that_left_counts_neither_way():
    circuit = CircuitBreaker(ManualClock())
    for _ in range(4):
        circuit.failed()
    for _ in range(10):
        circuit.cancelled()
    assert circuit.admit()
    circuit.failed()
    assert not circuit.admit()


@pytest.mark.parametrize(("later_s", "admitted"), [(0, False), (9.99, False), (10, True), (3600, True)])
def test_after_ten_seconds_one_call_may_try(later_s, admitted):
    circuit, clock = opened()
    clock.advance(later_s)
    assert (circuit.admit(), circuit.admit(), circuit.is_open) == (admitted, False, True)


def test_the_try_that_succeeds_closes_it():
    circuit, clock = opened()
    clock.advance(OPEN_S)
    circuit.admit()
    circuit.succeeded()
    assert (circuit.admit(), circuit.admit(), circuit.is_open) == (True, True, False)


def test_the_try_that_fails_opens_it_for_another_ten_seconds():
    circuit, clock = opened()
    clock.advance(OPEN_S)
    circuit.admit()
    circuit.failed()
    clock.advance(9.99)
    assert not circuit.admit()
    clock.advance(0.01)
    assert circuit.admit()


def test_the_try_whose_caller_left_leaves_the_try_to_the_next():
    circuit, clock = opened()
    clock.advance(OPEN_S)
    circuit.admit()
    circuit.cancelled()
    assert (circuit.admit(), circuit.admit()) == (True, False)


def test_after_it_closed_it_takes_five_failures_again():
    circuit, clock = opened()
    clock.advance(OPEN_S)
    circuit.admit()
    circuit.succeeded()
    for _ in range(4):
        circuit.failed()
    assert circuit.admit()


@pytest.mark.parametrize(("later_s", "retry_after_s"), [(0, 10), (0.5, 10), (1, 9), (9.5, 1), (10, 1), (100, 1)])
def test_who_is_turned_away_hears_when_the_next_call_may_try(later_s, retry_after_s):
    circuit, clock = opened()
    clock.advance(later_s)
    assert circuit.retry_after_s == retry_after_s


def test_calls_are_held_back_for_ten_seconds_and_no_longer_even_if_nobody_calls():
    circuit, clock = opened()
    assert circuit.holds_back
    clock.advance(OPEN_S - 0.01)
    assert circuit.holds_back
    clock.advance(0.01)
    assert (circuit.holds_back, circuit.is_open) == (False, True)


def test_an_earlier_call_that_fails_late_lets_no_second_one_try():
    circuit, clock = opened()
    clock.advance(OPEN_S)
    assert circuit.admit()
    circuit.failed(was_probe=False)
    clock.advance(OPEN_S)
    assert not circuit.admit()
