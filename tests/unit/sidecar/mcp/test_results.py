"""What a model gets to see of a document."""

from sidecar.client import Page, Summary
from sidecar.mcp.results import MAX_CHARS, as_markdown, document_text

SUMMARY = Summary(text="", page_count=2, document_page_count=9)


def test_pages_that_do_not_fit_are_named_and_the_first_always_fits():
    pages = [Page(page=number, text="x" * (MAX_CHARS // 2)) for number in (2, 3, 4, 5)]
    document = document_text(pages, SUMMARY)
    assert [page.page for page in document.pages] == [2, 3]
    assert document.left_out == [4, 5]
    assert "(Pages 4, 5 do not fit into this answer; ask for them.)" in as_markdown(document)
    assert len(document_text([Page(page=1, text="x" * (MAX_CHARS + 1))], SUMMARY).pages[0].text) == MAX_CHARS + 1


def test_what_is_missing_is_said_where_it_is_missing():
    pages = [
        Page(page=1, text="", error="page_unreadable"),
        Page(page=2, text="half", truncated=True),
        Page(page=3, text="again again", looped=True),
        Page(page=4, text="", blank=True),
    ]
    summary = SUMMARY.model_copy(update={"unread_pages": [7, 8], "warnings": ["page-failed", "deadline-partial"]})
    assert as_markdown(document_text(pages, summary)).split("\n\n") == [
        "## Page 1 of 9",
        "(This page could not be read: page_unreadable.)",
        "## Page 2 of 9",
        "half\n(The text breaks off here.)",
        "## Page 3 of 9",
        "again again\n(The text breaks off here.)",
        "## Page 4 of 9",
        "(This page is empty.)",
        "(Pages 7, 8 were not read in time.)",
        "(Warnings: page-failed, deadline-partial.)",
    ]
