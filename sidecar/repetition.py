"""Notices that a model repeats itself for ever, while it does. Pure: the clock comes in as an argument."""

from collections import deque

MIN_REPEATED_CHUNKS = 60
"""Chunks of the stream, about a token each, that only repeat what was before: no sentence, list or table row does."""
MIN_REPEATED_CHARS = 400
"""For streams of larger chunks: so many characters that only repeat."""
MIN_REPEATS = 4
LONG_UNIT_CHARS, MIN_LONG_REPEATS = 100, 2
"""How often the unit must have come again; a form holds a line four times, but no paragraph three times."""
LINES_S = 2.5
"""Rules, dot leaders and empty cells (nothing but punctuation and blanks) may go on for so long, in seconds: a page has
such lines, and a fast model is through with one in less."""
TAIL_CHARS = 4096
PROBE_CHARS = 16
PROBES = 8


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
        if any(character.isalnum() for character in unit):
            return True
        return now_s - self._repeating_since_s >= LINES_S or self._repeats(len(unit), TAIL_CHARS - len(unit))

    def _repeated_unit(self) -> str:
        """Give what the end repeats, or nothing: where its last characters were before, tells the period."""
        probe = self._tail[-PROBE_CHARS:]
        end = len(self._tail) - 1
        for _ in range(PROBES):
            at = self._tail.rfind(probe, 0, end)
            if at < 0:
                return ""
            period = len(self._tail) - PROBE_CHARS - at
            if self._repeats(period, self._needed_chars(period)):
                return self._tail[-period:]
            end = at + PROBE_CHARS - 1
        return ""

    def _needed_chars(self, period: int) -> int:
        enough = MIN_REPEATED_CHARS
        if len(self._chunks) == MIN_REPEATED_CHUNKS:
            enough = min(enough, sum(chars for chars, _ in self._chunks))
        return max(enough, (MIN_LONG_REPEATS if period >= LONG_UNIT_CHARS else MIN_REPEATS) * period)

    def _repeats(self, period: int, chars: int) -> bool:
        """Tell whether each of the last ``chars`` characters is the one ``period`` before it."""
        start = len(self._tail) - chars - period
        return start >= 0 and self._tail[start:-period] == self._tail[start + period :]
