"""How far a text is from the truth: character errors, words, and the tests of olmOCR's benchmark. Pure."""

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rapidfuzz import fuzz
from rapidfuzz.distance import Levenshtein

_SAME = str.maketrans("\u2018\u2019\u201c\u201d\u2013\u2014", "''\"\"--", "\u00ad")
"""Characters that typists use for one another, and the soft hyphen."""


Table = Sequence[Sequence[str]]


def normal(text: str) -> str:
    """Compose characters (NFC), use one kind of quotes and dashes, and fold white space."""
    return " ".join(unicodedata.normalize("NFC", text).translate(_SAME).split())


def error_rate(read: str, true: str) -> float:
    """Return the edits that make the true text of the read one, per true character; at most 1."""
    read, true = normal(read), normal(true)
    return min(1.0, Levenshtein.distance(read, true) / max(1, len(true)))


def error_rate_without_spaces(read: str, true: str) -> float:
    """Do as :func:`error_rate` without white space, which Thai hardly uses and truths set differently."""
    return error_rate(normal(read).replace(" ", ""), normal(true).replace(" ", ""))


def error_rate_any_order(read: str, true: str) -> float:
    """Do as :func:`error_rate_without_spaces`, but let words stand in any order, where that is better.

    What no word of the other text stands for counts as a whole.
    """
    got, want = Counter(normal(read).split()), Counter(normal(true).split())
    missing, spare = list((want - got).elements()), list((got - want).elements())
    edits = 0
    for word in sorted(missing, key=len, reverse=True):
        distances = [(Levenshtein.distance(word, one), one) for one in spare]
        distance, nearest = min(distances, default=(len(word), ""))
        if distance < len(word):
            spare.remove(nearest)
        edits += min(distance, len(word))
    edits += sum(map(len, spare))
    in_any_order = edits / max(1, sum(map(len, normal(true).split())))
    return min(error_rate_without_spaces(read, true), in_any_order)


def word_scores(read: str, true: str) -> tuple[float, float]:
    """Return recall and precision of the words, whatever their order and case."""
    got, want = Counter(normal(read).upper().split()), Counter(normal(true).upper().split())
    hits = (got & want).total()
    return hits / max(1, want.total()), hits / max(1, got.total())


def f1(scores: Iterable[tuple[float, float]]) -> float:
    """Return the harmonic mean of mean recall and mean precision; 0 of nothing."""
    recalls, precisions = zip(*scores, strict=True) if (scores := list(scores)) else ((0.0,), (0.0,))
    recall, precision = sum(recalls) / len(recalls), sum(precisions) / len(precisions)
    return 2 * recall * precision / (recall + precision) if recall + precision else 0.0


def whole_amounts(read: str, amounts: Iterable[str]) -> int:
    """Count the amounts that stand in the text whole and right, as often as they are there."""
    pieces = Counter(piece.strip(".,-/()") for piece in normal(read).split())
    return (Counter(amounts) & pieces).total()


# ── the tests of olmOCR's benchmark, as its own code judges them ──────────────────────────────────────────────────


def passes(read: str, test: Mapping[str, Any]) -> bool | None:
    """Return whether a text passes one test; None for kinds that say nothing of text, such as formulas."""
    match test["type"]:
        case "present":
            return _holds(_part(read, test), test["text"], test.get("max_diffs", 0))
        case "absent":
            return not _holds(_part(read, test), test["text"], test.get("max_diffs", 0))
        case "order":
            first, then = (_place(read, test[name], test.get("max_diffs", 0)) for name in ("before", "after"))
            return first is not None and then is not None and first < then
        case "baseline":
            return len(read.strip()) <= test["max_length"] if "max_length" in test else bool(read.strip())
        case "table":
            return any(_has_cell(table, test) for table in tables(read))
    return None


def _part(read: str, test: Mapping[str, Any]) -> str:
    if test.get("first_n"):
        return read[: test["first_n"]]
    return read[-test["last_n"] :] if test.get("last_n") else read


def _holds(read: str, passage: str, max_diffs: int) -> bool:
    wanted = normal(passage)
    needed = 100 * (1 - max(max_diffs, 0) / max(1, len(wanted)))
    return not wanted or fuzz.partial_ratio(wanted, normal(read)) >= needed - 1e-6


def _place(read: str, passage: str, max_diffs: int) -> int | None:
    """Return where a passage begins; None if it is not there with so few differences."""
    wanted = normal(passage)
    found = fuzz.partial_ratio_alignment(wanted, normal(read))
    likely = found and found.score >= 100 * (1 - max_diffs / max(1, len(wanted))) - 1e-6
    return found.dest_start if found and likely else None


def tables(read: str) -> list[Table]:
    """Return the tables of a text, in Markdown or HTML, as rows of cells."""
    found: list[Table] = []
    rows: list[list[str]] = []
    for line in [*read.splitlines(), ""]:
        if line.count("|") >= 2:
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            rows += [] if all(re.fullmatch(r":?-{2,}:?", cell) for cell in cells) else [cells]
        elif rows:
            found.append(rows)
            rows = []
    return found + [_html_rows(table) for table in re.findall(r"<table.*?</table>", read, re.DOTALL | re.IGNORECASE)]


def _html_rows(table: str) -> list[list[str]]:
    """Return a table's rows; a cell that spans others stands in each of their places."""
    placed: dict[tuple[int, int], str] = {}
    for row, content in enumerate(re.findall(r"<tr.*?</tr>", table, re.DOTALL | re.IGNORECASE)):
        column = 0
        for attributes, cell in re.findall(r"<t[hd]([^>]*)>(.*?)</t[hd]>", content, re.DOTALL | re.IGNORECASE):
            while (row, column) in placed:
                column += 1
            text = html.unescape(re.sub(r"<[^>]+>", " ", cell)).strip()
            rows, columns = _span(attributes, "rowspan"), _span(attributes, "colspan")
            placed |= {(row + down, column + across): text for down in range(rows) for across in range(columns)}
            column += columns
    height, width = (max((place[at] for place in placed), default=-1) + 1 for at in (0, 1))
    return [[placed.get((row, column), "") for column in range(width)] for row in range(height)]


def _span(attributes: str, name: str) -> int:
    found = re.search(rf'{name}="?(\d+)', attributes, re.IGNORECASE)
    return int(found[1]) if found else 1


def _has_cell(table: Table, test: Mapping[str, Any]) -> bool:
    places = ((row, column) for row, cells in enumerate(table) for column in range(len(cells)))
    return any(_is_cell(table, row, column, test) for row, column in places)


def _is_cell(table: Table, row: int, column: int, test: Mapping[str, Any]) -> bool:
    diffs = test.get("max_diffs", 0)
    neighbours = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
    return (
        _same(table[row][column], test["cell"], diffs)
        and all(
            _same(_cell(table, row + down, column + across), test[name], diffs)
            for name, (down, across) in neighbours.items()
            if test.get(name)
        )
        and _heads(test.get("top_heading"), [_cell(table, above, column) for above in range(row)], diffs)
        and _heads(test.get("left_heading"), [_cell(table, row, before) for before in range(column)], diffs)
    )


def _heads(heading: str | None, cells: Iterable[str], diffs: int) -> bool:
    return not heading or any(_same(cell, heading, diffs) for cell in cells)


def _cell(table: Table, row: int, column: int) -> str:
    return table[row][column] if 0 <= row < len(table) and 0 <= column < len(table[row]) else ""


def _same(one: str, other: str, diffs: int) -> bool:
    one, other = normal(one), normal(other)
    return Levenshtein.distance(one, other) <= max(diffs, len(other) // 10)
