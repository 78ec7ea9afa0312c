"""Thai orthography: spellings that are impossible in Thai, and the repairs that follow. Pure.

No dictionary is used: in any font a mark belongs to a consonant, occurs once, and vowels are below tone marks (Unicode
16.1, Thai; WTT 2.0).
"""

import functools
import re
from enum import StrEnum

CONSONANTS = "\u0e01-\u0e2e"
MARKS = "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
TONES = "\u0e48-\u0e4b"
LETTERS = "\u0e01-\u0e3a\u0e40-\u0e4e"
NIKHAHIT = "\N{THAI CHARACTER NIKHAHIT}"
SARA_AA = "\N{THAI CHARACTER SARA AA}"
SARA_AM = "\N{THAI CHARACTER SARA AM}"
MEANINGLESS = frozenset(" \u200b\N{REPLACEMENT CHARACTER}")
"""What font maps contain for unknown glyphs."""


class Repair(StrEnum):
    """What was repaired in a text layer, as named in the answer."""

    ENCODING_DECODED = "encoding-decoded"
    SHAPES_MAPPED = "shapes-mapped"
    MARKS_REORDERED = "marks-reordered"
    MARKS_DEDUPLICATED = "marks-deduplicated"
    MARKS_IDENTIFIED = "marks-identified"
    SARA_AM_COMPOSED = "sara-am-composed"
    SARA_AM_RESTORED = "sara-am-restored"
    SPACES_REMADE = "spaces-remade"


# ── private shapes ────────────────────────────────────────────────────────────────────────────────────────────────

_SHAPES = "ฐ" + "ิีึื" + "่้๊๋์" * 2 + "ญ" + "ัํ็" + "่้๊๋์" + "ฺุู"
"""U+F700 to U+F71A: how Thai fonts for Windows encode the shapes beside tall letters (fonts-tlwg's tables)."""
_HIGH_SHAPES = {0xF71E: NIKHAHIT, 0xF71F: "\N{THAI CHARACTER MAITAIKHU}", 0xF720: "\N{THAI CHARACTER YAMAKKAN}"}
SHAPES = {0xF700 + at: char for at, char in enumerate(_SHAPES)} | _HIGH_SHAPES
_HAS_SHAPE = re.compile("[\uf700-\uf71a\uf71e-\uf720]")


def map_shapes(text: str) -> str:
    """Replace private-use shapes by the characters they show."""
    return text.translate(SHAPES) if _HAS_SHAPE.search(text) else text


# ── bytes of an old encoding, decoded as Latin ────────────────────────────────────────────────────────────────────


def _decoder(codec: str) -> dict[int, str]:
    """Map each Thai byte's character in ``codec`` to its character in CP874."""
    thai = {byte: bytes([byte]).decode("cp874", "ignore") for byte in range(0xA1, 0xFC)}
    return {ord(bytes([byte]).decode(codec)): char for byte, char in thai.items() if char}


_SOFT_HYPHENS = {0x02: "ญ", 0xFFFE: "ญ"}
"""PDFium writes these two at the end of a line for U+00AD, the byte of YO YING."""
_DECODERS = (_decoder("latin-1") | _SOFT_HYPHENS, _decoder("mac_roman"))
_DISGUISE = tuple(re.compile("[" + "".join(map(chr, decoder)) + "]{4,}") for decoder in _DECODERS)
_MIN_DISGUISED = 8
"""Fewest different characters in such runs: rows of dots and dashes have one or two."""
_MIN_DISGUISED_SHARE = 0.8
"""Lowest share of non-ASCII characters in runs of four or more: European words have one or two at a time."""


def decoder_for(text: str) -> dict[int, str] | None:
    """Return the table that decodes a text whose Thai bytes were read as Latin letters; None for other texts."""
    if text.isascii():
        return None
    for decoder, disguise in zip(_DECODERS, _DISGUISE, strict=True):
        runs = "".join(disguise.findall(text))
        above = sum(char > "\x7f" for char in text)
        if len(set(runs)) < _MIN_DISGUISED or len(runs) < _MIN_DISGUISED_SHARE * above:
            continue
        decoded = repair(runs.translate(decoder))[0]
        if not is_implausible(decoded):
            return decoder
    return None


# ── repairs ───────────────────────────────────────────────────────────────────────────────────────────────────────

_CLUSTER = re.compile(f"[{MARKS}]{{2,}}")
_SPLIT_AM = re.compile(f"{NIKHAHIT}([{TONES}]?){SARA_AA}|([{TONES}]){NIKHAHIT}{SARA_AA}")
_LATE_TONE = re.compile(f"({SARA_AM})([{TONES}])")
_DOUBLED_AM = re.compile(f"{SARA_AM}[{SARA_AM}{SARA_AA}]+|{NIKHAHIT}{SARA_AM}")
_RANKS = dict.fromkeys("ฺุู", 0) | dict.fromkeys("ัิีึื", 1) | dict.fromkeys("็ํ", 2) | dict.fromkeys("่้๊๋์๎", 3)


_MISSPELT = re.compile(
    f"(?=[{MARKS}{SARA_AM}\uf700-\uf720])(?:"
    f"{NIKHAHIT}|([{MARKS}])\\1|[{TONES}์][ัิ-ฺ็]|[ัิ-ื็][ุ-ฺ]|[{MARKS}]{{3}}|{SARA_AM}[{TONES}{SARA_AM}{SARA_AA}]"
    "|[\uf700-\uf720])"
)
"""Every text that a repair changes contains at least one of these."""

