"""Thai numerals on made pages, through HTTP, in fonts that the reader was not trained on."""

import pytest

from tests.matrix import first
from tools.numerals.fonts import find_fonts
from tools.numerals.pages import MadePage, Writing, make_page

FAMILIES = ("Norasi", "Sawasdee", "Umpush")
"""Of Debian's fonts-thai-tlwg, which ``make setup`` installs."""

pytestmark = pytest.mark.skipif(not find_fonts(FAMILIES), reason="Debian's fonts-thai-tlwg is not installed")


@pytest.fixture
def upload(service, tmp_path):
    async def upload(page: MadePage) -> dict:
        path = tmp_path / "page.png"
        page.image.save(path, dpi=(page.look.dpi, page.look.dpi))
        status, body = await service.upload(path, engine="tesseract", languages="tha+eng")
        assert status == 200
        return body

    return upload


@pytest.mark.parametrize("number", first(1, [0, 1]))
async def test_amounts_are_corrected_the_answer_says_so_and_no_wrong_one_is_silent(upload, number):
    made = make_page(Writing.THAI, number, FAMILIES)

    body = await upload(made)

    (page,) = body["pages"]
    wrong = [amount for amount in made.amounts if amount not in page["text"].split()]
    assert len(wrong) <= 3  # bare Tesseract has 11 or 12 of 12 wrong
    assert page["numeralsDoubtful"] or not wrong
    assert ("numerals-doubtful" in body["warnings"]) is page["numeralsDoubtful"]
    assert len(page["corrections"]) >= 6
    assert all(one["read"] != one["corrected"] for one in page["corrections"])


@pytest.mark.parametrize("writing", [Writing.ARABIC, Writing.NONE])
async def test_pages_without_thai_numerals_are_left_alone(upload, writing):
    body = await upload(make_page(writing, 1, FAMILIES))

    (page,) = body["pages"]
    assert (page["corrections"], page["numeralsDoubtful"], body["warnings"]) == ([], False, [])
