"""A searchable PDF: the document as it came, with words that PDFium and poppler find where they stand."""

import io
import math
import shutil

import pikepdf
import pypdfium2 as pdfium
import pytest

from sidecar.documents import document
from sidecar.documents.document import Inquiry
from sidecar.documents.page_selection import PageRequest
from sidecar.documents.searchable import writing
from sidecar.documents.searchable.pieces import Stretch
from sidecar.errors import UnreadableDocumentError
from sidecar.evidence.layout import Box, Line, Source, Word
from tests.unit.sidecar.documents.searchable.making import (
    LIMITS,
    empty_pdf,
    joined,
    line_at,
    made_searchable,
    page_with,
    pdfium_text,
    pdfium_words,
    poppler_text,
    poppler_words,
)

needs_poppler = pytest.mark.skipif(not shutil.which("pdftotext"), reason="poppler-utils is not installed")
THAI = ("ที่", "ทำการ", "น้ำมัน", "กิ่ง")
WITHIN = 2.0
"""Points."""


def assert_in_place(found, page):
    words = [word for block in page.blocks for line in block.lines for word in line.words]
    assert [one.text for one in found] == [one.text for one in words]
    for one, word in zip(found, words, strict=True):
        assert one.left == pytest.approx(word.box.left, abs=WITHIN)
        assert one.right == pytest.approx(word.box.right, abs=WITHIN)
        assert one.top - WITHIN <= word.box.top < word.box.bottom <= one.bottom + WITHIN


# ── what readers find ─────────────────────────────────────────────────────────────────────────────────────────────


def test_pdfium_finds_each_word_and_each_thai_mark(tmp_path):
    page = page_with(line_at(60, 100, "Concrete", "test", "no.", "42"), line_at(60, 130, *THAI))
    path = made_searchable(tmp_path, empty_pdf(), page)
    assert pdfium_text(path).split() == ["Concrete", "test", "no.", "42", *THAI]
    assert_in_place(pdfium_words(path), page)


@needs_poppler
def test_poppler_finds_each_word_and_each_thai_mark(tmp_path):
    page = page_with(line_at(60, 100, "Concrete", "test", "no.", "42"), line_at(60, 130, *THAI))
    path = made_searchable(tmp_path, empty_pdf(), page)
    assert poppler_text(path).split() == ["Concrete", "test", "no.", "42", *THAI]
    assert_in_place(poppler_words(path), page)


@needs_poppler
@pytest.mark.parametrize("joins", [True, False])
def test_a_space_is_where_words_do_not_join_and_nowhere_else(tmp_path, joins):
    page = page_with(line_at(60, 100, "โปรด", "พิ", "จารณา", "ก", joins=joins))
    path = made_searchable(tmp_path, empty_pdf(), page)
    wanted = ["โปรดพิจารณาก"] if joins else ["โปรด", "พิ", "จารณา", "ก"]
    assert pdfium_text(path).split() == poppler_text(path).split() == wanted


def test_words_that_touch_or_overlap_are_still_two(tmp_path):
    page = page_with(line_at(60, 100, "one", "two", "three", gap=-1.5))
    assert pdfium_text(made_searchable(tmp_path, empty_pdf(), page)).split() == ["one", "two", "three"]


def test_a_mark_that_was_read_as_a_word_belongs_to_the_one_before(tmp_path):
    page = page_with(line_at(60, 100, "ท", "ี่", "ดิน", joins=True))
    assert pdfium_text(made_searchable(tmp_path, empty_pdf(), page)).split() == ["ที่ดิน"]


