import pytest

from sidecar.errors import QueueFullError, QuotaExhaustedError
from sidecar.runtime.admission import MAX_RETRY_AFTER_S, Admission, Quota


def test_pages_are_admitted_up_to_the_limit():
    admission = Admission(10)
    with admission.admit(6):
        with admission.admit(4):
            assert admission.is_full
            with pytest.raises(QueueFullError, match="10 pages are in work, 1 more do not fit; the limit is 10"):
                admission.refuse_if_full()
        admission.refuse_if_full()
        with pytest.raises(QueueFullError), admission.admit(5):
            pass
    assert admission.admitted == 0


def test_one_document_is_let_in_whatever_its_size_when_nothing_else_is_there():
    admission = Admission(10)
    with admission.admit(500):
        assert admission.admitted == 500


def test_a_document_that_needs_no_engine_is_never_refused():
    admission = Admission(10)
    with admission.admit(10), admission.admit(0):
        assert admission.admitted == 10


def test_one_document_of_each_caller_is_let_in_however_full_it_is():
    admission = Admission(10)
    with admission.admit(10, "a"):
        admission.refuse_if_full("b")
        with admission.admit(500, "b"):
            for caller in "ab":
                with pytest.raises(QueueFullError):
                    admission.refuse_if_full(caller)
                with pytest.raises(QueueFullError), admission.admit(1, caller):
                    pass
        admission.refuse_if_full("b")
    assert admission.admitted == 0


def test_what_grows_is_counted_piece_by_piece_and_refused_where_it_does_not_fit():
    admission = Admission(10)
    with admission.growing() as one, admission.growing() as other:
        one.take(6)
        other.take(4)
        with pytest.raises(QueueFullError, match="10 pages are in work, 1 more do not fit; the limit is 10"):
            one.take(1)
        one.take_anyway(5)
        assert (admission.admitted, one.count) == (15, 11)
    assert admission.admitted == 0


def test_what_grows_always_fits_while_nothing_else_is_there():
    admission = Admission(10)
    with admission.growing() as one:
        one.take(8)
        one.take(8)
        assert admission.admitted == 16


def test_what_grows_always_fits_while_its_caller_has_nothing_else():
    admission = Admission(10)
    with admission.growing("a") as one, admission.growing("b") as other:
        one.take(10)
        other.take(8)
        assert (admission.held_by("a"), admission.held_by("b")) == (10, 8)
        with admission.growing("b") as third, pytest.raises(QueueFullError):
            third.take(1)
    assert admission.admitted == admission.held_by("a") == 0


def test_the_time_to_come_back_follows_the_recent_pace():
    admission = Admission(10_000)
    with admission.admit(20):
        assert admission.retry_after_s == 20  # a second a page, until it is known better
        for _ in range(50):
            admission.page_done(took_s=4, at_a_time=2)
        assert admission.retry_after_s == 40
    assert admission.retry_after_s == 1
    with admission.admit(9000):
        assert admission.retry_after_s == MAX_RETRY_AFTER_S


# ── the quota of each caller ──────────────────────────────────────────────────────────────────────────────────────


def test_a_caller_gets_as_many_places_as_its_quota_whatever_others_hold():
    quota = Quota(2)
    with quota.place("a"), quota.place("a"), quota.place("b"):
        with (
            pytest.raises(
                QuotaExhaustedError, match="2 documents of this API key are in work, 1 more do not fit; its limit is 2"
            ) as caught,
            quota.place("a"),
        ):
            pass
        assert caught.value.retry_after_s > 0
        with quota.place("b"):
            pass
    with quota.place("a"):
        pass
    assert not quota.held


def test_a_caller_s_only_request_fits_whatever_its_size():
    quota = Quota(3, "texts")
    with quota.place("a", 5):
        with pytest.raises(QuotaExhaustedError, match="5 texts of this API key are in work, 1 more do not fit"):
            quota.refuse_if_exhausted("a")
        with quota.place("b", 1), quota.place("b", 2), pytest.raises(QuotaExhaustedError), quota.place("b", 1):
            pass
    quota.refuse_if_exhausted("a")
    assert not quota.held


def test_a_place_is_given_back_by_an_error():
    quota = Quota(1)
    with pytest.raises(ZeroDivisionError), quota.place("a"):
        raise ZeroDivisionError
    with quota.place("a"):
        pass


@pytest.mark.parametrize(("most", "caller"), [(0, "a"), (1, None)], ids=["no quota", "no keys"])
def test_without_a_quota_or_without_keys_nobody_is_refused(most, caller):
    quota = Quota(most)
    with quota.place(caller), quota.place(caller), quota.place(caller):
        pass
