"""Detects endless repetition in a model's stream. Pure: the time is an argument."""

import unicodedata
from collections import deque
from collections.abc import Iterator

MIN_REPEATED_CHUNKS = 60
"""Chunks of the stream, about a token each, that only repeat earlier text: no sentence, list or table row is as
long."""
MIN_REPEATED_CHARS = 400
"""The limit of repeated characters, for streams of larger chunks."""
MIN_REPEATS = 4
LONG_UNIT_CHARS, MIN_LONG_REPEATS = 100, 2
"""How often the unit must be repeated; a form may hold a line four times, but no paragraph three times."""
FORM_WORD_SHARE = 0.5
FORM_S = 2.5
"""Whole lines, and units like rules, dot leaders and empty cells with under half of their characters in words, may
repeat for this long, in seconds: columns and forms have many equal lines, and a fast model writes them in less."""
TAIL_CHARS = 4096
PROBE_CHARS = (16, 128)
"""Lengths of the suffix that is searched for: a short one finds short units, a long one those that end in a rule."""
PROBES = 4


class RepetitionWatch:
    """Takes a stream piece by piece, and detects when it only repeats itself."""

    def __init__(self) -> None:
        self._tail = ""
        self._chunks: deque[tuple[int, float]] = deque(maxlen=MIN_REPEATED_CHUNKS)
        """Characters of the last chunks, and when each arrived."""
        self._repeating_since_s: float | None = None

    def is_looping(self, chunk: str, now_s: float) -> bool:
        """Take the next piece; return whether the stream should be ended. ``now_s`` is from any monotonic clock."""
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
        """Return the unit that is repeated at the end, or an empty string."""
        for period in self._periods():
            if self._repeats(period, self._needed_chars(period)):
                return self._tail[-period:]
        return ""

    def _periods(self) -> Iterator[int]:
        """Guess the unit's length from where the last characters occurred before."""
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
        """Return whether each of the last ``chars`` characters is the one ``period`` before it."""
        start = len(self._tail) - chars - period
        return start >= 0 and self._tail[start:-period] == self._tail[start + period :]


def _word_share(unit: str) -> float:
    """Return the share of letters, digits and Thai marks above and below them; spaces count as the rest."""
    words = sum(character.isalnum() or unicodedata.category(character).startswith("M") for character in unit)
    return words / len(unit)