def test_letters_beyond_the_first_plane_come_back(tmp_path):
    page = page_with(line_at(60, 100, "😀x", "𠀀"))
    text = pdfium_text(made_searchable(tmp_path, empty_pdf(), page))
    assert text.encode("utf-16-le", "surrogatepass").decode("utf-16-le").split() == ["😀x", "𠀀"]


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize(
    ("box", "entries"),
    [
        ((0, 0, 595, 842), {}),
        ((100, -50, 695, 792), {}),
        ((0, 0, 1000, 1000), {"CropBox": (200, 100, 795, 942)}),
        ((0, 0, 297.5, 421), {"UserUnit": 2}),
    ],
    ids=["plain", "offset", "cropped", "unit"],
)
def test_words_stand_where_they_are_seen_however_a_page_is_turned_and_cut(tmp_path, rotate, box, entries):
    size = (842.0, 595.0) if rotate % 180 else (595.0, 842.0)
    page = page_with(line_at(60, 100, "Concrete", "ทดสอบ"), line_at(300, 500, "Sand"), size=size)
    path = made_searchable(tmp_path, empty_pdf(box=box, Rotate=rotate, **entries), page)
    unit = entries.get("UserUnit", 1)
    found = [
        type(one)(one.text, *(side * unit for side in (one.left, one.top, one.right, one.bottom)))
        for one in pdfium_words(path)
    ]
    assert_in_place(found, page)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270, 5.0, -4.0, 93.0])
def test_words_follow_lines_that_are_turned_or_slope(tmp_path, rotation):
    """The reader says how the page must be turned, and gives boxes as they are seen."""
    radians = math.radians(rotation)
    dx, dy = math.cos(radians), -math.sin(radians)

    def box(start, end, height=9.0):
        corners = [
            (300 + along * dx + across * dy, 400 + along * dy - across * dx)
            for along in (start, end)
            for across in (0, height)
        ]
        xs, ys = zip(*corners, strict=True)
        return Box(min(xs), min(ys), max(xs), max(ys))

    words = tuple(
        Word(text, box(start, start + 48), 0.9, Source.TESSERACT)
        for text, start in (("Concrete", -100), ("ทดสอบxyz", -40), ("approval", 20))
    )
    page = page_with(Line(words, None, size=12), rotation=rotation)
    path = made_searchable(tmp_path, empty_pdf(), page)
    found = pdfium_words(path)
    assert {one.text for one in found} == {one.text for one in words}
    for word in words:
        one = next(one for one in found if one.text == word.text)
        assert (one.left + one.right) / 2 == pytest.approx((word.box.left + word.box.right) / 2, abs=6)
        assert (one.top + one.bottom) / 2 == pytest.approx((word.box.top + word.box.bottom) / 2, abs=6)


def test_words_that_nobody_saw_stand_beside_those_that_were_seen(tmp_path):
    seen, unseen = line_at(60, 100, "Received").words[0], Word("today", None, None, Source.MODEL)
    page = page_with(Line((seen, unseen), None), Line((unseen, unseen), None))
    path = made_searchable(tmp_path, empty_pdf(), page)
    assert pdfium_text(path).split() == ["Received", "today", "today", "today"]
    first = pdfium_words(path)[1]
    assert first.right <= seen.box.right + WITHIN
    assert first.top < seen.box.bottom


# ── the document stays as it came ─────────────────────────────────────────────────────────────────────────────────


def contents(path, index=0):
    with pikepdf.open(path) as pdf:
        found = pdf.pages[index].obj.Contents
        parts = found if isinstance(found, pikepdf.Array) else [found]
        return [one.read_raw_bytes() for one in parts]


def test_the_file_is_kept_byte_by_byte_and_what_is_new_comes_after_it(tmp_path):
    source = empty_pdf()
    path = made_searchable(tmp_path, source, page_with(line_at(60, 100, "word")))
    assert path.read_bytes().startswith(source)
    with pikepdf.open(path) as pdf:
        assert pdf.check_pdf_syntax() == []
        assert not pdf.get_warnings()


def test_an_update_fits_a_file_whose_objects_are_packed(tmp_path):
    held = io.BytesIO()
    with pikepdf.open(io.BytesIO(empty_pdf(3))) as pdf:
        pdf.save(held, object_stream_mode=pikepdf.ObjectStreamMode.generate)
    path = made_searchable(tmp_path, held.getvalue(), page_with(line_at(60, 100, "second"), number=2))
    assert path.read_bytes().startswith(held.getvalue())
    assert [pdfium_text(path, index).strip() for index in range(3)] == ["", "second", ""]
    with pikepdf.open(path) as pdf:
        assert not pdf.get_warnings()


