"""Gives the words of a text the places of the same words in another reading of the page. Pure.

A reader that tells no places, such as a vision model, reads the same ink as one that does: their words are aligned at
the least edit distance, first whole words, then the letters of what lies between them. What nobody else saw has no
place.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from sidecar.evidence.layout import Box, Word

LEAST_SEEN = 0.5
"""Share of a word's letters that must be seen at a place, for the place to be its own."""
MOST_LETTERS = 4_000
"""Letters of a part without one word in common that are aligned one by one: of 20,000 on a page, that takes 0.1 s."""
ROUNDS = 3
"""How often what is left over is aligned once more: readers differ in the order of columns, headers and captions."""
LEAST_RUN = 2
"""Words in a row that must be the same to be found in another order, since short words are everywhere."""
_AROUND = "*_`#|\"'.,;:!?()[]{}<>\u2018\u2019\u201c\u201d"


@dataclass(frozen=True, slots=True)
class _Span:
    """A part of both readings: of the words from ``first`` to ``end``, and of those seen likewise."""

    first: int
    end: int
    seen_first: int
    seen_end: int


def place(words: Sequence[str], seen: Sequence[Word]) -> list[Box | None]:
    """Return for each word where it stands, by the words that somebody saw; None where nobody saw it.

    Takes 3,000 words in some milliseconds.
    """
    boxes: list[Box | None] = [None] * len(words)
    found = [word for word in seen if word.box]
    left, left_seen = list(range(len(words))), list(range(len(found)))
    for number in range(ROUNDS):
        pairs, between = _pairs([words[at] for at in left], [found[at].text for at in left_seen])
        if number:
            pairs, between = _runs(pairs), []
        for at, seen_at in pairs:
            boxes[left[at]] = found[left_seen[seen_at]].box
        for span in between:
            inner, inner_seen = left[span.first : span.end], left_seen[span.seen_first : span.seen_end]
            for at, box in _place_letters([words[at] for at in inner], [found[at] for at in inner_seen]):
                boxes[inner[at]] = box
        taken = {left_seen[seen_at] for _, seen_at in pairs}
        left, left_seen = [at for at in left if boxes[at] is None], [at for at in left_seen if at not in taken]
        if not left or not left_seen:
            break
    return boxes


def _pairs(words: Sequence[str], seen: Sequence[str]) -> tuple[list[tuple[int, int]], list[_Span]]:
    """Pair the words that are the same, in order; also return what lies between them on both sides."""
    pairs: list[tuple[int, int]] = []
    between: list[_Span] = []
    keys, seen_keys = [_key(word) for word in words], [_key(word) for word in seen]
    first = seen_first = 0
    for block in Levenshtein.opcodes(keys, seen_keys).as_matching_blocks():
        if block.a > first and block.b > seen_first:
            between.append(_Span(first, block.a, seen_first, block.b))
        pairs += zip(range(block.a, block.a + block.size), range(block.b, block.b + block.size), strict=True)
        first, seen_first = block.a + block.size, block.b + block.size
    return pairs, between


def _runs(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the pairs that stand beside another one on both sides."""
    known = set(pairs)
    return [
        (at, seen)
        for at, seen in pairs
        if any((at + by, seen + by) in known for by in range(-LEAST_RUN + 1, LEAST_RUN) if by)
    ]


def _key(word: str) -> str:
    return word.strip(_AROUND).casefold() or word


def _place_letters(words: Sequence[str], seen: Sequence[Word]) -> Iterator[tuple[int, Box]]:
    """Yield the places of words of which enough letters are found in what was seen, each with the word's number."""
    letters, owners = _letters(words)
    seen_letters, seen_owners = _letters([word.text for word in seen])
    if not letters or max(len(letters), len(seen_letters)) > MOST_LETTERS:
        return
    matched: dict[int, list[int]] = {}
    for block in Levenshtein.opcodes(letters, seen_letters).as_matching_blocks():
        for by in range(block.size):
            matched.setdefault(owners[block.a + by], []).append(block.b + by)
    offsets = _offsets([word.text for word in seen])
    for at, spots in matched.items():
        if len(spots) >= LEAST_SEEN * len(_bare(words[at])):
            box = _part(seen, seen_owners, offsets, spots)
            if box:
                yield at, box


def _part(seen: Sequence[Word], owners: Sequence[int], offsets: Sequence[int], spots: Sequence[int]) -> Box | None:
    """Return the box around letters that were seen: of each word that has some, from the first to the last of them."""
    ends: dict[int, tuple[int, int]] = {}
    for spot in spots:
        least, most = ends.get(owners[spot], (spot, spot))
        ends[owners[spot]] = min(least, spot), max(most, spot)
    return Box.around(
        _cut(box, seen[at].text, least - offsets[at], most + 1 - offsets[at])
        for at, (least, most) in ends.items()
        if (box := seen[at].box)
    )


def _cut(box: Box, text: str, first: int, end: int) -> Box:
    """Return the part of a word's box that these of its letters take, as if all that have a width had the same."""
    bare = _bare(text)
    widths = [0 if unicodedata.category(letter) == "Mn" else 1 for letter in bare]
    whole = sum(widths) or 1
    if first == 0 and end == len(bare):
        return box
    left, right = (box.left + box.width * sum(widths[:at]) / whole for at in (first, end))
    return Box(round(left, 2), box.top, round(right, 2), box.bottom)


def _bare(word: str) -> str:
    return word.casefold()


def _letters(words: Sequence[str]) -> tuple[str, list[int]]:
    """Return all letters, and for each the number of its word."""
    bare = [_bare(word) for word in words]
    return "".join(bare), [at for at, word in enumerate(bare) for _ in word]


def _offsets(words: Sequence[str]) -> list[int]:
    """Return for each word where it begins among all letters."""
    starts, at = [], 0
    for word in words:
        starts.append(at)
        at += len(_bare(word))
    return starts
