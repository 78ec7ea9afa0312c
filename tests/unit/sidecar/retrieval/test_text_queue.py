"""Whose turn it is in the queue of one model."""

from sidecar.retrieval.model import Tokens
from sidecar.retrieval.text_queue import TextQueue


def texts(count, length=10):
    return [Tokens([0] * length)] * count


def take_one(queue):
    """Take the first text, as a policy does that makes batches of one; return whose it is."""
    queue.lengths()
    return queue.take([0])[0].call


def test_the_shortest_request_comes_first_and_equal_ones_as_they_came():
    queue = TextQueue()
    for call, count in (("array", 5), ("pair", 2), ("one", 1), ("other", 1)):
        queue.add(call, texts(count))
    assert [take_one(queue) for _ in range(9)] == ["one", "other", "pair", "pair", *["array"] * 5]


def test_a_text_behind_two_arrays_that_are_half_done_is_the_next_one():
    """Arrays that were due at their end were both due at once when half of each was done."""
    queue = TextQueue()
    queue.add("first", texts(100))
    queue.add("second", texts(101))
    for _ in range(150):
        take_one(queue)
    queue.add("one", texts(1))
    assert take_one(queue) == "one"


def test_a_text_waits_for_one_batch_more_at_most_while_an_array_is_overdue():
    queue = TextQueue()
    queue.add("array", texts(40))
    waited = []
    for number in range(200):
        queue.add(number, texts(1))
        order = [take_one(queue)]
        if number % 2 or order == ["array"]:  # two thirds of what is computed are such texts, then less
            order.append(take_one(queue)) if len(queue) else None
        waited.append(order.index(number))
    assert max(waited) == 1
    assert len(queue) == 0


def test_an_array_that_is_overtaken_all_the_time_has_every_second_batch():
    queue = TextQueue()
    queue.add("array", texts(10))
    order = []
    for number in range(60):
        queue.add(number, texts(1))
        order.append(take_one(queue))
    first = order.index("array")
    assert first == 2 * 10 + 1  # until then twice as many others as it has itself
    assert [one == "array" for one in order[first : first + 16]] == [True, False] * 8


def test_what_is_put_back_counts_as_if_it_had_never_been_taken():
    queue = TextQueue()
    queue.add("array", texts(3))
    queue.lengths()
    taken = queue.take([0, 1])
    assert (len(queue), queue.tokens_before(10)) == (1, 10)
    queue.put_back(taken)
    assert (len(queue), queue.tokens_before(10), queue.tokens_before(30)) == (3, 0, 30)
    queue.add("pair", texts(2))
    assert [take_one(queue) for _ in range(3)] == ["pair", "pair", "array"]


# ── between callers ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_caller_does_not_wait_for_all_that_another_has_sent():
    queue = TextQueue()
    for number in range(100):
        queue.add(number, texts(1), "a")
    for _ in range(10):
        take_one(queue)
    for number in range(3):
        queue.add(f"b{number}", texts(1), "b")
    order = [str(take_one(queue)) for _ in range(7)]
    assert [one.startswith("b") for one in order] == [False, True, False, True, False, True, False]


def test_callers_lead_in_turn_by_tokens_whatever_the_size_of_their_requests():
    queue = TextQueue()
    queue.add("array", texts(40, length=20), "a")
    order = []
    for number in range(120):  # one short request after the other, each sent when the last was answered
        queue.add(number, texts(1, length=10), "b")
        while (one := take_one(queue)) != number:
            order.append(one)
        order.append(number)
    assert order.count("array") == 40
    taken_of_b = order[: len(order) - order[::-1].index("array")].count("array") * 2
    assert abs(taken_of_b - 80) <= 2, "while the array waits, as many tokens of each are taken"


def test_nobody_saves_up_turns():
    queue = TextQueue()
    for number in range(50):
        queue.add(number, texts(1), "a")
        take_one(queue)
    queue.add("a", texts(5), "a")
    queue.add("b", texts(5), "b")
    assert [take_one(queue) for _ in range(10)] in (["a", "b"] * 5, ["a", *["b", "a"] * 4, "b"])


def test_a_caller_whose_texts_filled_another_s_batch_has_had_them():
    queue = TextQueue()
    queue.add("a", texts(4), "a")
    queue.add("b", texts(4), "b")
    queue.lengths()
    queue.take([0, 4, 5, 6])  # one of a's, which led, and three of b's
    assert [take_one(queue) for _ in range(4)] == ["a", "a", "a", "b"]


def test_what_comes_before_a_request_is_the_own_and_as_much_of_each_other_caller():
    queue = TextQueue()
    queue.add("mine", texts(1), "a")
    queue.add("array", texts(100), "b")
    queue.add("pair", texts(2), "c")
    assert queue.tokens_before(30, "a") == 10 + 40 + 20
    assert queue.tokens_before(30, "d") == 30 + 20 + 10


def test_a_caller_that_is_gone_is_forgotten():
    queue = TextQueue()
    for caller in range(1000):
        queue.add("one", texts(1), caller)
        take_one(queue)
    assert len(queue._lanes) == 1
