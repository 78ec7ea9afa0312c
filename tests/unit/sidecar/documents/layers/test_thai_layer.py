"""Lines of Thai rebuilt from glyphs placed here by hand: letters 6 wide, marks drawn backwards from the pen."""

import random

import pytest

from sidecar.documents.layers.thai_layer import Glyph, rebuild
from sidecar.documents.layers.thai_text import Repair

SIZE = 10.0
WIDTH = 6.0
LOWER = "ฺุู"
MARKS = "ัิีึื็่้๊๋์ํ๎" + LOWER
LINE = "จบมัธยม และมั่นใจในสิ่งเดียวอย่างชัดเจนว่าผู้จ้างต้องทำงานที่นี่ให้เสร็จ"


def is_mark(char):
    return char in MARKS


def line(text, x=50.0, y=700.0, *, shift=0.0, size=SIZE):
    """Glyphs as fonts draw them: a mark has no width, and its ink lies left of its origin, over the letter before."""
    glyphs = []
    for char in text:
        if is_mark(char):
            low = char in LOWER
            bottom = y - 0.3 * size if low else y + (0.9 if char in "่้๊๋์" else 0.7) * size
            glyphs.append(Glyph(char, x - 0.3 * size, bottom, x - 0.1 * size, bottom + 0.2 * size, x, x, y, size))
            continue
        width = WIDTH * size / SIZE
        ink = (x + 0.5, y, x + 0.5, y) if char == " " else (x + 0.5, y, x + width - 0.5, y + 0.6 * size)
        glyphs.append(Glyph(char, *ink, x + width, x, y, size))
        x += width + shift
    return glyphs


def split(text):
    return text.replace("ำ", "ํา")


@pytest.mark.parametrize("shift", [0.0, -0.3, 1.0], ids=["plain", "condensed", "spaced out"])
@pytest.mark.parametrize("order", ["as drawn", "by origin", "marks last", "marks first"])
def test_marks_go_to_the_letter_they_stand_on_in_whatever_order_they_come(order, shift):
    glyphs = line(split(LINE), shift=shift)
    bases, marks = ([one for one in glyphs if is_mark(one.char) is kind] for kind in (False, True))
    glyphs = {
        "as drawn": glyphs,
        "by origin": sorted(glyphs, key=lambda glyph: (glyph.x, is_mark(glyph.char))),
        "marks last": bases + marks,
        "marks first": [bases[0], *marks, *bases[1:]],
    }[order]
    assert rebuild(glyphs)[0] == LINE


def test_lines_are_told_by_their_baselines_and_columns_stay_apart():
    left = line("ที่หนึ่ง", y=700) + line("ที่สอง", y=680)
    right = line("ผู้รับ", x=300, y=700) + line("จ้าง", x=300, y=680)
    assert rebuild(left + right)[0].split("\n") == ["ที่หนึ่ง", "ที่สอง", "ผู้รับ", "จ้าง"]
    row = line("ที่หนึ่ง", y=700) + line("ผู้รับ", x=300, y=700)
    assert rebuild(row)[0] == "ที่หนึ่ง ผู้รับ"


def test_a_gap_is_a_space_whether_or_not_anybody_drew_one():
    drawn = [glyph for glyph in line("พัสดุ ประจำ โครงการ C-17") if glyph.char != " "]
    assert rebuild(drawn)[0] == "พัสดุ ประจำ โครงการ C-17"


def test_a_space_with_the_ink_of_nikhahit_is_nikhahit():
    glyphs = [one._replace(char=" ") if one.char == "ํ" else one for one in line(split("ทำงานตามกำหนด น้ำ"))]
    assert rebuild(glyphs) == ("ทำงานตามกำหนด น้ำ", {Repair.SARA_AM_RESTORED, Repair.SARA_AM_COMPOSED})


def test_a_space_between_consonant_and_sara_aa_is_sara_am():
    assert rebuild(line("ท างานตามก าหนด"))[0] == "ทำงานตามกำหนด"
    assert rebuild(line("น้ าประปา"))[0] == "น้ำประปา"


def test_marks_that_one_glyph_and_its_mark_both_map_to_stand_once():
    """As some producers map clusters: the letter's own code says letter and mark, and the mark is drawn once more."""
    glyphs = []
    for glyph in line("ชาติที่"):
        if is_mark(glyph.char):
            base = [one for one in glyphs if not is_mark(one.char)][-1]
            glyphs.append(base._replace(char=glyph.char))
            glyphs.append(glyph._replace(char="\ufffd" if glyph.char == "่" else glyph.char))
        else:
            glyphs.append(glyph)
    text, repairs = rebuild(glyphs)
    assert text == "ชาติที่"
    assert Repair.MARKS_DEDUPLICATED in repairs


def test_a_mark_whose_meaning_its_place_contradicts_gets_the_right_one_where_a_cluster_proves_it():
    """WeasyPrint maps the two marks of one cluster the wrong way round, and then everywhere."""
    swap = {"ู": "้", "้": "ู"}
    glyphs = [one._replace(char=swap.get(one.char, one.char)) for one in line("ผู้รับจ้างได้แล้ว")]
    assert rebuild(glyphs) == ("ผู้รับจ้างได้แล้ว", {Repair.MARKS_IDENTIFIED})
    unproved = [one._replace(char=swap.get(one.char, one.char)) for one in line("รับจ้างได้แล้ว")]
    assert "\ufffd" in rebuild(unproved)[0]


def test_turned_lines_do_not_mix_with_upright_ones():
    upright, turned = line("ที่นี่"), [one._replace(angle=90) for one in line("ผู้รับ", x=80)]
    assert rebuild(upright + turned)[0] == "ที่นี่\nผู้รับ"


@pytest.mark.parametrize("seed", range(5))
def test_no_mark_ever_follows_white_space_however_the_runs_are_cut(seed):
    glyphs = line(split(LINE))
    runs, rng = [], random.Random(seed)
    while glyphs:
        size = rng.randint(1, 6)
        runs.append(glyphs[:size])
        glyphs = glyphs[size:]
    shuffled = [one for run in sorted(runs, key=lambda run: run[0].x) for one in run]
    assert rebuild(shuffled)[0] == LINE
