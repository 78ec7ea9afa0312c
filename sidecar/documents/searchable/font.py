"""A font without ink, for text that is found and copied but not seen: its codes are UTF-16, its glyphs empty. Pure.

What a viewer copies is what /ToUnicode says, and that is each code itself: every letter of every script, marks
included, comes back as it was written. Marks have no width, as in fonts that are seen, so that a word is cut between
letters. ISO 32000-1, 9.7 and 9.10.3; the tables of the font file are those that 9.9 wants: OpenType, "glyf" outlines.
"""

import functools
import itertools
import struct
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence

UNITS_PER_EM = 1000
WIDTH = 500
"""Of a letter, in thousandths of the font's size. It matters beside others alone: words are stretched."""
WIDE_WIDTH = 1000
"""Of a letter of East Asian scripts."""
ASCENT, DESCENT = 800, -200
PLANE = 0x10000
SURROGATES = range(0xD800, 0xE000)
"""No letter has these codes: letters beyond the first plane get one each, in the order of their appearance."""
UNKNOWN = 0xFFFD
NARROW_GLYPH, WIDE_GLYPH, MARK_GLYPH = 1, 2, 3
"""Of the font file: letters, wide letters, and marks; glyph 0 is what a font must have for codes that it lacks."""
ADVANCES = (WIDTH, WIDTH, WIDE_WIDTH, 0)
MARK_BOX = -WIDTH // 2, 0
"""From where to where a mark lies: over the letter before it."""
MAPPINGS_A_BLOCK = 100
"""The most that a CMap may list at once."""


class Codes:
    """The codes of the letters of one document."""

    def __init__(self) -> None:
        self.used: set[int] = set()
        self.beyond: dict[str, int] = {}
        """Codes of letters beyond the first plane."""

    def encoded(self, text: str) -> str:
        """Return a text as the hexadecimal digits of its codes."""
        codes = [self._code(char) for char in text]
        self.used.update(codes)
        return "".join(f"{code:04X}" for code in codes)

    def _code(self, char: str) -> int:
        if ord(char) < PLANE:
            return UNKNOWN if ord(char) in SURROGATES else ord(char)
        if char not in self.beyond and len(self.beyond) == len(SURROGATES):
            return UNKNOWN
        return self.beyond.setdefault(char, SURROGATES[len(self.beyond)])


def width(text: str) -> int:
    """Return how wide a text is, in thousandths of the font's size."""
    return sum(ADVANCES[_glyph(char)] for char in text)


