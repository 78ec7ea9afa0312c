"""Lines of Thai rebuilt from the position of each glyph's ink. Pure; coordinates are points, right and up.

PDF libraries order the characters of a line by their origins, and guess spaces and line ends between them. Thai marks
have no width and overlap the glyph before them, so both guesses split words: here a mark belongs to the consonant under
(or over) its ink, and spaces are gaps between *bases*.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import itemgetter
from statistics import median
from typing import NamedTuple

from sidecar.documents.layers.thai_marks import (
    MARK_SET,
    UNMAPPED,
    Mark,
    MarkEvidence,
    is_drawn_as_mark,
    is_misplaced,
)
from sidecar.documents.layers.thai_text import (
    CONSONANTS,
    MEANINGLESS,
    NIKHAHIT,
    SARA_AA,
    SARA_AM,
    TONES,
    Repair,
    map_shapes,
    repair,
)

MIN_GAP = 0.13
"""Smallest gap between two bases, in font heights, that is a space: half of a narrow one."""
MAX_CONDENSED = 0.08
"""By how much less, in font heights, where letters are set tighter than their widths."""
MAX_TRACKED_GAP = 0.5
"""Letters farther apart than this, in font heights, are not letter-spaced: they are in columns."""
OWN_ROOM = 0.25
"""Marks that take more room than this, in font heights, stand beside their letter. Most take none."""
SAME_LINE = 0.35
"""How far, in font heights, baselines of one line may differ, as with raised digits."""
SAME_PLACE = 0.001
"""Positions closer than this, in points, are equal: they were computed from the same numbers."""
AT_PEN = 0.03
"""How far, in font heights, a mark's origin may lie from a base's end: they are drawn backwards from the pen."""
MAX_OVERHANG = 0.12
"""The same where a base's ink, which PDFium takes for its end, overhangs, as tails and slanted letters do."""
MAX_SLANT = 0.21
"""How far, in font heights, the middle of a mark lies to the right of its origin in slanted fonts."""
STEP_BACK = 0.5
"""How far, in font heights, a line's next base may lie left of its last one's end: condensed text does."""

_CONSONANT_SET = frozenset(map(chr, range(0x0E01, 0x0E2F)))
_AFTER_CONSONANT = re.compile(f"[{CONSONANTS}][{TONES}]?\\Z")
_BASES_COMPARED = 3
"""Consonants compared on each side of a mark: ink of more does not overlap at one place."""


class Glyph(NamedTuple):
    """A character as drawn: ``left`` to ``top`` is its ink; ``end`` is where the line continues after it.

    ``x`` and ``baseline`` are its origin, ``height`` the font's, ``angle`` the rotation of its line in degrees.
    """

    char: str
    left: float
    bottom: float
    right: float
    top: float
    end: float
    x: float
    baseline: float
    height: float
    angle: int = 0

    @property
    def above(self) -> tuple[float, float]:
        """Bottom and top of its ink above its baseline."""
        return self.bottom - self.baseline, self.top - self.baseline

    @property
    def has_ink(self) -> bool:
        """Return whether anything is drawn; spaces and tabs have boxes without height."""
        return self.right - self.left > 0.01 and self.top - self.bottom > 0.02 * self.height


@dataclass(slots=True)
class _Base:
    """A glyph with its own place on a line, and its marks, first those its own glyph maps to."""

    glyph: Glyph
    left: float
    right: float
    end: float
    is_consonant: bool
    is_space: bool
    marks: list[Mark] = field(default_factory=list)
    is_cluster: bool = False
    """Whether the font maps this one glyph to a consonant and its marks."""
    after: "Glyph | None" = None
    """The next base on the line: its origin is where the pen was, if letters are spaced out or condensed."""


Piece = tuple[str, _Base | None]
"""Characters of a line, and what they stand on; None for a space that nothing was drawn for."""


@dataclass(slots=True)
class _Line:
    """Bases on one baseline, and its consonants by their left edges, known once the line is complete."""

    bases: list[_Base]
    consonants: list[_Base] = field(default_factory=list)
    lefts: list[float] = field(default_factory=list)

    def complete(self) -> None:
        for base, after in pairwise(self.bases):
            base.after = after.glyph
        self.consonants = sorted((base for base in self.bases if base.is_consonant), key=lambda base: base.left)
        self.lefts = [base.left for base in self.consonants]

    def consonants_around(self, x: float) -> list[_Base]:
        at = bisect_left(self.lefts, x)
        return self.consonants[max(0, at - _BASES_COMPARED) : at + _BASES_COMPARED]


