"""Where two readings of one page differ: numbers, dates and identifiers, or every word. Pure.

What only the order or the white space differs in is no difference. A line that one of them lacks is one, not many.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum

from sidecar.evidence.layout import Box, Layout, Line


class Verify(StrEnum):
    """What is held against a second reading."""

    NONE = "none"
    NUMBERS = "numbers"
    ALL = "all"


@dataclass(frozen=True)
class Disagreement:
    """What the page's reader has, and what the other one has in its place; None: nothing. ``box``: where, if known."""

    mine: str | None
    other: str | None
    box: Box | None = None


@dataclass(frozen=True)
class Reading:
    """A page as somebody read it: its text and, where they are known, its words with their places."""

    text: str
    layout: Layout | None = None


@dataclass(frozen=True)
class _Token:
    """A number or a word: as it stands, as it is compared, its line, and where it begins and ends in it."""

    shown: str
    key: str
    line: int
    start: int
    end: int
    box: Box | None
    confidence: float | None


DIGITS = str.maketrans("๐๑๒๓๔๕๖๗๘๙０１２３４５６７８９٠١٢٣٤٥٦٧٨٩", "0123456789" * 3)
"""Digits are alike, whichever they are written in: Thai, full-width or Arabic-Indic."""
_ALIKE = {**DIGITS, **str.maketrans("\u2010\u2011\u2012\u2013\u2014\u2212\u2018\u2019\u201c\u201d", "------''\"\"")}
_NUMBER = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z]|[.,/:-](?=[0-9A-Za-z]))*")
"""Amounts, dates and identifiers; letters of other scripts end one, since Thai writes no spaces."""
_WORD = re.compile(r"\S+")
_AROUND = ".,;:()[]{}<>\"'!?-/|_*#`…"
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_SPACE = re.compile(r"\s+")
MOST_TOKENS = 3000
"""Of a page, on either side: a newspaper's has fewer. What has more is not compared."""
MAX_STRAYS = 100
"""Strays on either side that may stand for one another; readings with more have little in common."""
MAX_LISTED = 200
SHOWN_CHARS = 200
LEAST_DIGITS = 2
"""A lone digit that only the other reader saw is as likely a speck."""
LEAST_SURE = 0.8
"""How sure the other reader must be, where it tells, to contradict: less is no evidence."""
LEAST_ALIKE = 0.5
"""Likeness from which on two strays stand for one another."""
LEAST_LETTERS, LEAST_LETTER_SHARE, LEAST_SEEN = 8, 0.05, 0.4
"""A script with so many letters, and such a share, is on the page; who sees less than this part is blind to it."""


def disagreements(mine: Reading, other: Reading, verify: Verify) -> tuple[Disagreement, ...] | None:
    """List what differs, in the page's order; None if that cannot be told.

    It cannot where the other reader is blind to what is written there, and where there are too many words.
    """
    if is_blind(mine.text, other.text):
        return None
    ours, theirs = _tokens(mine, verify), _tokens(other, verify)
    if max(len(ours), len(theirs)) > MOST_TOKENS:
        return None
    found = _Comparison(ours, theirs, _squeezed(mine.text), _squeezed(other.text)).found()
    return tuple(one for one in found if one.mine or one.other)[:MAX_LISTED]


def count_tokens(reading: Reading, verify: Verify) -> int:
    """Count what is compared of a reading."""
    return len(_tokens(reading, verify))


def is_blind(mine: str, other: str) -> bool:
    """Return whether a reading lacks most letters of a script that another one has, or most of the text."""
    ours, theirs = _letters(mine), _letters(other)
    if theirs.total() < LEAST_SEEN * ours.total():
        return True
    least = max(LEAST_LETTERS, LEAST_LETTER_SHARE * ours.total())
    return any(count >= least and theirs[script] < LEAST_SEEN * count for script, count in ours.items())


def _letters(text: str) -> Counter[int]:
    """Count letters and digits by script; a block of 128 characters stands for one, those of Latin are one."""
    return Counter(0 if ord(char) < 0x250 else ord(char) >> 7 for char in text if char.isalnum())


def key_of(shown: str) -> str:
    """Return what is compared of a token: digits alike, without case, thousands' commas and what stands around it."""
    return _THOUSANDS.sub("", shown.translate(_ALIKE).strip(_AROUND).casefold())


def _squeezed(text: str) -> str:
    return _THOUSANDS.sub("", _SPACE.sub("", text.translate(_ALIKE).casefold()))


def _tokens(reading: Reading, verify: Verify) -> list[_Token]:
    lines = reading.layout.lines if reading.layout else ()
    plain = [line.text for line in lines] if lines else reading.text.split("\n")
    return [
        token
        for number, text in enumerate(plain)
        for token in _tokens_of_line(number, text, verify, lines[number] if lines else None)
    ]


def _tokens_of_line(number: int, text: str, verify: Verify, line: Line | None) -> Iterator[_Token]:
    pattern = _NUMBER if verify is Verify.NUMBERS else _WORD
    for match in pattern.finditer(text.translate(_ALIKE)):
        shown = text[match.start() : match.end()]
        key = key_of(shown)
        if not key or (verify is Verify.NUMBERS and not any(char.isdigit() for char in key)):
            continue
        box, confidence = _seen(line, match.start(), match.end()) if line else (None, None)
        yield _Token(shown, key, number, match.start(), match.end(), box, confidence)


def _seen(line: Line, start: int, end: int) -> tuple[Box | None, float | None]:
    """Return the place of a part of a line's text, and how sure its reader is of it, by the words that it lies in."""
    at, words = 0, []
    for number, word in enumerate(line.words):
        at += 0 if word.joins or number == 0 else 1
        if at < end and at + len(word.text) > start:
            words.append(word)
        at += len(word.text)
    told = [word.confidence for word in words if word.confidence is not None]
    return Box.around(word.box for word in words if word.box), min(told, default=None)