def _glyph(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return MARK_GLYPH
    return WIDE_GLYPH if unicodedata.east_asian_width(char) in "WF" else NARROW_GLYPH


@functools.cache
def glyph_map() -> bytes:
    """Return the glyph of each code, two bytes each: what /CIDToGIDMap holds."""
    return struct.pack(f">{PLANE}H", *(_glyph(chr(code)) for code in range(PLANE)))


def widths(codes: Iterable[int]) -> Iterator[tuple[int, int, int]]:
    """Yield runs of these codes whose width is not the usual one: first, last, width. What /W holds."""
    glyphs = glyph_map()
    odd = [(code, glyphs[2 * code + 1]) for code in sorted(codes) if glyphs[2 * code + 1] != NARROW_GLYPH]
    for (_, glyph), run in itertools.groupby(enumerate(odd), key=_run_of):
        numbers = [code for _, (code, _) in run]
        yield numbers[0], numbers[-1], ADVANCES[glyph]


def _run_of(one: tuple[int, tuple[int, int]]) -> tuple[int, int]:
    at, (code, glyph) = one
    return code - at, glyph


def to_unicode(beyond: Mapping[str, int]) -> bytes:
    """Return the CMap that says which letter a code is: the code itself, but for those of :attr:`Codes.beyond`."""
    ranges = [f"<{high:02X}00> <{high:02X}FF> <{high:02X}00>" for high in range(0x100) if high << 8 not in SURROGATES]
    chars = [f"<{code:04X}> <{char.encode('utf-16-be').hex().upper()}>" for char, code in beyond.items()]
    return "\n".join(
        [
            "/CIDInit /ProcSet findresource begin",
            "12 dict begin",
            "begincmap",
            "/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def",
            "/CMapName /Adobe-Identity-UCS def",
            "/CMapType 2 def",
            "1 begincodespacerange",
            "<0000> <FFFF>",
            "endcodespacerange",
            *_blocks("bfrange", ranges),
            *_blocks("bfchar", chars),
            "endcmap",
            "CMapName currentdict /CMap defineresource pop",
            "end",
            "end",
        ]
    ).encode()


def _blocks(kind: str, lines: Sequence[str]) -> Iterator[str]:
    for start in range(0, len(lines), MAPPINGS_A_BLOCK):
        block = lines[start : start + MAPPINGS_A_BLOCK]
        yield from (f"{len(block)} begin{kind}", *block, f"end{kind}")


@functools.cache
def font_file() -> bytes:
    """Return the font: four glyphs without ink, each as wide as the codes that have it."""
    count = len(ADVANCES)
    glyphs = [_line(0, advance) if advance else _line(*MARK_BOX) for advance in ADVANCES]
    tables = {
        b"cmap": _cmap(),
        b"glyf": b"".join(glyphs),
        b"head": struct.pack(
            ">4I2H2q4h2H3h",
            *(0x10000, 0x10000, 0, 0x5F0F3CF5),  # version, revision, checksum (below), magic number
            *(0, UNITS_PER_EM, 0, 0),  # flags, units, created, modified
            *(MARK_BOX[0], DESCENT, WIDE_WIDTH, ASCENT),  # the box around all
            *(0, 8, 2, 0, 0),  # style, smallest size in pixels, direction, short locations, no other format
        ),
        b"hhea": struct.pack(">I3hH11hH", 0x10000, ASCENT, DESCENT, 0, max(ADVANCES), MARK_BOX[0], *[0] * 10, count),
        b"hmtx": b"".join(struct.pack(">Hh", one, 0 if one else MARK_BOX[0]) for one in ADVANCES),
        b"loca": struct.pack(f">{count + 1}H", *(at * len(glyphs[0]) // 2 for at in range(count + 1))),
        b"maxp": struct.pack(">I14H", 0x10000, count, 2, 1, 0, 0, 1, *[0] * 8),
        b"name": struct.pack(">3H", 0, 0, 6),
        b"post": struct.pack(">2I2h5I", 0x30000, 0, 0, 0, 0, 0, 0, 0, 0),
    }
    return _assembled(tables)


def _line(left: int, right: int) -> bytes:
    """Return a glyph of one line from corner to corner, there and back: it fills a box and has no area to be filled.

    PDFium leaves out text whose letters fill no box, as those of a glyph without outlines.
    """
    header = struct.pack(">5h", 1, left, DESCENT, right, ASCENT)
    points = struct.pack(">2H2B2h", 1, 0, 1, 1, left, right - left) + struct.pack(">2h", DESCENT, ASCENT - DESCENT)
    return header + points


def _cmap() -> bytes:
    """Return the least that a table of letters can hold: none. PDF readers go by /CIDToGIDMap."""
    segments = struct.pack(">7H", 4, 24, 0, 2, 2, 0, 0) + struct.pack(">5H", 0xFFFF, 0, 0xFFFF, 1, 0)
    return struct.pack(">2H", 0, 1) + struct.pack(">2HI", 3, 1, 12) + segments


def _assembled(tables: Mapping[bytes, bytes]) -> bytes:
    """Put tables into a file: its head, a directory, and each table on a boundary of four bytes."""
    power = len(tables).bit_length() - 1
    head = struct.pack(">I4H", 0x10000, len(tables), 16 << power, power, 16 * (len(tables) - (1 << power)))
    at = len(head) + 16 * len(tables)
    directory, body, head_at = b"", b"", 0
    for tag, table in sorted(tables.items()):
        padded = table + b"\0" * (-len(table) % 4)
        head_at = at if tag == b"head" else head_at
        directory += struct.pack(">4s3I", tag, _checksum(padded), at, len(table))
        body += padded
        at += len(padded)
    font = head + directory + body
    adjusted = struct.pack(">I", (0xB1B0AFBA - _checksum(font)) & 0xFFFFFFFF)
    return font[: head_at + 8] + adjusted + font[head_at + 12 :]


def _checksum(table: bytes) -> int:
    words: Iterable[int] = struct.unpack(f">{len(table) // 4}I", table)
    return sum(words) & 0xFFFFFFFF