def test_a_page_draws_what_it_drew(tmp_path):
    source = empty_pdf()
    path = made_searchable(tmp_path, source, page_with(line_at(60, 100, "word")))
    (tmp_path / "old").write_bytes(source)
    before, after = (document.render(one, 0, LIMITS).pixels for one in (tmp_path / "old", path))
    assert before == after
    assert contents(path)[-1] == contents(tmp_path / "old")[0]


def test_a_document_without_a_page_to_add_to_is_not_touched(tmp_path):
    path = tmp_path / "source"
    path.write_bytes(empty_pdf())
    made = writing.searchable(path, LIMITS, [])
    assert (list(made.pieces), made.breaks_signature) == ([Stretch(0, path.stat().st_size)], False)
    made = writing.searchable(path, LIMITS, [page_with()])
    assert list(made.pieces) == [Stretch(0, path.stat().st_size)]


@pytest.mark.parametrize("revision", [3, 4, 6])
def test_a_document_encrypted_with_an_empty_password_stays_encrypted_so(tmp_path, revision):
    held = io.BytesIO()
    with pikepdf.open(io.BytesIO(empty_pdf())) as pdf:
        rights = pikepdf.Permissions(extract=False)
        how = pikepdf.Encryption(owner="o", user="", R=revision, allow=rights, metadata=revision > 3, aes=revision > 3)
        pdf.save(held, encryption=how)
    path = made_searchable(tmp_path, held.getvalue(), page_with(line_at(60, 100, "word")))
    assert pdfium_text(path).strip() == "word"
    with pikepdf.open(path) as pdf:
        assert (pdf.is_encrypted, pdf.allow.extract) == (True, False)


def test_files_that_are_embedded_stay(tmp_path):
    held = io.BytesIO()
    with pikepdf.open(io.BytesIO(empty_pdf())) as pdf:
        pdf.attachments["invoice.xml"] = pikepdf.AttachedFileSpec(pdf, b"<invoice/>", filename="invoice.xml")
        pdf.Root.Collection = pikepdf.Dictionary(View=pikepdf.Name.T)
        pdf.save(held)
    path = made_searchable(tmp_path, held.getvalue(), page_with(line_at(60, 100, "word")))
    with pikepdf.open(path) as pdf:
        assert pdf.attachments["invoice.xml"].get_file().read_bytes() == b"<invoice/>"
        assert pdf.Root.Collection.View == pikepdf.Name.T


def test_what_stands_before_the_header_stays_and_the_file_is_written_anew(tmp_path):
    path = made_searchable(tmp_path, b"From: somebody\n" + empty_pdf(), page_with(line_at(60, 100, "word")))
    assert pdfium_text(path).strip() == "word"


def test_a_damaged_document_is_written_anew(tmp_path):
    source = empty_pdf().replace(b"startxref", b"startxxxx")
    path = made_searchable(tmp_path, source, page_with(line_at(60, 100, "word")))
    assert pdfium_text(path).strip() == "word"


def test_a_document_that_cannot_be_written_is_refused_as_such(tmp_path):
    path = tmp_path / "source"
    path.write_bytes(b"%PDF-1.7\n%%EOF")
    with pytest.raises(UnreadableDocumentError, match="too damaged"):
        writing.searchable(path, LIMITS, [page_with(line_at(60, 100, "word"))])


def test_a_page_that_a_document_does_not_have_is_refused_as_such(tmp_path):
    path = tmp_path / "source"
    path.write_bytes(empty_pdf())
    with pytest.raises(UnreadableDocumentError, match="too damaged"):
        writing.searchable(path, LIMITS, [page_with(line_at(60, 100, "word"), number=2)])


def test_pages_that_share_one_dictionary_each_get_their_words(tmp_path):
    held = io.BytesIO()
    with pikepdf.open(io.BytesIO(empty_pdf())) as pdf:
        pdf.Root.Pages.Kids.append(pdf.Root.Pages.Kids[0])
        pdf.Root.Pages.Count = 2
        pdf.save(held)
    pages = [page_with(line_at(60, 100, text), number=number) for number, text in ((1, "first"), (2, "second"))]
    path = made_searchable(tmp_path, held.getvalue(), *pages)
    assert [pdfium_text(path, index).strip() for index in range(2)] == ["first", "second"]


