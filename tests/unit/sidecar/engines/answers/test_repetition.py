"""Endless repetition is noticed while it comes, and no page that people write is taken for it."""

import re
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.engines.answers.repetition import RepetitionWatch

TOKEN_S = 0.02
"""A quick model: fifty tokens a second."""


def tokens(text: str, chars: int = 4) -> list[str]:
    """Cut a text about as a model's tokens are."""
    return re.findall(rf"[^\n]{{1,{chars}}}|\n", text)


def cut(text: str, sizes: list[int]) -> list[str]:
    """Cut a text into pieces of these sizes, again and again."""
    pieces, at, turn = [], 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        pieces.append(text[at : at + size])
        at, turn = at + size, turn + 1
    return pieces


def caught_at(chunks: Iterable[str], chunk_s: float = TOKEN_S) -> int | None:
    """Count the chunks after which the stream is found to loop; None where it is not."""
    watch = RepetitionWatch()
    for count, chunk in enumerate(chunks, 1):
        if watch.is_looping(chunk, count * chunk_s):
            return count
    return None


# ── what people write ─────────────────────────────────────────────────────────────────────────────────────────────

sizes = st.lists(st.integers(1, 400), min_size=1, max_size=6)


@settings(deadline=None, max_examples=60)
@given(st.data(), sizes, st.sampled_from([0.001, TOKEN_S, 1.0]))
def test_no_text_of_the_sample_documents_loops_however_it_is_cut(truth, data, sizes, chunk_s):
    pages = [page for name, pages in truth.items() if name != "dot-leaders.pdf" for page in pages if page]
    assert caught_at(cut(data.draw(st.sampled_from(pages)), sizes), chunk_s) is None


@pytest.mark.parametrize("chars", [1, 2, 4, 8, 40])
def test_the_dot_leaders_of_the_sample_document_do_not_loop(truth, chars):
    assert caught_at(tokens(truth["dot-leaders.pdf"][0], chars)) is None


AMOUNTS = "".join(f"| {row} | Item {row} | {row * 37 % 100}.{row * 7 % 90 + 10} | 0.00 | 0.00 |\n" for row in range(60))
PAGES = {
    "a table of numbers": AMOUNTS,
    "a table whose cells are empty": "".join(f"| {row} | | | | | | |\n" for row in range(60)),
    "a year of nothing": "| Item | " + "0.00 | " * 12 + "\n| Rent | " + "0.00 | " * 12 + "\n",
    "a table's rule": "| a | b | c | d |\n|" + "-" * 20 + "|" + "-" * 20 + "|\n| 1 | 2 | 3 | 4 |\n",
    "a contents page": "".join(f"{n}. Chapter {n * n} {'.' * (70 - n)} {n * 3}\n" for n in range(1, 40)),
    "spaced leaders": "".join(f"Part {n * n} {'. ' * 45}{n * 3}\n" for n in range(1, 30)),
    "rules between paragraphs": "".join(f"Paragraph {n} says {n * n}.\n{'_' * 80}\n" for n in range(20)),
    "a line to sign on": "Signed\n\n" + "_" * 120 + "\nDate\n\n" + "_" * 120 + "\n",
    "a form with four equal lines": "Present:\n" + "Name ______ Signature ______\n" * 4 + "Chairman of the meeting\n",
    "two equal paragraphs": (AMOUNTS[:300] + "\n") * 2,
    "a form with four equal long lines": "Present:\n" + ("Name " + "_" * 40 + " Signature " + "_" * 30 + "\n") * 4,
    "rows that count": "".join(f"Name {n} ........ Signature ........\n" for n in range(40)),
    "Thai that repeats words": "วันที่ 1 เดือน ม.ค. ต่าง ๆ นานา มาก ๆ ๆ ไป ๆ มา ๆ\n",
    "a serial number": "0000000000000000000000000000000000000000000000001\n",
    "laughter": "ha" * 40 + "!",
}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("chars", [2, 4, 8])
def test_tables_leaders_rules_and_forms_do_not_loop(page, chars):
    assert caught_at(tokens("Minutes of the third meeting\n" + PAGES[page] + "The end of the page.", chars)) is None


def test_rules_may_go_on_for_two_and_a_half_seconds():
    assert caught_at(["---- "] * 120, 0.02) is None
    assert caught_at(["Total"] + ["..."] * 70 + ["5\n"], 0.03) is None


def test_a_page_that_goes_on_after_a_rule_begins_to_count_anew():
    pages = [chunk for n in range(12) for chunk in ["-----"] * 80 + [f"\nParagraph {n} of the letter\n"]]
    assert caught_at(pages, 0.025) is None