def rebuild(
    glyphs: Sequence[Glyph], evidence: MarkEvidence | None = None, kept: list[list[Piece]] | None = None
) -> tuple[str, set[Repair]]:
    """Return the page's lines, and what was mended besides the order of the characters.

    ``glyphs`` are those drawn, roughly in content order, without what a library inserted between them. ``evidence`` is
    what other pages of the document prove about its marks; this page's is added. ``kept``, if given, gets what
    the lines consist of, for :func:`words`.
    """
    repairs: set[Repair] = set()
    lines: list[_Line] = []
    marks: list[tuple[Glyph, int]] = []
    for glyph in glyphs:
        is_mark = glyph.char in MARK_SET
        base = lines[-1].bases[-1] if lines else None
        if is_mark and base and _is_part_of(glyph, base.glyph):
            _join(base, glyph)
        elif is_mark or _may_be_mark(glyph):
            if base and _takes_room_after(glyph, base):
                base.end = glyph.end
                repairs |= _add(glyph, base)
            else:
                marks.append((glyph, len(lines)))
        elif base and _follows(glyph, base):
            lines[-1].bases.append(_base(glyph))
        else:
            lines.append(_Line([_base(glyph)]))
    for line in lines:
        line.complete()
    for glyph, at in marks:
        repairs |= _give_to_base(glyph, lines[max(0, at - 2) : at + 1])
    if _identify([base for line in lines for base in line.bases if base.marks], evidence or MarkEvidence()):
        repairs.add(Repair.MARKS_IDENTIFIED)
    written = [_write(line.bases, repairs) for line in lines]
    if kept is not None:
        kept += written
    text, mended = repair("\n".join("".join(char for char, _ in line).strip("\ufeff") for line in written))
    return text, repairs | mended


def _base(glyph: Glyph) -> _Base:
    if glyph.char >= UNMAPPED:
        glyph = glyph._replace(char=chr(ord(glyph.char) - ord(UNMAPPED)))
    is_consonant = glyph.char in _CONSONANT_SET
    return _Base(glyph, glyph.left, glyph.right, glyph.end, is_consonant, not is_consonant and glyph.char.isspace())


def _is_part_of(mark: Glyph, base: Glyph) -> bool:
    """Return whether two characters are one drawn glyph, which the font maps to both: they share its position."""
    same = (mark.x, mark.baseline, mark.bottom, mark.top), (base.x, base.baseline, base.bottom, base.top)
    return all(abs(one - other) < SAME_PLACE for one, other in zip(*same, strict=True))


def _takes_room_after(mark: Glyph, base: _Base) -> bool:
    """Return whether a mark stands beside its base, as in typewriter fonts whose marks are as wide as letters."""
    room = OWN_ROOM * mark.height
    return mark.end - mark.x > room and abs(mark.x - base.end) < AT_PEN * mark.height and mark.left > mark.x


def _join(base: _Base, mark: Glyph) -> None:
    base.marks.append(Mark(mark.char))
    base.left, base.right, base.end = min(base.left, mark.left), max(base.right, mark.right), max(base.end, mark.end)
    base.is_cluster = base.is_consonant


def _may_be_mark(glyph: Glyph) -> bool:
    """Return whether a glyph that is unmapped, or mapped to a space, is drawn high or low like a mark."""
    if glyph.char.isprintable() and glyph.char not in MEANINGLESS:
        return False
    return glyph.has_ink and is_drawn_as_mark(*glyph.above, glyph.height)


def _follows(glyph: Glyph, base: _Base) -> bool:
    """Return whether a glyph continues a base's line: on its baseline or slightly raised, and not left of it."""
    height = max(base.glyph.height, glyph.height)
    near = abs(glyph.baseline - base.glyph.baseline) <= SAME_LINE * height
    return near and glyph.angle == base.glyph.angle and glyph.x >= base.end - STEP_BACK * height


# ── marks ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _give_to_base(mark: Glyph, lines: Sequence[_Line]) -> set[Repair]:
    base = _base_under(mark, lines)
    if base is None:
        if mark.char in MARK_SET and lines:
            lines[0].bases[-1].marks.append(Mark(mark.char))
        return set()
    return _add(mark, base)


def _add(mark: Glyph, base: _Base) -> set[Repair]:
    if mark.char not in MARK_SET and base.is_cluster:
        return {Repair.MARKS_DEDUPLICATED}  # the font's map of the consonant already names its marks
    if mark.char.isspace():
        base.marks.append(Mark(NIKHAHIT))  # the one mark that old maps turn into a space
        return {Repair.SARA_AM_RESTORED}
    base.marks.append(Mark(mark.char, is_misplaced(mark.char, *mark.above, mark.height)))
    return set()


