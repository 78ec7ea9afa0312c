"""Which languages RapidOCR's models read, and whether they can give an opinion on a page. Pure.

Languages have Tesseract's names, as requests and settings do.
"""

import unicodedata

THAI = "tha"
_NAMES = (
    "afr aze bos cat ces chi_sim chi_tra cym dan deu eng est eus fin fra gle glg hrv hun ind isl ita jpn lat lav lit "
    "ltz mlt mri msa nld nor oci pol por que ron slk slv spa sqi srp_latn swa swe tur uzb vie"
)
WHEEL_LANGUAGES = frozenset(_NAMES.split())
"""What one model of the wheel reads, PP-OCRv6: Latin letters, Chinese and Japanese, whichever of them is asked for."""
_WHEEL_SCRIPTS = frozenset(
    {"LATIN", "CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "FULLWIDTH", "HALFWIDTH", "MICRO"}
)


def readable_languages(*, has_thai: bool) -> frozenset[str]:
    """Return the languages that the models read."""
    return WHEEL_LANGUAGES | ({THAI} if has_thai else set())


def missing_languages(languages: str, *, has_thai: bool) -> list[str]:
    """Return those of ``languages``, such as ``tha+eng``, that no model reads."""
    readable = readable_languages(has_thai=has_thai)
    return [name for name in languages.split("+") if name not in readable]


def needs_thai(languages: str, text: str, *, has_thai: bool) -> bool:
    """Return whether the Thai model should read: Thai is asked for, and nothing read so far says it is not there."""
    return has_thai and THAI in languages.split("+") and (not text or "THAI" in _scripts(text))


def covers(languages: str, text: str, *, has_thai: bool) -> bool:
    """Return whether the models can read the page: all languages asked for, or all letters that were read on it.

    ``text`` is what another engine read, which may be nothing.
    """
    readable = _WHEEL_SCRIPTS | ({"THAI"} if has_thai else set())
    return not missing_languages(languages, has_thai=has_thai) or _scripts(text) <= readable


def _scripts(text: str) -> set[str]:
    """Name the scripts of a text's letters, as the first words of their Unicode names do."""
    letters = {character for character in text if character.isalpha() and character not in "ªº"}
    return {unicodedata.name(letter, "?").split()[0] for letter in letters}