def test_empty_chunks_are_nothing_that_repeats():
    assert caught_at([""] * 5000) is None


# ── what models do ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "unit",
    ["0", "ก", "ha", "the ", "เอกสาร ", "\\n1", "Yes No ", "a b c d ", "ลงชื่อ "],
)
def test_words_that_repeat_for_ever_end_within_64_repeated_chunks(unit):
    intro = tokens("Minutes of the third meeting, held on Monday.\n")
    for chunks in ([unit] * 200, tokens(unit * 400)):
        caught = caught_at(intro + chunks)
        assert caught is not None
        assert caught - len(intro) <= 64 + len(tokens(unit))


@settings(deadline=None, max_examples=150)
@given(
    st.text(st.sampled_from("abcdeกขค 012"), min_size=1, max_size=300).filter(
        lambda unit: 2 * sum(map(str.isalnum, unit)) >= len(unit)
    ),
    st.lists(st.integers(1, 8), min_size=1, max_size=5),
)
def test_whatever_repeats_for_ever_is_caught_by_its_sixth_time_or_within_64_chunks(unit, sizes):
    repeats = max(6, 64 * max(sizes) // len(unit) + 6)
    assert caught_at(cut(unit * repeats, sizes)) is not None


@pytest.mark.parametrize("length", [1, 5, 20, 60, 99, 100, 101, 250, 600, 1000, 1300])
def test_units_of_up_to_1300_characters_are_caught(length):
    unit = "".join(f"{n * n} " for n in range(500))[:length]
    needed = 400 if length < 100 else 0
    caught = caught_at(cut(unit * 500, [3]))
    assert caught is not None
    assert caught * 3 <= max(needed, 5 * length if length < 100 else 3 * length) + length + 64


@pytest.mark.parametrize("unit", ["Total " + "." * 40, "row" + "-" * 30, "| ab | " + "- " * 20, "Total\n" + "=" * 64])
def test_a_unit_that_comes_in_one_chunk_and_ends_in_a_rule_is_caught(unit):
    assert caught_at([unit] * 200) is not None


@pytest.mark.parametrize("unit", [". ", "| | ", "-", "\n", " ", "_ ", "。", "|---", "* * *\n"])
@pytest.mark.parametrize("chunk_s", [0.005, 0.02, 0.1, 0.5])
def test_rules_that_never_end_are_caught_in_three_seconds_or_64_chunks(unit, chunk_s):
    caught = caught_at([unit] * 5000, chunk_s)
    assert caught is not None
    assert caught * chunk_s <= max(3.0, 64 * chunk_s) or caught <= 64


def test_a_loop_is_noticed_after_a_page_of_text(truth):
    page = tokens(truth["scan-thai-english.pdf"][0])
    caught = caught_at(page + ["again "] * 100)
    assert caught is not None
    assert len(page) + 55 <= caught <= len(page) + 64


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([1, 2, 3, 7, 50, 1000]))
def test_the_time_a_page_takes_does_not_grow_with_its_length(size):
    watch = RepetitionWatch()
    for n, chunk in enumerate(cut("".join(f"{n * 7919 % 10007} " for n in range(2000)), [size])):
        assert not watch.is_looping(chunk, n * 0.01)
        assert len(watch._tail) <= 4096


@pytest.mark.parametrize(
    "line",
    [
        "Name: ______________ Signature: ______________ Date: __________\n",
        "ลงชื่อ .............................. ผู้รับ\n",
        "| 0.00 | 0.00 | 0.00 |\n",
        "<td></td>",
    ],
)
def test_a_form_of_equal_lines_is_no_loop_unless_it_goes_on_for_seconds(line):
    watch = RepetitionWatch()
    pieces = [line[at : at + 4] for at in range(0, len(line), 4)]

    assert not any(watch.is_looping(piece, 0.01 * n) for n, piece in enumerate(pieces * 12))

    ends_s = [2.4 + 0.01 * n for n in range(200)]
    caught_s = next(now_s for now_s, piece in zip(ends_s, pieces * 200, strict=False) if watch.is_looping(piece, now_s))
    assert caught_s <= 3


@pytest.mark.parametrize("line", ["0.00", "Approved", "N/A", "ผ่าน", "1", "|  |  |  |  |  |  |"])
def test_a_column_of_equal_lines_is_no_loop_at_the_pace_of_a_card(line):
    page = "Amount (Baht)\n" + f"{line}\n" * 25 + "Total 1,234.00\n"
    assert caught_at((page[at : at + 4] for at in range(0, len(page), 4)), 0.02) is None
