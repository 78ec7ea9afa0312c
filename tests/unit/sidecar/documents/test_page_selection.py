import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.documents.page_selection import PageRequest, listed, parse_pages
from sidecar.errors import InvalidValueError, TooManyPagesError


@pytest.mark.parametrize(
    ("text", "ranges"),
    [("1", ((1, 1),)), ("1-3,7", ((1, 3), (7, 7))), (" 2 , 4-4 ", ((2, 2), (4, 4))), ("7,1-3", ((7, 7), (1, 3)))],
)
def test_pages_are_numbers_and_ranges(text, ranges):
    assert parse_pages(text, 500) == ranges


@pytest.mark.parametrize(
    "text", ["", ",", "0", "0-1", "3-2", "-1", "1-", "a", "1;2", "1.5", "\N{ARABIC-INDIC DIGIT ONE}", "1234567", "1--2"]
)
def test_what_is_no_list_of_pages_is_refused(text):
    with pytest.raises(InvalidValueError, match="accepted are page numbers"):
        parse_pages(text, 500)


def test_more_ranges_than_pages_may_be_read_are_refused():
    with pytest.raises(InvalidValueError, match="lists 6 ranges, the limit is 5"):
        parse_pages("1,1,1,1,1,1", 5)


@pytest.mark.parametrize(
    ("request_", "count", "indices", "limited"),
    [
        (PageRequest(), 3, (0, 1, 2), False),
        (PageRequest(max_pages=2), 3, (0, 1), False),
        (PageRequest(max_pages=9), 3, (0, 1, 2), False),
        (PageRequest(default_max_pages=2), 3, (0, 1), True),
        (PageRequest(default_max_pages=3), 3, (0, 1, 2), False),
        (PageRequest(max_pages=0, default_max_pages=2), 3, (0, 1, 2), False),
        (PageRequest(max_pages=3, default_max_pages=2), 3, (0, 1, 2), False),
        (PageRequest(pages=((3, 3), (1, 1), (1, 1))), 3, (0, 2), False),
        (PageRequest(pages=((1, 3),), max_pages=1), 3, (0,), False),
        (PageRequest(page_limit=2, max_pages=2), 3000, (0, 1), False),
    ],
)
def test_what_is_read_follows_the_request(request_, count, indices, limited):
    selection = request_.select(count)

    assert (selection.indices, selection.limited) == (indices, limited)


def test_more_pages_than_the_limit_are_refused():
    assert len(PageRequest(page_limit=3).select(3).indices) == 3
    with pytest.raises(TooManyPagesError, match="4 pages are to be read, the limit is 3"):
        PageRequest(page_limit=3).select(4)


def test_a_page_the_document_does_not_have_is_refused():
    with pytest.raises(InvalidValueError, match="page 4, the document has 3"):
        PageRequest(pages=((2, 4),)).select(3)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 20)), min_size=1, max_size=5))
def test_selected_pages_are_in_order_each_once(spans):
    ranges = tuple((first, first + more) for first, more in spans)

    indices = PageRequest(pages=ranges).select(100).indices

    assert list(indices) == sorted({page - 1 for first, last in ranges for page in range(first, last + 1)})


@pytest.mark.parametrize(
    ("pages", "indices"), [(((1, 999_999),), (0, 1, 2)), (((2, 5), (1, 1)), (0, 1, 2)), (((3, 3),), (2,))]
)
def test_a_range_may_be_cut_at_the_end_of_the_document(pages, indices):
    assert PageRequest(pages=pages, clips=True).select(3).indices == indices


def test_a_range_beyond_the_end_of_which_nothing_would_be_left_is_refused_all_the_same():
    with pytest.raises(InvalidValueError, match="pages asks for page 4, the document has 3"):
        PageRequest(pages=((4, 9),), clips=True).select(3)


@given(st.sets(st.integers(1, 900), min_size=1))
def test_a_list_of_pages_is_read_as_it_was_written(pages):
    text = listed(sorted(pages))
    assert [page for first, last in parse_pages(text, 900) for page in range(first, last + 1)] == sorted(pages)
    assert listed(range(1, 801)) == "1-800"