def _base_under(mark: Glyph, lines: Sequence[_Line]) -> _Base | None:
    """Find the consonant that a mark belongs to.

    It is the one that ends at the mark's origin, since fonts draw marks backwards from there; if shaping moved the
    mark, the one whose ink contains the centre of the mark's; else the nearest, preferring the left.
    """
    middle = (mark.left + mark.right) / 2
    near = (
        (not _is_at_pen(mark, middle, base), _distance(middle, base), -base.right, base)
        for line in lines
        for base in line.consonants_around(middle)
        if base.glyph.angle == mark.angle
        and abs(base.glyph.baseline - mark.baseline) <= SAME_LINE * max(mark.height, base.glyph.height)
    )
    _, distance, _, base = min(near, key=itemgetter(0, 1, 2), default=(False, mark.height, 0.0, None))
    return base if distance < mark.height else None


def _is_at_pen(mark: Glyph, middle: float, base: _Base) -> bool:
    if not base.left <= middle <= mark.x + MAX_SLANT * mark.height:
        return False
    overhang = MAX_OVERHANG if base.end - base.right < SAME_PLACE else AT_PEN
    is_at_end = -AT_PEN * mark.height <= base.end - mark.x <= overhang * mark.height
    return is_at_end or (base.after is not None and abs(base.after.x - mark.x) <= AT_PEN * mark.height)


def _distance(middle: float, base: _Base) -> float:
    if base.left <= middle <= base.right:
        return 0.0
    return middle - base.right if middle > base.right else 2 * (base.left - middle)


def _identify(bases: Sequence[_Base], evidence: MarkEvidence) -> bool:
    """Add the bases' marks to the evidence, and correct them by it; return whether any was corrected."""
    for base in bases:
        evidence.add(base.marks, is_before_aa=base.after is not None and base.after.char == SARA_AA)
    return evidence.identify(mark for base in bases for mark in base.marks)


# ── lines ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _write(line: list[_Base], repairs: set[Repair]) -> list[Piece]:
    """Write a line: its bases from left to right, each with its marks, and the spaces between them."""
    bases = sorted(line, key=lambda base: base.glyph.x)
    tracking = _tracking(bases)
    written: list[Piece] = []
    for at, base in enumerate(bases):
        before = bases[at - 1] if at else None
        if before and not before.is_space and not base.is_space and _gap(before, base) > tracking:
            written.append((" ", None))
        is_am = base.glyph.char in {SARA_AA, SARA_AM} and before and before.is_space and _lost_space(written, repairs)
        written.append((SARA_AM if is_am else base.glyph.char + "".join(mark.char for mark in base.marks), base))
    return written


def _lost_space(written: list[Piece], repairs: set[Repair]) -> bool:
    """Take away the space between a consonant and SARA AA: no word begins with it, so that it was SARA AM."""
    head = "".join(char for char, _ in written).rstrip()
    if not _AFTER_CONSONANT.search(map_shapes(head)):
        return False
    while written[-1][0].isspace():
        written.pop()
    repairs.add(Repair.SARA_AM_RESTORED)
    return True


def words(written: Sequence[Piece]) -> list[Glyph]:
    """Return a glyph for each word of a line that was rebuilt, as large as the word."""
    found: list[Glyph] = []
    is_new = True
    for char, base in written:
        if base is None or char.isspace():
            is_new = True
        elif is_new:
            found.append(base.glyph._replace(left=base.left, right=base.right))
            is_new = False
        else:
            found[-1] = _extended(found[-1], base)
    return found


def _extended(word: Glyph, base: _Base) -> Glyph:
    glyph = base.glyph
    return word._replace(
        left=min(word.left, base.left),
        bottom=min(word.bottom, glyph.bottom),
        right=max(word.right, base.right),
        top=max(word.top, glyph.top),
    )


def _tracking(bases: Sequence[_Base]) -> float:
    """Return the smallest gap that is a space: more than the line's usual gap between letters."""
    gaps = [_gap(one, other) for one, other in pairwise(bases) if not one.is_space and not other.is_space]
    tracked = [gap for gap in gaps if gap < MAX_TRACKED_GAP]
    return MIN_GAP + max(-MAX_CONDENSED, median(tracked)) if len(tracked) > len(gaps) / 2 else MIN_GAP


def _gap(one: _Base, other: _Base) -> float:
    """Return the distance between two bases in font heights."""
    height = max(one.glyph.height, other.glyph.height)
    return (other.glyph.x - one.end) / height if height > 0 else 0.0
