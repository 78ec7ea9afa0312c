"""A list of languages, such as ``tha+eng``, as requests and settings have it. Pure."""

from collections.abc import Set as AbstractSet

from sidecar.errors import InvalidValueError, LanguageMissingError

FIELD = "languages"
MAX_LANGUAGES = 4
SHOWN_CHARS = 80


def split_languages(languages: str) -> list[str]:
    """Return the names of a list.

    Raises:
        InvalidValueError: a name is empty, or they are too many.
    """
    wanted = languages.split("+")
    if len(wanted) > MAX_LANGUAGES or not all(wanted):
        raise InvalidValueError(
            f"is {languages[:SHOWN_CHARS]!r}, accepted are 1 to {MAX_LANGUAGES} names joined by +, such as tha+eng",
            field=FIELD,
        )
    return wanted


def refuse_missing(languages: str, readable: AbstractSet[str], who: str, hint: str = "") -> None:
    """Refuse a list with a name that is not ``readable``; ``who`` says whose languages those are.

    Raises:
        InvalidValueError: it is no list.
        LanguageMissingError: one is missing; ``hint`` says how to get it.
    """
    missing = [name for name in split_languages(languages) if name not in readable]
    if missing:
        raise LanguageMissingError(
            f"asks for {missing[0][:SHOWN_CHARS]!r}, {who} {', '.join(sorted(readable))}{hint}", field=FIELD
        )
