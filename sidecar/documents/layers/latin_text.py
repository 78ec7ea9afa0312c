"""Whether Latin letters form words of some language, or come from a font with a wrong character map. Pure.

A shifted or shuffled font map gives printable letters in orders that no language has. Only whole words are judged, and
only if there are enough: tables of figures, codes and part numbers have too few.
"""

import re
import unicodedata

_FOLLOWERS = (
    "a:abcdeghijklmnoprstuvwyz b:abeilou c:acehijkostuz d:aeinorstuz e:abcdeghijklmnprstuvyz f:aeio "
    "g:aeghikortuy h:aeilortu i:abcdeghijklmnopqrstuvxyz j:aeikou k:aehijklorstuy l:adeijlmnostuy "
    "m:abeimopu n:acdeghijklnostuyz o:abcdegijklmnoprstuvwz p:aehilopru q:u r:adeiklnorstuz "
    "s:acehijklopstuyz t:aehinorstuvyz u:acdeiklmnorstuyz v:aeinoy w:aeioy y:aceimost z:aeinoty "
)
"""Each letter, and the letters that follow it in at least 0.3 % of the letter pairs of running text in at least one of
26 languages: English, German, French, Spanish, Italian, Portuguese, Dutch, Swedish, Danish, Norwegian, Finnish, Polish,
Czech, Slovak, Slovene, Hungarian, Romanian, Turkish, Indonesian, Malay, Filipino, Catalan, Vietnamese, Latvian,
Lithuanian, Serbo-Croatian. Accents count as their letters. Counted from word frequencies (wordfreq 3)."""
USUAL_PAIRS = frozenset(
    first + then for first, _, rest in (row.partition(":") for row in _FOLLOWERS.split()) for then in rest
)
MIN_PAIRS = 60
"""Fewest letter pairs for words to be judged: about fifteen words."""
TOKENS_ASKED, WORDS_ASKED = 80, 24
"""About this many are examined, from all over the text: more take longer."""
MIN_LETTERS = 10
"""Fewest different letters for it: a sequence of bases or notes has few."""
MIN_USUAL_SHARE = 0.7
"""Lowest share of usual pairs: 400 words of each language have 0.85 or more, shifted and shuffled ones up to 0.69."""
MIN_WORD_SHARE = 0.5
"""Lowest share of words and numbers in a text over a picture; recognised text has 0.8, noise almost none."""

_MEANING = re.compile(r"([^\W\d_])(?!\1+(?:[\W\d_]|$))[^\W\d_]{2,}|\d{2,}")
"""Letters, but not one repeated, and digits."""
_ACCENTS = re.compile("[\u0300-\u036f]")


def is_implausible(text: str) -> bool:
    """Return whether a text has enough words to judge, and they belong to no language."""
    tokens = text.split()
    asked = tokens[:: len(tokens) // TOKENS_ASKED + 1]
    words = [token for token in asked if len(token) >= 4 and token.isalpha() and _is_word(token)]
    sample = [_folded(word).lower() for word in words[:: len(words) // WORDS_ASKED + 1]]
    pairs = [word[at : at + 2] for word in sample if word.isascii() for at in range(len(word) - 1)]
    if len(pairs) < MIN_PAIRS or len(set("".join(pairs))) < MIN_LETTERS:
        return False
    return sum(map(USUAL_PAIRS.__contains__, pairs)) < MIN_USUAL_SHARE * len(pairs)


def _is_word(token: str) -> bool:
    """Return whether four letters or more are a word, not a code: of one case except the first, not one repeated."""
    return (token[1:].islower() or (token.isupper() and len(token) >= 5)) and len(set(token)) >= 3


def is_noise(text: str) -> bool:
    """Return whether most of a text is neither words nor numbers, like poor OCR of specks and edges."""
    visible = sum(map(len, text.split()))
    told = sum(len(found[0]) for found in _MEANING.finditer(text))
    return told < MIN_WORD_SHARE * visible


def _folded(text: str) -> str:
    return text if text.isascii() else _ACCENTS.sub("", unicodedata.normalize("NFD", text))
