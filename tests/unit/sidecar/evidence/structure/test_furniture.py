"""Running headers, footers and page numbers on pages placed by hand, and text that only looks like them."""

import pytest

from sidecar.evidence.page import BlockKind
from sidecar.evidence.structure.document import structured
from sidecar.evidence.structure.furniture import is_page_number
from sidecar.outputs.markdown import markdown
from tests.unit.sidecar.evidence.structure.test_structure import BODY, line, page, told


def shown(*pages):
    return markdown(structured(pages))


def rows_down(texts, y, **how):
    return [line(text, 60, y + 14 * at, **how) for at, text in enumerate(texts)]


def long_body(y=130.0, count=24):
    return rows_down([BODY[at % 3] for at in range(count)], y)


def orders(*numbers):
    return [
        page(
            [
                *rows_down([f"Order {number}", f"{at} x Chair", "2 x Table"], 50),
                line(f"Total {90 * at}.00", 60, 780),
            ],
            at,
        )
        for at, number in enumerate(numbers, 1)
    ]


CODES = ["LCBP3-RFA-2025-8411-0", "LCBP3-RFA-2025-8473-0", "LCBP3-RFA-2025-9002-1"]
TWO_PAGES = {
    "orders": (orders(1001, 1002), ["Order 1001", "Order 1002", "Total 90.00", "1 x Chair"]),
    "the same twice": (orders(7, 7), ["Order 7", "2 x Table"]),
    "invoices": (
        [
            page(
                [
                    line(f"Invoice {4711 + at}", 60, 50, size=13, is_bold=True),
                    line("Customer: Hammel", 60, 72),
                    *long_body(),
                    line(f"Total: {80 * at}.00 EUR", 60, 770),
                    line("Due within 30 days", 60, 784),
                ],
                at,
            )
            for at in (1, 2)
        ],
        ["Invoice 4712", "Invoice 4713", "Customer: Hammel", "Total: 80.00 EUR", "Due within 30 days"],
    ),
    "numbers of documents": (
        [page([line(f"Document no. {code}", 60, 50), *long_body()], at) for at, code in enumerate(CODES, 1)],
        CODES,
    ),
    "titles": (
        [page([line(f"Chapter {at}", 60, 60, size=14), *long_body()], at) for at in (1, 2, 3)],
        ["Chapter 1", "Chapter 2", "Chapter 3"],
    ),
    "the same title": ([page([line("Results", 60, 60, is_bold=True), *long_body()], at) for at in (1, 2)], ["Results"]),
    "a statement's rows": (
        [
            page(
                [
                    line(f"{row % 9 + 1}.03.2024 goods{row} {row}.5{at}", 60, 40 + 14 * row, places={1: 200, 2: 420})
                    for row in range(54)
                ],
                at,
            )
            for at in (1, 2, 3)
        ],
        ["goods0 ", "goods1 ", "goods52 ", "goods53 "],
    ),
}


@pytest.mark.parametrize("kind", TWO_PAGES)
def test_what_repeats_is_text_unless_it_is_sure_to_run_along(kind):
    pages, texts = TWO_PAGES[kind]
    written = shown(*pages)
    assert [text for text in texts if text not in written.replace("|", "").replace("  ", " ")] == []


@pytest.mark.parametrize("pattern", ["Bulletin, page {}", "Page {} of 3", "{}", "No. 4711, p. {}"])
@pytest.mark.parametrize("beyond", [0, 230])
def test_a_page_number_that_goes_up_with_the_page_runs_along(pattern, beyond):
    pages = [page([*long_body(), line(pattern.format(at + beyond), 60, 790)], at) for at in (1, 2, 3)]
    assert [kinds[-1][0] in {BlockKind.FOOTER, BlockKind.PAGE_NUMBER} for kinds in told(*pages)] == [True] * 3


def test_what_stands_apart_on_both_of_two_pages_runs_along():
    pages = [page([line("Harbour office", 60, 40), *long_body()], at) for at in (1, 2)]
    assert [kinds[0][0] for kinds in told(*pages)] == [BlockKind.HEADER] * 2


def test_a_short_letter_keeps_its_sender_date_and_sum():
    letter = [
        line("Hammel & Co, 12 Harbour Road", 60, 30),
        line("12 March 2024", 430, 30),
        line("Dear Sir,", 60, 100),
        line("please pay what is written below.", 60, 140),
        line("Payment due: 500.00 EUR", 60, 785, places={2: 450}),
    ]
    written = shown(page(letter))
    assert all(text in written for text in ("Hammel", "12 March 2024", "500.00 EUR"))


@pytest.mark.parametrize("value", ["500.00 EUR", "500", "1,250"])
def test_a_long_letter_keeps_the_sum_in_its_last_row(value):
    letter = [*long_body(), line(f"Payment due: {value}", 60, 785, places={2: 450})]
    assert value in shown(page(letter))


def test_a_sum_under_the_table_of_a_long_page_is_kept():
    rows = [line(f"goods {at} {at}.50", 60, 100 + 14 * at, places={1: 200, 2: 420}) for at in range(46)]
    assert "Total" in shown(page([*rows, line("Total 46 900.00", 60, 775, places={1: 200, 2: 420})]))


@pytest.mark.parametrize("text", ["CV", "XXL", "Civil", "Lili", "ill", "1999", "1250"])
def test_words_and_large_figures_are_no_page_numbers(text):
    assert not is_page_number(text)
    assert text in shown(page([line(text, 60, 50), *long_body()]))


def test_a_bold_figure_at_the_top_is_no_page_number():
    assert "12" in shown(page([line("12", 60, 40, is_bold=True), *long_body()]))


@pytest.mark.parametrize("text", ["Page XIV", "page 1250", "1250 of 1300", "xlviii", "p. ii"])
def test_page_numbers_may_be_roman_and_large(text):
    assert is_page_number(text)
