"""What was changed in a text after it was read, and the way back to what was read. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """What replaced a part of a text, from ``start`` to ``end``."""

    start: int
    end: int
    text: str


def edited(text: str, edits: Iterable[Edit]) -> str:
    """Return a text after edits, which come in its order."""
    parts: list[str] = []
    end = 0
    for edit in edits:
        parts += text[end : edit.start], edit.text
        end = edit.end
    return "".join([*parts, text[end:]])


class Back:
    """Leads from places in a text that was changed back to places in what was read."""

    def __init__(self, edits: Sequence[Edit]) -> None:
        self._edits = edits
        self._starts: list[int] = []
        shift = 0
        for edit in edits:
            self._starts.append(edit.start + shift)
            shift += len(edit.text) - (edit.end - edit.start)

    def start(self, at: int) -> int:
        """Return where that began which now begins here."""
        return self._read(at, is_end=False)

    def end(self, at: int) -> int:
        """Return where that ended which now ends here."""
        return self._read(at, is_end=True)

    def _read(self, at: int, *, is_end: bool) -> int:
        number = bisect_right(self._starts, at - is_end) - 1
        if number < 0:
            return at
        edit, into = self._edits[number], at - self._starts[number]
        if into - is_end < len(edit.text):
            return edit.end if is_end else edit.start
        return edit.end + into - len(edit.text)

    def touches(self, start: int, end: int) -> bool:
        """Return whether something between these places was changed."""
        number = bisect_right(self._starts, end - 1) - 1
        if number < 0:
            return False
        return self._starts[number] + len(self._edits[number].text) > start or self._starts[number] >= start
