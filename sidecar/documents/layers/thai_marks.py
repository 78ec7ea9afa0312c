"""Marks that a font maps to the wrong characters, identified by where they are drawn. Pure; coordinates are points.

Producers that map a cluster of glyphs to its text as a whole may swap its marks, or leave one without a meaning. What
they did, they did in the whole document, so that one cluster proves what others mean.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from sidecar.documents.layers.thai_text import CONSONANTS, MARKS, NIKHAHIT, SARA_AA

COMMON_TONES = frozenset("\N{THAI CHARACTER MAI EK}\N{THAI CHARACTER MAI THO}")
UNMAPPED = "\U000f0000"
"""First code point for glyphs that the font does not map, one each: a private-use plane."""
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
MARK_SET = frozenset(map(chr, (0x0E31, *range(0x0E34, 0x0E3B), *range(0x0E47, 0x0E4F))))
LOWER = frozenset("\u0e38\u0e39\u0e3a")
HIGH, LOW = 0.2, 0.02
"""How far above the baseline, in font heights, a mark above a letter begins at least, and one below ends at most."""

_ODD = "[^\\s\u0e01-\u0e7e]"
"""What may be a glyph that the font does not map: PDFium gives its number in the font for its character."""
_CLUSTER = re.compile(f"[{CONSONANTS}]([{MARKS}]+(?:{_ODD}[{MARKS}]*)?|{_ODD}[{MARKS}]*)")
_STRANGER = re.compile("[^\\s!-~\u0e01-\u0e7e]")

Span = tuple[int, int]


@dataclass(slots=True)
class Mark:
    """A mark on a letter. ``is_misplaced``: its character belongs above, but it is drawn below, or vice versa."""

    char: str
    is_misplaced: bool = False


def unmapped(char: str) -> str:
    """Return the character that stands for a glyph without a meaning: a different one for each."""
    return chr(ord(UNMAPPED) + (ord(char) & 0xFFFF))


def may_be_lost(char: str) -> bool:
    """Return whether a character may be a glyph's number, for want of a meaning: no white space, and not Thai."""
    return not "\u0e00" < char < "\u0e7f" and not char.isspace()


def is_drawn_as_mark(bottom: float, top: float, height: float) -> bool:
    """Return whether a glyph is drawn as high or as low as a mark; ``bottom`` and ``top`` are above the baseline."""
    return bottom > HIGH * height or top < 0


def is_misplaced(char: str, bottom: float, top: float, height: float) -> bool:
    """Return whether a mark is drawn where its character cannot be; ``bottom`` and ``top`` are above the baseline."""
    return bottom > HIGH * height if char in LOWER else top < LOW * height and char in MARK_SET


@dataclass(slots=True)
class MarkEvidence:
    """What a document's pages prove about its marks: one page may have too few of them."""

    swaps: dict[str, str] = field(default_factory=dict)
    """Marks that are mapped to each other's character."""
    before_aa: set[str] = field(default_factory=set)
    elsewhere: set[str] = field(default_factory=set)
    """Marks seen directly before SARA AA, and elsewhere."""

    def add(self, marks: Sequence[Mark], *, is_before_aa: bool) -> None:
        """Add the marks of one letter, as the font maps them.

        If the vowel below and the tone above one consonant are swapped, they are so in the whole document.
        """
        misplaced = [mark.char for mark in marks if mark.is_misplaced]
        if len(misplaced) == 2 and (misplaced[0] in LOWER) != (misplaced[1] in LOWER):
            one, other = misplaced
            self.swaps |= {one: other, other: one}
        (self.before_aa if is_before_aa else self.elsewhere).update(mark.char for mark in marks)

    def copy(self) -> "MarkEvidence":
        """Return the same evidence, to be added to on trial."""
        return MarkEvidence(dict(self.swaps), set(self.before_aa), set(self.elsewhere))

    def learn(self, other: "MarkEvidence") -> None:
        """Take over what others prove."""
        self.swaps |= other.swaps
        self.before_aa |= other.before_aa
        self.elsewhere |= other.elsewhere

    def identify(self, marks: Iterable[Mark]) -> bool:
        """Correct marks as the evidence proves, with U+FFFD for those proved wrong; return whether any was corrected.

        Only SARA AM is drawn as two glyphs in Thai, so an unmapped glyph that is always before SARA AA is its NIKHAHIT.
        """
        swaps, lost = self.swaps, self._lost_nikhahit()
        identified = False
        for mark in marks:
            is_lost = mark.char in lost
            identified = identified or is_lost or (mark.is_misplaced and mark.char in swaps)
            if is_lost:
                mark.char = NIKHAHIT
            elif mark.is_misplaced or mark.char >= UNMAPPED:
                mark.char = swaps.get(mark.char, UNKNOWN)
        return identified

    def _lost_nikhahit(self) -> set[str]:
        """Return the unmapped characters that can only be a NIKHAHIT."""
        knows_tones = self.before_aa | self.elsewhere >= COMMON_TONES  # else it may be a tone mark before SARA AA
        return {char for char in self.before_aa - self.elsewhere if char >= UNMAPPED} if knows_tones else set()


# ── a text whose order is right ───────────────────────────────────────────────────────────────────────────────────


def clusters(text: str) -> list[Span]:
    """Return where a text's marks stand, and what may be glyphs without a meaning beside them: a span a letter."""
    return [found.span(1) for found in _CLUSTER.finditer(text)]


def strangers(text: str) -> list[int]:
    """Return the positions of what may be a glyph without a meaning elsewhere: neither Thai nor ASCII."""
    return [found.start() for found in _STRANGER.finditer(text)]


def identified(
    text: str, spans: Iterable[Span], misplaced: Collection[int], lost: Collection[int], evidence: MarkEvidence
) -> tuple[str, bool]:
    """Return a text with its marks identified, and whether any was corrected.

    ``spans`` are its :func:`clusters`, ``misplaced`` and ``lost`` positions in them. All are added to the evidence.
    """
    odd = {*misplaced, *lost}
    doubtful: list[tuple[int, list[Mark]]] = []
    for start, end in spans:
        if start in odd or (end > start + 1 and not odd.isdisjoint(range(start, end))):
            marks = [Mark(unmapped(text[at]) if at in lost else text[at], at in misplaced) for at in range(start, end)]
            evidence.add(marks, is_before_aa=text.startswith(SARA_AA, end))
            doubtful.append((start, marks))
    evidence.elsewhere.update(tone for tone in COMMON_TONES if tone in text)  # of the others, no more is asked for
    is_any = evidence.identify(mark for _, marks in doubtful for mark in marks)
    return _replaced(text, doubtful), is_any


def _replaced(text: str, doubtful: Iterable[tuple[int, Sequence[Mark]]]) -> str:
    parts: list[str] = []
    done = 0
    for start, marks in doubtful:
        parts += text[done:start], *(mark.char for mark in marks)
        done = start + len(marks)
    return "".join((*parts, text[done:]))