_RUN = re.compile(f"[{MARKS}{SARA_AM}\uf700-\uf720](?:[{MARKS}{SARA_AA}{SARA_AM}\uf700-\uf720]+|(?<=[\uf700-\uf720]))")
"""All that a repair looks at: what stands between such runs makes no difference to it."""


def repair(text: str) -> tuple[str, set[Repair]]:
    """Correct what has only one possible spelling; also return what was repaired."""
    done: set[Repair] = set()
    if not _MISSPELT.search(text):
        return text, done

    def mended(found: re.Match[str]) -> str:
        run, repairs = _mended(found[0])
        done.update(repairs)
        return run

    return _RUN.sub(mended, text), done


@functools.lru_cache(maxsize=1024)
def _mended(run: str) -> tuple[str, tuple[Repair, ...]]:
    """Correct a run of marks: few occur, and each of them often."""
    done: list[Repair] = []
    for name, mend in _MENDINGS:
        mended = mend(run)
        if mended != run:
            done.append(name)
            run = mended
    return run, tuple(done)


def _each_once(text: str) -> str:
    text = _CLUSTER.sub(lambda marks: "".join(dict.fromkeys(marks[0])), text)
    return _DOUBLED_AM.sub(SARA_AM, text)


def _in_order(text: str) -> str:
    text = _CLUSTER.sub(lambda marks: "".join(sorted(marks[0], key=_RANKS.__getitem__)), text)
    return _LATE_TONE.sub(r"\2\1", text)


def _compose(text: str) -> str:
    return _SPLIT_AM.sub(lambda found: (found[1] or found[2] or "") + SARA_AM, text)


_MENDINGS = (
    (Repair.SHAPES_MAPPED, map_shapes),
    (Repair.MARKS_DEDUPLICATED, _each_once),
    (Repair.SARA_AM_COMPOSED, _compose),
    (Repair.MARKS_REORDERED, _in_order),
)


# ── is it Thai? ───────────────────────────────────────────────────────────────────────────────────────────────────

_IMPOSSIBLE = re.compile(
    "|".join(  # each begins with the characters that it may begin with: others are passed over fast
        (
            f"[{MARKS}](?<![{CONSONANTS}{MARKS}].)",  # a mark on nothing
            "[ัิ-ู็][่-๋]?[ัิ-ู็]",  # two vowels on one consonant
            "[่-๋์][่-๋ัิ-ู็]",  # a second tone, or a vowel over a tone
            f"[ัื็](?<!ก็)[่-๋]?(?![{CONSONANTS}่-๋])",  # vowels that need a consonant after them
            f"[เ-ไ](?![เ{CONSONANTS}])",  # a vowel before nothing; many people type SARA AE as two SARA E
            "(?:[แโใไ]|[แใไ]ห)[ก-ฮ][่-๋]?[ัิ-ูาำ]",  # a vowel before and another after
            "เ[ก-ฮ][่-๋]?[ึุูำ]",
            f"[าำะ](?<![{CONSONANTS}{TONES}ๅ].)(?<![าัวอ่-๋]ะ)",  # a vowel after nothing
            f"[^\\W\\d_\u0000-\u007f\u0e00-\u0e7f](?<=[{LETTERS}].)(?=[{LETTERS}])",  # another script inside a word
            f"[\ufffd\ue000-\uf8ff\u0000-\u0008\u000e-\u001f](?<=[{LETTERS}].)|[\ufffd\ue000-\uf8ff](?=[{LETTERS}])",
        )
    )
)
_CONSONANT = re.compile(f"[{CONSONANTS}]")
_THAI = re.compile("[\u0e01-\u0e5b]")
MAX_IMPOSSIBLE_SHARE = 0.02
"""Most impossible spellings per consonant. Running text has under 0.002 (typing errors), a wrong font map over 0.05."""
_MIN_IMPOSSIBLE = 2


def has_thai(text: str) -> bool:
    """Return whether the text has Thai characters, or private-use shapes of them."""
    return not text.isascii() and bool(_THAI.search(text) or _HAS_SHAPE.search(text))


def impossible_share(text: str) -> float:
    """Return the number of impossible spellings per consonant."""
    consonants = len(_CONSONANT.findall(text))
    return len(_IMPOSSIBLE.findall(text)) / consonants if consonants else 0.0


def is_implausible(text: str) -> bool:
    """Return whether the Thai in a text is implausible: drawn correctly, but mapped to other characters."""
    return len(_IMPOSSIBLE.findall(text)) >= _MIN_IMPOSSIBLE and impossible_share(text) > MAX_IMPOSSIBLE_SHARE


_DISORDER = re.compile(
    f"(?=[^!-~{CONSONANTS}])(?:"  # how all others begin: decides nine of ten characters at once
    f"{_IMPOSSIBLE.pattern}|{_DOUBLED_AM.pattern}|{NIKHAHIT}|[{TONES}์][ัิ-ฺ็]|{SARA_AM}[{TONES}]"
    f"|[\uf700-\uf720\ufffd]|[ \u00a0\u200b](?<=[{CONSONANTS}{TONES}].)[ \u00a0\u200b]*[{SARA_AA}{SARA_AM}])"
)


def looks_disordered(text: str) -> bool:
    """Return whether a text contains anything that correctly ordered and spelt Thai does not."""
    return bool(_DISORDER.search(text))
