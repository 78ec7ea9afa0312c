"""Notices that a model repeats itself for ever, while it does. Pure: the clock comes in as an argument."""

import unicodedata
from collections import deque
from collections.abc import Iterator

MIN_REPEATED_CHUNKS = 60
"""Chunks of the stream, about a token each, that only repeat what was before: no sentence, list or table row does."""
MIN_REPEATED_CHARS = 400
"""For streams of larger chunks: the limit of repeated characters."""
MIN_REPEATS = 4
LONG_UNIT_CHARS, MIN_LONG_REPEATS = 100, 2
"""How often the unit must have come again; a form holds a line four times, but no paragraph three times."""
FORM_WORD_SHARE = 0.5
FORM_S = 2.5
"""Whole lines, and rules, dot leaders and empty cells, of whose characters fewer than half belong to words, may go on
for so long, in seconds: columns and forms have many equal lines, and a fast model is through with them in less."""
TAIL_CHARS = 4096
PROBE_CHARS = (16, 128)
"""Lengths of the end that is searched for: a short one finds short units, a long one those that end in a rule."""
PROBES = 4


class RepetitionWatch:
    """Fed a stream piece by piece, tells when its end has become endless repetition."""

    def __init__(self) -> None:
        self._tail = ""
        self._chunks: deque[tuple[int, float]] = deque(maxlen=MIN_REPEATED_CHUNKS)
        """Characters of the last chunks, and when each came."""
        self._repeating_since_s: float | None = None

    def is_looping(self, chunk: str, now_s: float) -> bool:
        """Take the next piece; tell whether the stream should be ended. ``now_s`` is any steady clock's."""
        if not chunk:
            return False
        self._tail = (self._tail + chunk)[-TAIL_CHARS:]
        self._chunks.append((len(chunk), now_s))
        unit = self._repeated_unit()
        if not unit:
            self._repeating_since_s = None
            return False
        if self._repeating_since_s is None:
            self._repeating_since_s = self._chunks[0][1]
        if "\n" not in unit and _word_share(unit) >= FORM_WORD_SHARE:
            return True
        return now_s - self._repeating_since_s >= FORM_S or self._repeats(len(unit), TAIL_CHARS - len(unit))

    def _repeated_unit(self) -> str:
        """Give what the end repeats, or nothing."""
        for period in self._periods():
            if self._repeats(period, self._needed_chars(period)):
                return self._tail[-period:]
        return ""

    def _periods(self) -> Iterator[int]:
        """Guess how long the unit is: where the last characters were before, tells."""
        for chars in PROBE_CHARS:
            probe, end = self._tail[-chars:], len(self._tail) - 1
            for _ in range(PROBES):
                at = self._tail.rfind(probe, 0, end)
                if at < 0:
                    break
                yield len(self._tail) - len(probe) - at
                end = at + len(probe) - 1

    def _needed_chars(self, period: int) -> int:
        enough = MIN_REPEATED_CHARS
        if len(self._chunks) == MIN_REPEATED_CHUNKS:
            enough = min(enough, sum(chars for chars, _ in self._chunks))
        return max(enough, (MIN_LONG_REPEATS if period >= LONG_UNIT_CHARS else MIN_REPEATS) * period)

    def _repeats(self, period: int, chars: int) -> bool:
        """Tell whether each of the last ``chars`` characters is the one ``period`` before it."""
        start = len(self._tail) - chars - period
        return start >= 0 and self._tail[start:-period] == self._tail[start + period :]


def _word_share(unit: str) -> float:
    """Share of letters, digits and the marks that Thai sets above and below them; blanks count as the rest."""
    words = sum(character.isalnum() or unicodedata.category(character).startswith("M") for character in unit)
    return words / len(unit)
