"""Ruling lines on a picture of a page: long runs of dark pixels. Runs in worker processes only.

Pillow shrinks the picture along the lines that are looked for, so that one dark pixel is left of a run of dark ones.
"""

import re
from collections.abc import Iterator

from PIL import Image

from sidecar.documents.pages import PageImage

Rectangle = tuple[int, int, int, int]
"""Left, top, right and bottom edge, in pixels."""

STEP_INCHES = 0.1
"""A pixel of the shrunken picture: longer than strokes of letters are."""
INK = 200
"""Darkest paper and lightest ink: rules are often grey, and thin ones get lighter when they are drawn."""
DARK = 51
"""Mean of a run of which 80 % is ink: the fullest row of a line of letters has less than two thirds."""
MIN_STEPS, MIN_UPRIGHT_STEPS = 6, 3
"""Shortest level rule, 0.6 inches, and shortest upright one: two lines of text."""
MAX_THICKNESS_INCHES = 0.05
MAX_RULES = 2_000

BESIDE, MAX_INK_BESIDE = 3, 0.25
"""So many pixels beside a rule, at most this share of a row is ink."""
SEED_STEPS = 3
"""So many steps of a rule at least are whole; elsewhere single steps may be torn."""
_TORN = re.compile(b"\x01+(?:\x00\x01+)*")
_INK = [0 if value <= INK else 255 for value in range(256)]
_DARK = bytes(1 if value <= DARK else 0 for value in range(256))


def find_rules(page: PageImage) -> list[Rectangle]:
    """Return the level and upright rules of a page whose lines are level."""
    step = max(2, round(STEP_INCHES * page.dpi))
    if page.width < step or page.height < step:
        return []
    picture = Image.frombuffer("L", (page.width, page.height), page.pixels, "raw", "L", 0, 1).point(_INK)
    thick = max(2, round(MAX_THICKNESS_INCHES * page.dpi))
    level = list(_runs(picture, step, MIN_STEPS, thick))
    upright = [
        (top, left, bottom, right)
        for left, top, right, bottom in _runs(
            picture.transpose(Image.Transpose.TRANSPOSE), step, MIN_UPRIGHT_STEPS, thick
        )
    ]
    return [*level[:MAX_RULES], *upright[:MAX_RULES]]


def _runs(picture: Image.Image, step: int, least: int, thick: int) -> Iterator[Rectangle]:
    """Give the level runs of dark pixels, those in neighbouring rows as one."""
    columns = picture.width // step
    shrunken = picture.resize((columns, picture.height), Image.Resampling.BOX, (0, 0, columns * step, picture.height))
    marks = shrunken.tobytes().translate(_DARK)
    open_runs: list[list[int]] = []
    for row in _rows_with(marks, columns, SEED_STEPS):
        line = marks[row * columns : (row + 1) * columns]
        for found in _TORN.finditer(line):
            start, end = found.span()
            if end - start < least:
                continue
            same = next((one for one in open_runs if one[3] >= row - 1 and start < one[2] and one[0] < end), None)
            if same:
                same[0], same[2], same[3] = min(same[0], start), max(same[2], end), row + 1
            else:
                open_runs.append([start, row, end, row + 1])
        closed = (one for one in open_runs if one[3] < row)
        yield from (_whole(picture, one, step) for one in closed if _is_rule(picture, one, step, thick))
        open_runs = [one for one in open_runs if one[3] >= row]
    yield from (_whole(picture, one, step) for one in open_runs if _is_rule(picture, one, step, thick))


def _rows_with(marks: bytes, columns: int, least: int) -> Iterator[int]:
    """Give the rows that have a run of marks."""
    run, at, before = b"\x01" * least, marks.find(b"\x01" * least), -1
    while at >= 0:
        row = at // columns
        if row > before:
            yield row
            before = row
        at = marks.find(run, (row + 1) * columns if at % columns <= columns - least else at + 1)


def _is_rule(picture: Image.Image, run: list[int], step: int, thick: int) -> bool:
    """Return whether a run is thin and stands on paper: beside the fullest row of letters are their strokes."""
    if run[3] - run[1] > thick:
        return False
    beside = (run[1] - BESIDE - 1, run[3] + BESIDE)
    rows = [picture.crop((run[0] * step, y, run[2] * step, y + 1)).tobytes() for y in beside if 0 <= y < picture.height]
    return all(row.count(b"\0") <= MAX_INK_BESIDE * len(row) for row in rows)


def _whole(picture: Image.Image, run: list[int], step: int) -> Rectangle:
    """Return a run in the picture's own pixels, up to where its ink ends."""
    left, right, middle = run[0] * step, run[2] * step, (run[1] + run[3] - 1) // 2
    before = picture.crop((max(0, left - step), middle, left, middle + 1)).tobytes()
    behind = picture.crop((right, middle, min(picture.width, right + step), middle + 1)).tobytes()
    left -= len(before) - len(before.rstrip(b"\0"))
    right += len(behind) - len(behind.lstrip(b"\0"))
    return left, run[1], right, run[3]
