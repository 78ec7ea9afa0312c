"""Who may call: a ring of API keys, compared in constant time; network mode has none.

Independent of the framework, reads no file; :mod:`sidecar.api.key_file` follows a mounted Secret.
"""

import hmac
import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Self

UNNAMED = "unnamed"
"""What logs and metrics call every key without a name."""
_NAMED = re.compile(r"([a-z0-9-]{1,32}): (.*)")
_NAME_ALONE = re.compile(r"[a-z0-9-]{1,32}:")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who presented a key: its name, for logs and metrics, and what tells this caller from others.

    Keys of one name are one caller, so that it stays the same while its key rotates.
    """

    name: str
    identity: Hashable = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The accepted keys: the first is the current one, the others are still accepted while callers switch."""

    keys: tuple[bytes, ...] = field(repr=False)
    callers: tuple[Caller, ...] = field(repr=False)
    """Whose each key is."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse one key per line; blank lines and surrounding white space are ignored.

        Raises:
            ValueError: there is no key; an empty ring would admit nobody or, worse, be mistaken for "no auth".
        """
        return cls._of((None, line.strip()) for line in text.splitlines() if line.strip())

    @classmethod
    def parse_named(cls, text: str) -> Self:
        """Do as :meth:`parse`; a line may be ``name: key``, with up to 32 of a-z, 0-9 and - before the colon.

        Raises:
            ValueError: there is no key, or none after a name, which would otherwise be a key that anybody can guess.
        """
        return cls._of(_split(line.lstrip()) for line in text.splitlines() if line.strip())

    @classmethod
    def _of(cls, entries: Iterable[tuple[str | None, str]]) -> Self:
        named = tuple(entries)
        if not named:
            raise ValueError("no API key")
        keys = tuple(key.encode() for _, key in named)
        return cls(
            keys, tuple(Caller(name or UNNAMED, name or key) for (name, _), key in zip(named, keys, strict=True))
        )

    def caller_of(self, presented: str | None) -> Caller | None:
        """Return whose key was presented, or None if it is not one of the ring's.

        Every key is compared, whichever matches, so that the time reveals neither which one nor how much of it matched.
        """
        candidate = (presented or "").encode("utf-8", "surrogatepass")
        matches = [hmac.compare_digest(key, candidate) for key in self.keys]
        return next((caller for caller, is_it in zip(self.callers, matches, strict=True) if is_it), None)


def _split(line: str) -> tuple[str | None, str]:
    """Split a line into name and key; a line without a name is a key as a whole."""
    if _NAME_ALONE.fullmatch(line.rstrip()):
        raise ValueError("no API key after a name")
    named = _NAMED.fullmatch(line)
    return (named[1], named[2].strip()) if named else (None, line.rstrip())
