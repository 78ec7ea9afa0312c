"""Reads strips: a small convolutional network in plain NumPy, and the glyphs found in its columns.

It reads a strip as a whole, so no segmentation into glyphs is needed: digits may touch. Every other column is
classified: the middle of this glyph, or between glyphs. ``tools/numerals/train.py`` makes the weights.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sidecar.engines.numerals.alphabet import GAP
from sidecar.engines.numerals.strips import HEIGHT, Ink

Array = NDArray[np.float32]

WEIGHTS = Path(__file__).with_name("weights.npz")
STRIDE = 2
"""Columns of a strip per classified column."""
MARGIN = 18
"""Empty columns between strips: more than the network's receptive field to each side."""
MOST_COLUMNS = 2048
"""Columns read at once: the intermediate values fit into a core's cache."""
GLYPH_ROOM, MARK_ROOM = 4.5, 2.5
"""Fewest classified columns from one middle to the next: digits in training were never nearer than 5.3."""
LEAST_BEHIND = 0.6
"""Lowest likelihood of a glyph, summed over columns: real ones have 4.5, and 97 of 100 more than this."""
MARK_CLASSES = range(21, 25)


@dataclass(frozen=True, slots=True)
class Sight:
    """A glyph that was seen: its middle, in columns of the strip, and the likelihood of each class."""

    middle: float
    likely: Array


def read(strips: Sequence[Ink]) -> list[list[Sight]]:
    """Read strips; return the glyphs of each from left to right."""
    seen: list[list[Sight]] = []
    for group in _groups(strips):
        starts, wide = [], MARGIN
        for strip in group:
            starts.append(wide)
            wide += (strip.shape[1] + MARGIN + 1) // STRIDE * STRIDE
        sheet = np.zeros((HEIGHT, wide), np.float32)
        for start, strip in zip(starts, group, strict=True):
            sheet[:, start : start + strip.shape[1]] = strip
        likely = _likely(sheet)
        for start, strip in zip(starts, group, strict=True):
            first = start // STRIDE
            seen.append(_glyphs(likely[:, first : first + -(-strip.shape[1] // STRIDE)]))
    return seen


def _groups(strips: Sequence[Ink]) -> list[list[Ink]]:
    groups: list[list[Ink]] = []
    room = 0
    for strip in strips:
        wide = strip.shape[1] + MARGIN
        if wide > room:
            groups.append([])
            room = MOST_COLUMNS
        groups[-1].append(strip)
        room -= wide
    return groups


def _glyphs(likely: Array) -> list[Sight]:
    """Find the runs of columns that agree on a glyph; if two are too near, the one with more likelihood counts.

    All columns around its middle contribute to a glyph's class: a second shape within it is a doubt.
    """
    best = likely.argmax(axis=0)
    changes = np.flatnonzero(np.diff(best)) + 1
    found: list[tuple[float, float, bool]] = []  # its likelihood, its middle, whether it is a mark
    for start, end in zip([0, *changes], [*changes, len(best)], strict=True):
        if end > start and best[start] != GAP:
            behind = float(likely[best[start], start:end].sum())
            found.append((behind, (start + end - 1) / 2, best[start] in MARK_CLASSES))
    kept: list[tuple[float, bool]] = []
    for behind, middle, is_mark in sorted(found, reverse=True):
        if behind >= LEAST_BEHIND and all(abs(middle - at) >= _room(is_mark or mark) for at, mark in kept):
            kept.append((middle, is_mark))
    return [Sight(float(middle + 0.5) * STRIDE, _about(likely, middle, is_mark)) for middle, is_mark in sorted(kept)]


def _room(narrow: bool) -> float:
    return MARK_ROOM if narrow else GLYPH_ROOM


def _about(likely: Array, middle: float, narrow: bool) -> Array:
    reach = MARK_ROOM / 2 if narrow else GLYPH_ROOM / 2
    total = likely[:, max(0, round(middle - reach)) : round(middle + reach) + 1].sum(axis=1)
    total[GAP] = 0
    shares: Array = total / max(float(total.sum()), 1e-6)
    return shares


def _likely(ink: Ink) -> Array:
    """Return the likelihood of each class in every other column, (classes, columns / 2)."""
    x = _rectify(_convolve(ink[None], "a", (2, 2), (2, 2)))
    x = _rectify(_convolve(x, "b", (1, 1), (2, 1)))
    x = _rectify(_convolve(x, "c", (1, 1), (2, 1)))
    x = _rectify(_convolve(x, "d", (0, 1)))
    x = x + _rectify(_convolve(x, "e", (0, 2)))
    scores = _convolve(x, "f", (0, 2))[:, 0]
    exponents = np.exp(scores - scores.max(axis=0))
    likelihoods: NDArray[np.float32] = exponents / exponents.sum(axis=0)
    return likelihoods


def _convolve(x: Array, layer: str, padding: tuple[int, int], stride: tuple[int, int] = (1, 1)) -> Array:
    """Convolve (channels, rows, columns) with a layer's weights, as one product of matrices."""
    weight, bias = load_weights()[f"{layer}_weight"], load_weights()[f"{layer}_bias"]
    outputs, channels, high, wide = weight.shape
    padded = np.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2)) if any(padding) else x
    down, right = stride
    rows, columns = (padded.shape[1] - high) // down + 1, (padded.shape[2] - wide) // right + 1
    views = np.empty((channels, high, wide, rows, columns), np.float32)
    for row in range(high):
        for column in range(wide):
            views[:, row, column] = padded[:, row : row + rows * down : down, column : column + columns * right : right]
    y: Array = weight.reshape(outputs, -1) @ views.reshape(channels * high * wide, -1)
    y += bias[:, None]
    return y.reshape(outputs, rows, columns)


def _rectify(x: Array) -> Array:
    return np.maximum(x, 0, out=x)


@functools.cache
def load_weights() -> dict[str, Array]:
    """Load the weights, once a process: float16 on disk, float32 to compute with."""
    with np.load(WEIGHTS) as stored:
        return {name: stored[name].astype(np.float32) for name in stored.files}
