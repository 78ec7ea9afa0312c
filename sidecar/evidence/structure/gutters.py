"""White space that runs down through several rows: it parts columns of text, and the columns of tables. Pure."""

from collections.abc import Iterable, Sequence

from sidecar.evidence.structure.pieces import Placed

Interval = tuple[float, float]

WORD_GAP = 0.55
"""Words farther apart than this, in sizes of their font, may belong to different columns."""


def row_runs(row: Sequence[Placed], gap: float = WORD_GAP) -> list[Interval]:
    """Return what the words of a row cover, those nearer than the gap (in sizes) taken together."""
    if len(row) == 1:
        return list(row[0].runs(gap * row[0].size))
    found: list[Interval] = []
    for left, right in sorted(run for piece in row for run in piece.runs(gap * piece.size)):
        size = row[0].size
        if found and left - found[-1][1] < gap * size:
            found[-1] = found[-1][0], max(found[-1][1], right)
        else:
            found.append((left, right))
    return found


def gutters(rows: Sequence[Sequence[Interval]], width: float, crossed: int = 0) -> list[Interval]:
    """Return the gaps, at least so wide, with words on both sides, that at most ``crossed`` rows cross."""
    events = sorted(
        [(left, 1) for row in rows for left, _ in row] + [(right, -1) for row in rows for _, right in row],
        key=lambda event: (event[0], -event[1]),
    )
    found: list[Interval] = []
    depth, start = 0, None
    for x, step in events:
        before, depth = depth, depth + step
        if before > crossed >= depth:
            start = x
        elif before <= crossed < depth and start is not None:
            if x - start >= width:
                found.append((start, x))
            start = None
    return found


def common(ones: Iterable[Interval], others: Sequence[Interval], width: float) -> list[Interval]:
    """Return where both have room, at least so wide."""
    return [
        (max(left, start), min(right, end))
        for start, end in ones
        for left, right in others
        if end - left >= width and right - start >= width and (min(right, end)) - (max(left, start)) >= width
    ]


def free(row: Sequence[Interval], left: float, right: float) -> list[Interval]:
    """Return what the words of a row leave free between two edges."""
    found: list[Interval] = []
    for start, end in row:
        if start > left:
            found.append((left, start))
        left = max(left, end)
    return [*found, (left, right)] if right > left else found
