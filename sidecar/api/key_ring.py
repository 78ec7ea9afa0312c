"""Who may call: a ring of API keys, compared in constant time; network mode has none.

Independent of the framework, reads no file; :mod:`sidecar.api.key_file` follows a mounted Secret.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The accepted keys: the first is the current one, the others are still accepted while callers switch."""

    keys: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse one key per line; blank lines and surrounding white space are ignored.

        Raises:
            ValueError: there is no key; an empty ring would admit nobody or, worse, be mistaken for "no auth".
        """
        keys = tuple(line.strip().encode() for line in text.splitlines() if line.strip())
        if not keys:
            raise ValueError("no API key")
        return cls(keys)

    def accepts(self, presented: str | None) -> bool:
        """Return whether the presented key is one of the ring's.

        Every key is compared, whichever matches, so that the time reveals neither which one nor how much of it matched.
        """
        candidate = (presented or "").encode("utf-8", "surrogatepass")
        return any(_compare_all(self.keys, candidate))


def _compare_all(keys: Iterable[bytes], candidate: bytes) -> list[bool]:
    return [hmac.compare_digest(key, candidate) for key in keys]
