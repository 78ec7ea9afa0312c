import pytest

from sidecar.errors import QueueFullError
from sidecar.runtime.admission import MAX_RETRY_AFTER_S, Admission


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
