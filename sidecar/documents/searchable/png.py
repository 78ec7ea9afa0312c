"""Pixels as PDF has them, taken out of PNG files: the same deflated rows, with the same filters. Pure.

PNG, third edition, 5.2 and 10.1; ISO 32000-1, 7.4.4.4 ("PNG predictors").
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COMPONENTS = {0: 1, 2: 3, 3: 1}
"""By colour type: grey, red-green-blue, palette. The others have transparency, which PDF keeps elsewhere."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """Deflated rows of pixels. ``palette`` has three bytes a colour, if ``rows`` are positions in it."""

    size: tuple[int, int]
    bits: int
    components: int
    palette: bytes = field(repr=False)
    rows: bytes = field(repr=False)


def pixels(content: bytes) -> Pixels | None:
    """Take the pixels out of a PNG file; None if they are not shown as they are stored, or the file is broken.

    That is where they are interlaced or transparent, or are to be turned.
    """
    if not content.startswith(SIGNATURE):
        return None
    chunks = list(_chunks(content))
    kinds = {kind for kind, _ in chunks}
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13 or b"IEND" not in kinds:
        return None
    width, height, bits, colour, _, _, interlace = struct.unpack(">2I5B", chunks[0][1])
    if colour not in COMPONENTS or interlace or kinds & {b"tRNS", b"eXIf"}:
        return None
    palette = next((data for kind, data in chunks if kind == b"PLTE"), b"") if colour == 3 else b""
    rows = b"".join(data for kind, data in chunks if kind == b"IDAT")
    return Pixels((width, height), bits, COMPONENTS[colour], palette, rows)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(SIGNATURE)
    while at + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        if at + 12 + length > len(content):
            return
        yield kind, content[at + 8 : at + 8 + length]
        at += 12 + length
