"""Cuts a piece of a text line out of a page: deskewed, with the height and contrast that the network expects."""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Ink = NDArray[np.float32]

HEIGHT = 32
"""Rows of a strip."""
ABOVE = 1.6
BELOW = 0.55
"""What a strip shows above and below the baseline, in consonant heights: all of tall digits and commas."""
CONSONANT = HEIGHT / (ABOVE + BELOW)
"""Rows of a consonant in a strip, about 15: the loops that distinguish digits take three or four of them."""
LEAST_COLUMNS = 4
BARE_SHARE = 0.12
"""A column with up to this share of the ink of the fullest one is a gap: noise leaves some."""
LEAST_CONTRAST = 48.0
"""Smallest contrast of paper and ink, in grey levels, that is stretched: noise must not become ink."""


@dataclass(frozen=True, slots=True)
class Place:
    """A piece of a line, in pixels: its columns, the baseline's height at x = 0, its slope, a consonant's height."""

    left: int
    right: int
    baseline: float
    slope: float
    consonant: float


def widest_gap(page: Pixels, place: Place) -> float:
    """Return the middle of the widest run of columns without ink, a column of the page."""
    if place.right - place.left < LEAST_COLUMNS:
        return (place.left + place.right) / 2
    ink = _as_ink(_piece(page, place)).sum(axis=0)
    empty = ink <= ink.min() + BARE_SHARE * (ink.max() - ink.min())
    edges = np.flatnonzero(np.diff(np.concatenate(([0], empty.astype(np.int8), [0]))))
    starts, ends = edges[::2], edges[1::2]
    widest = int((ends - starts).argmax())
    return place.left + float(starts[widest] + ends[widest]) / 2


def cut(page: Pixels, place: Place) -> Ink:
    """Cut a piece out of a page; return ``HEIGHT`` rows and columns in proportion, 0 is paper, 1 ink."""
    piece = _piece(page, place)
    wide = max(4, round(piece.shape[1] * HEIGHT / piece.shape[0]))
    ink = _scaling(piece.shape[0], HEIGHT) @ _as_ink(piece) @ _scaling(piece.shape[1], wide).T
    return ink.astype(np.float32)


def _piece(page: Pixels, place: Place) -> NDArray[np.float32]:
    """Return the pixels of a piece, its columns moved so that its baseline is level."""
    height, width = page.shape
    left = min(max(0, place.left), width - 1)
    columns = np.arange(left, max(left + 1, min(width, place.right)))
    middles = place.baseline + place.slope * columns
    top, bottom = round(-ABOVE * place.consonant), round(BELOW * place.consonant)
    rows = np.arange(top, max(bottom, top + 2))[:, None] + np.rint(middles).astype(int)[None, :]
    piece: NDArray[np.float32] = page[np.clip(rows, 0, height - 1), columns[None, :]].astype(np.float32)
    return piece


def _as_ink(piece: NDArray[np.float32]) -> NDArray[np.float32]:
    """Convert grey to ink: paper is what most pixels show, ink is what differs most from it, dark or light."""
    few = np.sort(piece[::2, ::2], axis=None)
    dark, paper, light = (float(few[int(len(few) * share)]) for share in (0.02, 0.5, 0.98))
    ink = dark if paper - dark >= light - paper else light
    contrast = max(LEAST_CONTRAST, abs(paper - ink)) * (1 if ink < paper else -1)
    shares: NDArray[np.float32] = np.clip((paper - piece) / contrast, 0, 1)
    return shares


@functools.lru_cache(maxsize=64)
def _scaling(source: int, target: int) -> NDArray[np.float32]:
    """Return the matrix that scales ``source`` samples to ``target``: triangles as wide as a sample of the coarser."""
    step = source / target
    middles = (np.arange(target, dtype=np.float32) + 0.5) * step - 0.5
    weights = np.clip(
        1 - np.abs(np.arange(source, dtype=np.float32)[None, :] - middles[:, None]) / max(1.0, step), 0, None
    )
    normalised: NDArray[np.float32] = weights / weights.sum(axis=1, keepdims=True)
    return normalised
