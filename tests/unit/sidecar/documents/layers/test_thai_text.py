"""Thai orthography: what is repaired, what is impossible, and what is left alone."""

import pytest

from sidecar.documents.layers import thai_text
from sidecar.documents.layers.thai_text import Repair

RIGHT = "หนังสือสัญญาจ้างเหมาก่อสร้างอาคาร น้ำประปาและไฟฟ้าเป็นหน้าที่ของผู้ว่าจ้าง ก็เพราะว่าโหราจารย์ไปรษณีย์"


@pytest.mark.parametrize(
    ("wrong", "right", "repair"),
    [
        ("ทํา", "ทำ", Repair.SARA_AM_COMPOSED),
        ("นํ้า", "น้ำ", Repair.SARA_AM_COMPOSED),
        ("น้ํา", "น้ำ", Repair.SARA_AM_COMPOSED),
        ("นำ้", "น้ำ", Repair.MARKS_REORDERED),
        ("ที่", "ที่", None),
        ("ท่ี", "ที่", Repair.MARKS_REORDERED),
        ("ผู้้", "ผู้", Repair.MARKS_DEDUPLICATED),
        ("ชาติิ", "ชาติ", Repair.MARKS_DEDUPLICATED),
        ("ประจำำปี", "ประจำปี", Repair.MARKS_DEDUPLICATED),
        ("ก\uf70aอสร\uf70bาง", "ก่อสร้าง", Repair.SHAPES_MAPPED),
        ("\uf700าน ใหญ\uf70f", "ฐาน ใหญญ", Repair.SHAPES_MAPPED),
        ("plain text", "plain text", None),
    ],
)
def test_what_can_be_spelt_one_way_only_is_spelt_so(wrong, right, repair):
    text, repairs = thai_text.repair(wrong)
    assert text == right
    assert (repair in repairs) if repair else not repairs


def test_right_thai_is_neither_changed_nor_doubted():
    assert thai_text.repair(RIGHT) == (RIGHT, set())
    assert thai_text.impossible_share(RIGHT) == 0
    assert not thai_text.looks_disordered(RIGHT)


@pytest.mark.parametrize(
    "wrong",
    ["ผูรับจ\ufffdางต\ufffdองให\ufffd", "จูางไดูแลู", "วันท ี่ไ ด้ ั บ", "ทĚาการ คĚานวณ", "หนงัสอื พสัดปุ เสรจ็ ดร้บั"],
)
def test_what_thai_cannot_spell_is_no_thai(wrong):
    assert thai_text.is_implausible(wrong)
    assert thai_text.looks_disordered(wrong)


def test_one_typing_error_makes_no_page_implausible():
    assert not thai_text.is_implausible(RIGHT + " ไดู")


@pytest.mark.parametrize("codec", ["latin-1", "mac_roman"])
def test_thai_bytes_read_as_latin_letters_are_told_and_decoded(codec):
    read = RIGHT.encode("cp874").decode(codec)
    decoder = thai_text.decoder_for(f"Ref. 48213 {read}")
    assert decoder
    assert read.translate(decoder) == RIGHT


@pytest.mark.parametrize(
    "text",
    [
        "plain text",
        "Détermination de la qualité; Straße, señor, naïve, crème brûlée à l'été",
        "…………………………………………………… ………………………",
        "Ïðèâåò, ýòî ðóññêèé òåêñò â íåâåðíîé êîäèðîâêå, ÷èòàòü åãî íåëüçÿ",  # Cyrillic read as Latin letters
    ],
)
def test_other_text_is_not_taken_for_thai_bytes(text):
    assert thai_text.decoder_for(text) is None
