import pytest

from sidecar.engines.answers.prompt_echo import is_echo

PROMPT = """Extract all text from the image.

Instructions:
- Only return the clean Markdown.
- Do not include any explanation or extra text.
- You must include all information on the page."""
THAI = "ถอดข้อความทั้งหมดจากภาพนี้ ให้ตอบเป็น Markdown เท่านั้น ห้ามอธิบายเพิ่มเติม"
PAGE = "The contractor submits the shop drawing for approval, please review within seven working days."


@pytest.mark.parametrize(
    "answer",
    [
        PROMPT,
        "Extract all text from the image",
        "Only return the clean Markdown.",
        "extract all text from the image.\nExtract all text from the image.",
        "**Instructions:**\n* Only return the clean Markdown.\n* You must include all information on the page.",
        "Do not include any explanation or extra text. Only return the clean Markdown. Ok.",
    ],
)
def test_an_answer_that_stands_in_its_prompt_is_an_echo(answer):
    assert is_echo(answer, [PROMPT])


@pytest.mark.parametrize("answer", [THAI, "ถอดข้อความทั้งหมดจากภาพนี้", "ให้ตอบเป็น Markdown เท่านั้น\nห้ามอธิบายเพิ่มเติม"])
def test_thai_needs_no_spaces_between_its_words(answer):
    assert is_echo(answer, ["be brief", THAI])


@pytest.mark.parametrize(
    "answer", ["", "  \n", "7", "image", "# Page", PAGE, f"{PAGE}\nExtract all text from the image."]
)
def test_a_page_is_none(answer):
    assert not is_echo(answer, [PROMPT])


def test_a_page_that_quotes_its_prompt_among_other_text_is_none():
    assert not is_echo(f"{PROMPT}\n" + f"{PAGE}\n" * 5, [PROMPT])


def test_tags_that_were_asked_for_are_none():
    asked = "- Wrap the document number with <document_number>...</document_number>"
    assert not is_echo("<document_number>LCBP3-RFA-2025-9613</document_number>", [asked])


def test_what_was_not_sent_is_no_echo():
    assert not is_echo(PROMPT, [])
    assert not is_echo(PROMPT, ["Read it."])