class _Comparison:
    """The tokens of both readings, and what of each text could stand for a token of the other."""

    def __init__(self, ours: Sequence[_Token], theirs: Sequence[_Token], our_text: str, their_text: str) -> None:
        self._ours, self._theirs = ours, theirs
        self._our_keys, self._their_keys = {one.key for one in ours}, {one.key for one in theirs}
        self._our_text, self._their_text = our_text, their_text

    def found(self) -> list[Disagreement]:
        """Pair what is left of both, hunk by hunk; then strays that are alike, wherever they stand."""
        hunks = list(self._hunks())
        moved = Counter(one.key for mine, _ in hunks for one in mine) & Counter(
            one.key for _, other in hunks for one in other
        )
        ours, theirs = Counter(moved), Counter(moved)
        left = []
        for mine, other in hunks:
            our_rest = self._left(_without(mine, ours), self._their_keys, self._their_text)
            left.append((our_rest, self._left(_without(other, theirs), self._our_keys, self._our_text)))
        return [_disagreement(mine, other) for mine, other in _paired(left) if _counts(mine, other)]

    def _hunks(self) -> Iterator[tuple[Sequence[_Token], Sequence[_Token]]]:
        ours, theirs = [one.key for one in self._ours], [one.key for one in self._theirs]
        for tag, start, end, their_start, their_end in SequenceMatcher(None, ours, theirs, False).get_opcodes():
            if tag != "equal":
                yield self._ours[start:end], self._theirs[their_start:their_end]

    @staticmethod
    def _left(tokens: Sequence[_Token], others: set[str], other_text: str) -> list[_Token]:
        """Leave out what the other reading has as well, in pieces or as a part of a longer one."""
        left = []
        for run in _runs(tokens):
            wholes = {_squeezed(between.join(one.shown for one in run)).strip(_AROUND) for between in ("", ",")}
            if len(run) > 1 and any(_stands_in(whole, other_text) for whole in wholes):
                continue
            left += [one for one in run if one.key in others or not _stands_in(one.key, other_text)]
        return left


def _without(tokens: Sequence[_Token], counted: Counter[str]) -> list[_Token]:
    """Leave out as many of each as are counted, and count them off."""
    left = []
    for one in tokens:
        if counted[one.key]:
            counted[one.key] -= 1
        else:
            left.append(one)
    return left


def _runs(tokens: Sequence[_Token]) -> Iterator[list[_Token]]:
    """Yield the tokens that stand in one line, together."""
    run: list[_Token] = []
    for one in tokens:
        if run and run[-1].line != one.line:
            yield run
            run = []
        run.append(one)
    if run:
        yield run


def _stands_in(key: str, squeezed: str) -> bool:
    """Return whether a text without spaces holds a token, and not as a part of a longer number."""
    at = squeezed.find(key)
    while at >= 0:
        before, after = squeezed[max(0, at - 2) : at], squeezed[at + len(key) : at + len(key) + 2]
        if not _goes_on(key[0], before[::-1]) and not _goes_on(key[-1], after):
            return True
        at = squeezed.find(key, at + 1)
    return False


def _goes_on(edge: str, beside: str) -> bool:
    """Return whether a number or an identifier whose edge this is goes on beside it, the nearest character first."""
    if beside[:1].isdigit():
        return edge.isdigit() or edge.isascii()
    return edge.isdigit() and beside[:1] in (".", ",") and beside[1:].isdigit()


Pair = tuple[Sequence[_Token], Sequence[_Token]]


def _paired(hunks: Iterable[tuple[list[_Token], list[_Token]]]) -> list[Pair]:
    """Pair tokens of hunks one by one where both have as many, else as a whole; then strays that are alike."""
    pairs: list[Pair] = []
    for mine, other in hunks:
        if len(mine) == len(other):
            pairs += [([one], [two]) for one, two in zip(mine, other, strict=True)]
        elif mine or other:
            pairs.append((mine, other))
    return _strays_paired(pairs)


def _strays_paired(pairs: Sequence[Pair]) -> list[Pair]:
    strays = [other for mine, other in pairs if not mine and len(other) == 1]
    if len(strays) > MAX_STRAYS:
        return list(pairs)
    done: list[Pair] = []
    for mine, other in pairs:
        if len(mine) == 1 and not other:
            alike = [(_likeness(mine[0], one[0]), one) for one in strays]
            likeness, nearest = max(alike, key=lambda one: one[0], default=(0.0, ()))
            if likeness >= LEAST_ALIKE:
                strays.remove(nearest)
                done.append((mine, nearest))
                continue
        if mine or len(other) != 1:
            done.append((mine, other))
    return [*done, *(([], one) for one in strays)]


def _likeness(one: _Token, two: _Token) -> float:
    return SequenceMatcher(None, one.key, two.key, False).ratio()


def _counts(mine: Sequence[_Token], other: Sequence[_Token]) -> bool:
    """Return whether the other reading is evidence: it is sure, and saw more than a speck where nobody else did."""
    if other and min(1.0 if one.confidence is None else one.confidence for one in other) < LEAST_SURE:
        return False
    return bool(mine) or sum(char.isalnum() for one in other for char in one.key) >= LEAST_DIGITS


def _disagreement(mine: Sequence[_Token], other: Sequence[_Token]) -> Disagreement:
    boxes = [one.box for one in (mine or other) if one.box] or [one.box for one in other if one.box]
    return Disagreement(_shown(mine), _shown(other), Box.around(boxes))


def _shown(tokens: Sequence[_Token]) -> str | None:
    return " ".join(one.shown for one in tokens)[:SHOWN_CHARS] or None