# ── signatures ────────────────────────────────────────────────────────────────────────────────────────────────────


def signed_pdf() -> bytes:
    held = io.BytesIO()
    with pikepdf.open(io.BytesIO(empty_pdf())) as pdf:
        value = pikepdf.Dictionary(Type=pikepdf.Name.Sig, ByteRange=[0, 10, 20, 30], Contents=b"\0" * 8)
        field = pikepdf.Dictionary(FT=pikepdf.Name.Sig, T=b"signed", V=pdf.make_indirect(value))
        pdf.Root.AcroForm = pikepdf.Dictionary(Fields=[pdf.make_indirect(field)], SigFlags=3)
        pdf.save(held)
    return held.getvalue()


def test_a_signature_is_broken_only_where_something_is_added(tmp_path):
    path = tmp_path / "source"
    path.write_bytes(signed_pdf())
    assert writing.is_signed(path)
    assert writing.searchable(path, LIMITS, [page_with(line_at(60, 100, "word"))]).breaks_signature
    assert not writing.searchable(path, LIMITS, []).breaks_signature


def test_other_documents_have_no_signature(tmp_path):
    path = tmp_path / "source"
    path.write_bytes(empty_pdf())
    assert not writing.is_signed(path)
    path.write_bytes(b"\x89PNG\r\n\x1a\n /ByteRange")
    assert not writing.is_signed(path)


# ── a layer that was there ────────────────────────────────────────────────────────────────────────────────────────


def with_old_layer(*, in_form: bool = False) -> bytes:
    """A page with the text "Gnrbage" in Helvetica, on the page or in a form that it draws."""
    held = io.BytesIO()
    with pikepdf.open(io.BytesIO(empty_pdf(2))) as pdf:
        text = b"BT /F1 12 Tf 60 700 Td (Gnrbage) Tj ET"
        helvetica = pikepdf.Dictionary(
            Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica
        )
        fonts = pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=pdf.make_indirect(helvetica)))
        resources, content = fonts, text
        if in_form:
            form = pdf.make_stream(text, Type=pikepdf.Name.XObject, Subtype=pikepdf.Name.Form, BBox=[0, 0, 595, 842])
            form.Resources = fonts
            resources, content = pikepdf.Dictionary(XObject=pikepdf.Dictionary(Fm0=form)), b"/Fm0 Do"
        shared = pdf.make_indirect(resources)
        for page in pdf.pages:
            page.obj.Resources = shared
            page.obj.Contents = pdf.make_stream(content)
        pdf.save(held)
    return held.getvalue()


@needs_poppler
@pytest.mark.parametrize("in_form", [False, True])
def test_an_old_layer_falls_silent_on_its_page_and_is_drawn_as_before(tmp_path, in_form):
    source = with_old_layer(in_form=in_form)
    path = made_searchable(tmp_path, source, page_with(line_at(60, 100, "Garbage")))
    assert pdfium_text(path).split() == poppler_text(path).split() == ["Garbage"]
    assert pdfium_text(path, 1).split() == poppler_text(path, 2).split() == ["Gnrbage"]
    (tmp_path / "old").write_bytes(source)
    before, after = (document.render(one, 0, LIMITS).pixels for one in (tmp_path / "old", path))
    assert before == after


@needs_poppler
def test_a_layer_of_ours_falls_silent_when_the_document_gets_another_one(tmp_path):
    once = made_searchable(tmp_path, empty_pdf(), page_with(line_at(60, 100, "Concrete", "test"))).read_bytes()
    path = made_searchable(tmp_path, once, page_with(line_at(60, 100, "Steel", "bars")))
    assert pdfium_text(path).split() == poppler_text(path).split() == ["Steel", "bars"]


def shared_by_all(count: int) -> bytes:
    """As many pages as pictures, all of which each page inherits."""
    held = io.BytesIO()
    with pikepdf.open(io.BytesIO(empty_pdf(count))) as pdf:
        pictures = pikepdf.Dictionary()
        for number in range(count):
            pictures[f"/Im{number}"] = pdf.make_stream(
                b"\0", Type=pikepdf.Name.XObject, Subtype=pikepdf.Name.Image, Width=1, Height=1,
                BitsPerComponent=8, ColorSpace=pikepdf.Name.DeviceGray,
            )  # fmt: skip
        for page in pdf.pages:
            del page.obj["/Resources"]
        pdf.Root.Pages.Resources = pikepdf.Dictionary(XObject=pictures)
        pdf.save(held)
    return held.getvalue()


