"""The characters of a page's text layer from PDFium, with their positions. Runs in worker processes only."""

import ctypes
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from sidecar.documents.layers import pdf_calls, thai_layer, thai_marks, thai_text
from sidecar.documents.layers.pdf_glyphs import MADE_UP, Hidden, is_unmapped, misplaced, read_glyphs
from sidecar.documents.layers.thai_layer import Piece
from sidecar.documents.layers.thai_marks import MarkEvidence
from sidecar.documents.layers.thai_text import Repair

OBJECTS_COMPARED = 200
"""Most text objects whose order is compared with the text's: PDFium searches all characters for each."""
_HYPHENS = dict.fromkeys((0x02, 0xFFFE), "-")
"""PDFium's character for a hyphen at the end of a line."""
DIRECTION_SAMPLES = 12
"""Characters per page whose direction is queried, one call each."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A layer's text, what was repaired in it, and whether its Thai, if any, is plausible.

    Where its words are is told by ``seen``, the text as PDFium has it without what is hidden, and where each of its
    characters stands among PDFium's (``kept``; None: each where it stands in ``seen``), or, where its lines were
    rebuilt, by ``rebuilt``: what each consists of.
    """

    text: str
    repairs: set[Repair] = field(default_factory=set)
    is_plausible: bool = True
    seen: str = field(default="", repr=False, compare=False)
    kept: Sequence[int] | None = field(default=None, repr=False, compare=False)
    rebuilt: Sequence[Sequence[Piece]] | None = field(default=None, repr=False, compare=False)


def open_upright(page: pdfium.PdfPage) -> Any:  # noqa: ANN401 - pypdfium2 ships no types
    """Open a page's text, the page turned so that most of it is upright; it must be closed.

    PDFium orders characters and lines as the page is displayed: lines upside down, or that run down, come backwards.
    """
    text_page = page.get_textpage()
    degrees = _clockwise_degrees(text_page)
    if (page.get_rotation() + degrees) % 360 == 0:
        return text_page
    text_page.close()
    page.set_rotation(-degrees % 360)
    return page.get_textpage()


