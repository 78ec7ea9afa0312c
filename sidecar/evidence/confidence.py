"""How sure a page's text is: one figure, where it comes from, and a verdict. Pure.

The figure is the share of the text whose reader is sure of it, and that looks like text. How well it tells good pages
from bad ones was measured (docs/quality.md).
"""

import functools
import math
import operator
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum


class Verdict(StrEnum):
    """What to make of a page."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Origin(StrEnum):
    """What the figure was made from."""

    WORDS = "words"
    """The confidences of the engine's words or lines, and whether the text looks like text."""
    TOKENS = "tokens"
    """The probabilities of the model's tokens, likewise."""
    TEXT = "text"
    """Whether the text looks like text, of a text layer."""
    AGREEMENT = "agreement"
    """A second reading, where there is nothing else."""


@dataclass(frozen=True)
class Certainty:
    """Characters of a text, white space left out: all, those its reader is not sure of, and those of fragments."""

    origin: Origin
    characters: int
    unsure: int
    fragments: int

    def __add__(self, other: "Certainty") -> "Certainty":
        """Return that of both texts together."""
        return Certainty(
            self.origin,
            self.characters + other.characters,
            self.unsure + other.unsure,
            self.fragments + other.fragments,
        )

    def lacking(self, characters: int) -> "Certainty":
        """Return that of a text in which so many characters are missing that another reader is sure of."""
        return replace(self, characters=self.characters + characters, unsure=self.unsure + characters)

    @property
    def share(self) -> float:
        """The share that is sure, 0 to 1; of no text nothing is."""
        return max(0.0, 1 - (self.unsure + self.fragments) / self.characters) if self.characters else 0.0


@dataclass(frozen=True, slots=True)
class Doubts:
    """What else there is against a page's text.

    ``disagreed``: the share of what was compared in which another reader differs; None: nothing was compared.
    """

    is_partial: bool = False
    """Whether the text breaks off, or its reader lost its way."""
    is_guessed: bool = False
    """Whether a numeral of it is a guess, or more of it had to be mended."""
    disagreed: float | None = None


@dataclass(frozen=True, slots=True)
class Quality:
    """How sure a page's text is, 0 to 1."""

    score: float
    origin: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """Below ``low`` a page is low; from ``high`` on it is high."""

    low: float = 0.85
    high: float = 0.95


SURE = 85
"""Confidence, of 100, from which on a word is sure."""
SURE_LOGPROB = math.log(0.5)
"""Logarithm of the probability from which on a token is sure: the model had no likelier choice. Not measured: there was
no real model at hand."""
LEAST_PIECES, FRAGMENT_CHARS = 3, 2.5
"""A line of so many pieces, shorter than this on average, is a line of fragments: the marks above Thai letters read as
a line of their own, rules and specks. Lines of numerals are none."""
GUESSED_MOST = 0.9
"""The score of a page with doubts, at most: it is not high."""
PARTIAL_MOST = 0.5
"""The score of a part of a page, at most: it is low."""


def certainty(words: Iterable[tuple[str, float]], text: str, sure: float = SURE) -> Certainty:
    """Judge a text by its words, each with its confidence; what ``sure`` is depends on who read it."""
    told = [(sum(map(len, word.split())), confidence) for word, confidence in words]
    unsure = sum(length for length, confidence in told if confidence < sure)
    return Certainty(Origin.WORDS, sum(length for length, _ in told), unsure, fragments(text))


def certainty_of_tokens(tokens: Iterable[tuple[str, float]]) -> Certainty:
    """Judge tokens by the logarithms of their probabilities."""
    told = [(sum(map(len, token.split())), logprob) for token, logprob in tokens]
    unsure = sum(length for length, logprob in told if logprob < SURE_LOGPROB)
    return Certainty(Origin.TOKENS, sum(length for length, _ in told), unsure, 0)


def joined_certainty(pieces: Iterable[Certainty | None]) -> Certainty | None:
    """Return that of the pieces of a page together; None if nothing is known of any."""
    told = [one for one in pieces if one]
    return functools.reduce(operator.add, told) if told else None


def of_text(text: str, *, was_read: bool) -> Certainty:
    """Judge a text layer by itself; only one that an OCR wrote can be torn: code and formulas have short pieces."""
    torn = fragments(text) if was_read else 0
    return Certainty(Origin.TEXT, len(text) - text.count(" ") - text.count("\n"), 0, torn)


def fragments(text: str) -> int:
    """Count the characters in lines that are no text but pieces."""
    lines = [line for line in text.split("\n") if _may_be_torn(line)]
    return sum(sum(map(len, pieces)) for pieces in map(str.split, lines) if _is_torn(pieces))


def _may_be_torn(line: str) -> bool:
    """Return whether a line may be torn, by its length and its spaces alone: nearly all lines are not, at a glance."""
    spaces = line.count(" ") + line.count("\t")
    return spaces >= LEAST_PIECES - 1 and len(line) - spaces < FRAGMENT_CHARS * (spaces + 1)


def _is_torn(pieces: list[str]) -> bool:
    if len(pieces) < LEAST_PIECES or sum(map(len, pieces)) >= FRAGMENT_CHARS * len(pieces):
        return False
    return 2 * sum(piece.strip(".,:-").isdecimal() for piece in pieces) < len(pieces)


def quality(read: Certainty | None, doubts: Doubts, limits: QualityLimits) -> Quality | None:
    """Judge a page; None where nothing is known of it."""
    if read is None and doubts.disagreed is None:
        return None
    score = read.share if read else 1 - (doubts.disagreed or 0)
    origins = [read.origin] if read else []
    if doubts.disagreed is not None:
        origins.append(Origin.AGREEMENT)
        score = min(score, 1 - doubts.disagreed)
    if doubts.is_guessed or doubts.disagreed:
        score = min(score, GUESSED_MOST)
    if doubts.is_partial:
        score = min(score, PARTIAL_MOST)
    return Quality(round(score, 3), "+".join(origins), _verdict(score, limits))


def _verdict(score: float, limits: QualityLimits) -> Verdict:
    if score < limits.low:
        return Verdict.LOW
    return Verdict.HIGH if score >= limits.high else Verdict.MEDIUM