def test_what_all_pages_share_is_written_once(tmp_path):
    added = []
    for count in (20, 200):
        source = shared_by_all(count)
        pages = [page_with(line_at(60, 100, "word"), number=number) for number in range(1, count + 1)]
        added.append(made_searchable(tmp_path, source, *pages).stat().st_size - len(source))
    assert added[1] < added[0] + 180 * 700, "bytes a page"


@needs_poppler
@pytest.mark.parametrize("where", ["page", "form", "properties"])
def test_what_marked_content_says_falls_silent_too(tmp_path, where):
    held = io.BytesIO()
    with pikepdf.open(io.BytesIO(with_old_layer(in_form=where == "form"))) as pdf:
        drawn = pdf.pages[0].obj
        of = drawn.Resources.XObject.Fm0 if where == "form" else drawn.Contents
        mark = b"/MC0" if where == "properties" else b"<</Actual#54ext(Spoken)>>"
        of.write(b"/Span " + mark + b" BDC " + of.read_bytes() + b" EMC BT /F1 9 Tf 60 600 Td (<</ActualText>>) Tj ET")
        if where == "properties":
            drawn.Resources.Properties = pikepdf.Dictionary(MC0=pikepdf.Dictionary(ActualText=b"Spoken"))
        pdf.save(held)
    path = made_searchable(tmp_path, held.getvalue(), page_with(line_at(60, 100, "Garbage")))
    (tmp_path / "old").write_bytes(held.getvalue())
    assert "Spoken" in poppler_text(tmp_path / "old") + pdfium_text(tmp_path / "old")
    assert pdfium_text(path).split() == poppler_text(path).split() == ["Garbage"]
    before, after = (document.render(one, 0, LIMITS).pixels for one in (tmp_path / "old", path))
    assert before == after


@pytest.mark.parametrize("rotate", ["45", "90.0", "135", "-45", "-90", "-135", "450", "269.9"])
def test_a_page_is_turned_as_pdfium_turns_it(tmp_path, rotate):
    source = empty_pdf(Rotate=77).replace(b"/Rotate 77", b"/Rotate " + rotate.encode())
    (tmp_path / "old").write_bytes(source)
    size = tuple(pdfium.PdfDocument(source)[0].get_size())
    page = page_with(line_at(60, 100, "Concrete", "ทดสอบ"), size=size)
    assert_in_place(pdfium_words(made_searchable(tmp_path, source, page)), page)


# ── our own fast path ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_layer_comes_back_through_the_fast_path(tmp_path):
    lines = [line_at(60, 100 + 30 * at, *words) for at, words in enumerate([("Concrete", "test", "report"), THAI] * 4)]
    boxes = [word.box for line in lines for word in line.words]
    ink = "".join(f"{box.left} {842 - box.bottom} {box.width} {box.height} re f " for box in boxes)
    path = made_searchable(tmp_path, empty_pdf(content=ink.encode()), page_with(*lines))
    inquiry = Inquiry(PageRequest((), None, 0, 500), use_text_layer=True, char_threshold=20)
    facts = document.inspect(path, LIMITS, inquiry)
    wanted = [word.text for line in lines for word in line.words]
    (page,) = facts.pages
    assert (page.text or "").split() == wanted
    assert not facts.repaired
    assert page.repaired == ()


@pytest.mark.matrix
def test_three_thousand_pages(tmp_path):
    source = empty_pdf(3000)
    (tmp_path / "source").write_bytes(source)
    pages = [page_with(line_at(60, 100, f"page{number}"), number=number) for number in range(1, 3001)]
    made = writing.searchable(tmp_path / "source", LIMITS, pages)
    path = tmp_path / "searchable.pdf"
    path.write_bytes(joined(made, source))
    assert pdfium_text(path, 2999).strip() == "page3000"
