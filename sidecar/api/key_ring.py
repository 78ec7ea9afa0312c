"""Who may call: a ring of API keys compared in constant time, or nobody to ask in network mode.

Knows no framework and reads no file; :mod:`sidecar.api.key_file` follows a mounted Secret.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The accepted keys: the first is the current one, the others are still accepted while callers move over."""

    keys: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """One key a line; blank lines and surrounding white space do not count.

        Raises:
            ValueError: there is no key at all; an empty ring would let nobody in, or worse, be taken for "no auth".
        """
        keys = tuple(line.strip().encode() for line in text.splitlines() if line.strip())
        if not keys:
            raise ValueError("no API key")
        return cls(keys)

    def accepts(self, presented: str | None) -> bool:
        """Tell whether the presented key is one of the ring's.

        Every key is compared, whichever matches, so that the time taken tells neither which nor how much of it matched.
        """
        candidate = (presented or "").encode("utf-8", "surrogatepass")
        return any(_compare_all(self.keys, candidate))


def _compare_all(keys: Iterable[bytes], candidate: bytes) -> list[bool]:
    return [hmac.compare_digest(key, candidate) for key in keys]