def _clockwise_degrees(text_page: Any) -> int:  # noqa: ANN401 - pypdfium2 ships no types
    """Return the direction of most of a page's text: 0, 90, 180 or 270, of a sample."""
    raw = text_page.raw
    count = pdfium_c.FPDFText_CountChars(raw)
    sample = range(0, count, max(1, count // DIRECTION_SAMPLES))
    radians = [pdf_calls.get_char_angle(raw, at) for at in sample]
    directions = Counter(round(math.degrees(one) / 90) % 4 * 90 for one in radians if one >= 0)
    return directions.most_common(1)[0][0] if directions else 0


@dataclass(frozen=True, slots=True)
class OpenLayer:
    """A page's text that is open. ``text_objects`` is the number of its objects; what is ``hidden`` is not seen.

    ``evidence`` is what the document's pages prove about its marks.
    """

    page: pdfium.PdfPage
    text_page: Any
    hidden: Hidden
    text_objects: int
    evidence: MarkEvidence


def read(layer: OpenLayer, text: str) -> Reading:
    """Return the text of a page's layer, which is PDFium's, with its Thai corrected, without what is hidden.

    A page without Thai costs only one scan of it.
    """
    if not layer.hidden.boxes:
        reading, kept = _corrected(layer, text), None
    else:
        text, kept = _seen_text(layer.text_page, layer.hidden)
        reading = _corrected(layer, _in_whole_characters(text))
    return reading if reading.rebuilt is not None else replace(reading, seen=text, kept=kept)


def _corrected(layer: OpenLayer, text: str) -> Reading:
    text_page, hidden, evidence = layer.text_page, layer.hidden, layer.evidence
    has_thai = thai_text.has_thai(text)
    decoder = None if has_thai else thai_text.decoder_for(text)
    if decoder:
        return _rebuilt(text_page, decoder, hidden, {Repair.ENCODING_DECODED}, evidence)
    if not has_thai:
        return Reading(text)
    spelt, repairs = thai_text.repair(text)
    if not hidden.boxes and (
        layer.text_objects <= text.count("\n") + 1 or _is_in_content_order(layer.page, text_page, text)
    ):
        # no line consists of several objects, or they are in content order
        if not thai_text.looks_disordered(spelt):
            return Reading(spelt, repairs)
        reading = _with_marks_identified(text_page, text, evidence)
        if reading:
            return reading
    mapped = thai_text.map_shapes(text)
    shapes = set() if mapped == text else {Repair.SHAPES_MAPPED}
    reading = _rebuilt(text_page, thai_text.SHAPES, hidden, shapes, evidence)
    return replace(reading, repairs=reading.repairs | _told(mapped, reading.text))


def _rebuilt(
    text_page: Any,  # noqa: ANN401 - pypdfium2 ships no types
    decoder: dict[int, str],
    hidden: Hidden,
    repairs: set[Repair],
    evidence: MarkEvidence,
) -> Reading:
    pieces: list[list[Piece]] = []
    rebuilt, further = thai_layer.rebuild(read_glyphs(text_page, _HYPHENS | decoder, hidden), evidence, pieces)
    text = _in_whole_characters(rebuilt)
    return Reading(text, repairs | further, is_plausible=not thai_text.is_implausible(text), rebuilt=pieces)


def _in_whole_characters(text: str) -> str:
    """Join surrogates: PDFium counts in UTF-16."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def reaches_outside(page: pdfium.PdfPage, text_page: Any, text: str) -> bool:  # noqa: ANN401 - pypdfium2 ships no types
    """Return whether some of a page's text may lie outside the visible part of the page."""
    left, bottom, right, top = page.get_bbox()
    if pdfium_c.FPDFText_GetBoundedText(text_page, left, top, right, bottom, None, 0) >= len(text):
        return False  # most pages, at a tenth of the time
    inside = text_page.get_text_bounded(left, bottom, right, top)
    return len("".join(inside.split())) < len("".join(text.split()))


def _seen_text(text_page: Any, hidden: Hidden) -> tuple[str, list[int]]:  # noqa: ANN401
    """Return PDFium's text without the invisible parts, and without the lines that this leaves empty.

    Also return the place of each of its characters among PDFium's; -1 for a line's end.
    """
    raw = text_page.raw
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    kept, places = list[str](), list[int]()
    for at in range(pdfium_c.FPDFText_CountChars(raw)):
        char = chr(pdfium_c.FPDFText_GetUnicode(raw, at))
        pdfium_c.FPDFText_GetCharBox(raw, at, left, right, bottom, top)
        middle = (left.value + right.value) / 2, (bottom.value + top.value) / 2
        if (char in MADE_UP and pdfium_c.FPDFText_IsGenerated(raw, at)) or not hidden.holds(*middle):
            kept.append(char)
            places.append(at)
    seen = "".join(kept).replace("\x02", "\ufffe")  # the same hyphen, as PDFium's text has it
    lines, at, kept_places = list[str](), 0, list[int]()
    for ended in seen.splitlines(keepends=True):
        line = ended.splitlines()[0]
        if line.strip():
            kept_places += [*([-1] if lines else []), *places[at : at + len(line)]]
            lines.append(line)
        at += len(ended)
    return "\n".join(lines), kept_places


def _told(text: str, rebuilt: str) -> set[Repair]:
    """Name what rebuilding the lines changed: the order of the characters, or the spaces between them."""
    before, after = text.split(), rebuilt.split()
    if before == after:
        return set()
    if sorted("".join(before)) == sorted("".join(after)) and "".join(before) != "".join(after):
        return {Repair.MARKS_REORDERED}
    return {Repair.SPACES_REMADE} if len(before) != len(after) else set()


def _is_in_content_order(page: pdfium.PdfPage, text_page: Any, text: str) -> bool:  # noqa: ANN401 - no types
    """Return whether the page's objects in sequence give exactly the text: not sorted, no spaces inserted."""
    count = pdfium_c.FPDFPage_CountObjects(page)
    if count > OBJECTS_COMPARED:
        return False
    parts: list[bytes] = []
    room = 4 * len(text) + 2  # bytes, more than any piece of the text needs
    buffer = ctypes.create_string_buffer(room)
    target = ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort))
    for at in range(count):
        item = pdfium_c.FPDFPage_GetObject(page, at)
        if pdfium_c.FPDFPageObj_GetType(item) == pdfium_c.FPDF_PAGEOBJ_TEXT:
            size = pdfium_c.FPDFTextObj_GetText(item, text_page, target, room)
            parts.append(buffer.raw[: max(0, size - 2)])
    content = b"".join(parts).decode("utf-16-le", "replace")
    return content.split(" ") == text.replace("\r\n", "").split(" ")


def _with_marks_identified(text_page: Any, text: str, evidence: MarkEvidence) -> Reading | None:  # noqa: ANN401
    """Correct marks that the font maps wrongly in a text whose order is right; None if more than that is wrong.

    Only marks are looked at, which takes a tenth of the time of rebuilding the lines.
    """
    raw = text_page.raw
    if pdfium_c.FPDFText_CountChars(raw) != len(text):
        return None  # positions in the text are not PDFium's
    spans = thai_marks.clusters(text)
    lost = {
        at
        for start, end in spans
        if not thai_marks.MARK_SET.issuperset(text[start:end])
        for at in range(start, end)
        if text[at] not in thai_marks.MARK_SET and is_unmapped(raw, at)
    }
    if any(at not in lost and is_unmapped(raw, at) for at in thai_marks.strangers(text)):
        return None
    moved = misplaced(raw, text, spans, lost)
    if moved is None:
        return None
    learnt = evidence.copy()
    identified, is_any = thai_marks.identified(text, spans, moved, lost, learnt)
    spelt, repairs = thai_text.repair(identified)
    if thai_text.looks_disordered(spelt):
        return None
    evidence.learn(learnt)
    return Reading(spelt, repairs | ({Repair.MARKS_IDENTIFIED} if is_any else set()))
