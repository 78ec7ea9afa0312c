"""How far the ink of a word reaches on a picture: readers' boxes miss it by as much as half a letter. Pure."""

from collections.abc import Iterable, Iterator, Sequence

from PIL import Image

from sidecar.documents.pages import PageImage
from sidecar.documents.raster import pillow

Rectangle = tuple[int, int, int, int]
"""Left, top, right and bottom edge, in pixels."""

REACH = 0.5
"""How far, in heights of its box, a word's ink is looked for beyond the box's sides: half a letter."""
LEAST_CONTRAST = 48
"""Grey levels by which ink differs from paper at least, so that noise is no ink."""
DARK, PAPER, LIGHT = 0.02, 0.5, 0.98
"""Shares of a line's pixels that are darker than its ink, paper and light ink."""


def fit_to_ink(page: PageImage, line: Rectangle, words: Sequence[Rectangle]) -> list[list[Rectangle]]:
    """Return the boxes of a line's words as far as their ink reaches; one without ink, or with too much, stays.

    On a picture that was turned by a few degrees, each word has a box for every letter or so: one around them all would
    have corners without ink, which lie elsewhere on the page.
    """
    image = pillow(page)
    left, top, right, bottom = _on_page(line, image)
    levels = _ink_levels(image.crop((left, top, right, bottom)).histogram()) if left < right and top < bottom else None
    if levels is None:
        return [[word] for word in words]
    rooms = _rooms(words, left, right)
    fitted = [_fitted(image, levels, word, room) for word, room in zip(words, rooms, strict=True)]
    return [_slices(image, levels, word) if page.placement.is_sloping else [word] for word in fitted]


def _slices(image: Image.Image, levels: list[int], word: Rectangle) -> list[Rectangle]:
    """Return the boxes of a word's ink in pieces that are half as wide as it is high."""
    left, top, right, bottom = word
    step = max(1, (bottom - top) // 2)
    ink = image.crop(word).point(levels)
    found = []
    for start in range(0, right - left, step):
        box = ink.crop((start, 0, min(start + step, right - left), bottom - top)).getbbox()
        if box:
            found.append((left + start + box[0], top + box[1], left + start + box[2], top + box[3]))
    return found or [word]


def _rooms(words: Sequence[Rectangle], left: int, right: int) -> Iterator[tuple[int, int]]:
    """Yield how far each word's ink may reach: to the middle of the next one on the line, on either side."""
    for at, word in enumerate(words):
        before = (words[at - 1][0] + words[at - 1][2]) // 2 if at else left
        behind = (words[at + 1][0] + words[at + 1][2]) // 2 if at + 1 < len(words) else right
        reach = round(REACH * (word[3] - word[1]))
        yield max(min(before, word[0]), word[0] - reach), min(max(behind, word[2]), word[2] + reach)


def _fitted(image: Image.Image, levels: list[int], word: Rectangle, room: tuple[int, int]) -> Rectangle:
    left, top, right, bottom = _on_page((room[0], word[1], room[1], word[3]), image)
    if left >= right or top >= bottom:
        return word
    ink = image.crop((left, top, right, bottom)).point(levels)
    columns = ink.resize((right - left, 1), Image.Resampling.BOX).tobytes()
    begin, end = _columns(columns, word[0] - left, word[2] - left)
    found = ink.crop((begin, 0, end, bottom - top)).getbbox() if begin < end else None
    if found is None:
        return word
    return left + begin + found[0], top + found[1], left + begin + found[2], top + found[3]


def _columns(columns: bytes, begin: int, end: int) -> tuple[int, int]:
    """Return the first column of a word's ink and the one behind the last: what it touches at its edges is its own.

    An edge stays where the ink goes on as far as was looked: a rule, or the next word.
    """
    begin, end = max(0, begin), min(len(columns), end)
    gap = columns.rfind(0, 0, begin + 1)
    first = gap + 1 if gap >= 0 else begin
    gap = columns.find(0, max(first, end - 1))
    return first, gap if gap >= 0 else end


def _ink_levels(histogram: list[int]) -> list[int] | None:
    """Return 255 for each grey level that is ink on a line, else 0: ink is what differs most from the paper."""
    dark, paper, light = _quantiles(histogram, (DARK, PAPER, LIGHT))
    is_light = light - paper > paper - dark
    ink = light if is_light else dark
    if abs(ink - paper) < LEAST_CONTRAST:
        return None
    middle = (ink + paper) / 2
    return [255 if (grey > middle if is_light else grey < middle) else 0 for grey in range(256)]


def _quantiles(histogram: list[int], shares: Iterable[float]) -> list[int]:
    total, seen, grey = sum(histogram), histogram[0], 0
    found: list[int] = []
    for share in shares:
        while seen <= share * total and grey < len(histogram) - 1:
            grey += 1
            seen += histogram[grey]
        found.append(grey)
    return found


def _on_page(box: Rectangle, image: Image.Image) -> Rectangle:
    left, top, right, bottom = box
    return max(0, left), max(0, top), min(image.width, right), min(image.height, bottom)
