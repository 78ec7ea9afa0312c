"""Which hosts may be called when a job has ended, as operators write them into settings. Pure.

A caller of this service names the URL; the operator alone says whose URLs are called, or anybody could have the service
ask servers that are not meant for them.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

PORTS = {"https": 443, "http": 80}
_HOST = re.compile(r"\.?[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]")


@dataclass(frozen=True, slots=True)
class AllowedHost:
    """A host that may be called: by this scheme and at this port alone. A name that begins with a dot is a suffix."""

    scheme: str
    name: str
    port: int

    def admits(self, scheme: str, name: str, port: int) -> bool:
        """Return whether it is meant."""
        is_meant = name.endswith(self.name) if self.name.startswith(".") else name == self.name
        return is_meant and (scheme, port) == (self.scheme, self.port)


def callback_hosts(listed: str) -> tuple[AllowedHost, ...]:
    """Parse a list with commas.

    Raises:
        ValueError: one is no host; the text says which, and what is accepted.
    """
    return tuple(_host(one.strip().lower()) for one in listed.split(",") if one.strip())


def check_callback_url(url: str, allowed: Iterable[AllowedHost]) -> str:
    """Return a URL that may be called.

    Raises:
        ValueError: it is no URL, holds a name or password, or its host is not among those that may be called.
    """
    parts = _split(url)
    if parts is None or parts.scheme not in PORTS or not parts.hostname or re.search(r"[\s\\\x00-\x1f]", url):
        raise ValueError("callbackUrl is no URL, such as https://host/path")
    if "@" in parts.netloc:
        raise ValueError("callbackUrl holds a name or a password, which is not accepted")
    port = parts.port or PORTS[parts.scheme]
    if not any(one.admits(parts.scheme, parts.hostname.rstrip("."), port) for one in allowed):
        raise ValueError("the host of callbackUrl is not among those that this service may call")
    return url


def _host(entry: str) -> AllowedHost:
    scheme, separator, rest = entry.rpartition("://")
    parts = _split(f"//{rest}")
    is_host = parts is not None and rest == parts.netloc and bool(_HOST.fullmatch(_name(parts.netloc)))
    if parts is None or not is_host or (separator and scheme not in PORTS):
        raise ValueError(f"{entry[:80]!r} is no host; accepted are host, .domain, host:8443 and http://host")
    scheme = scheme or "https"
    return AllowedHost(scheme, parts.hostname or "", parts.port or PORTS[scheme])


def _name(netloc: str) -> str:
    return re.sub(r":\d+$", "", netloc)


def _split(url: str) -> SplitResult | None:
    """Split a URL; None where its port or its brackets make no sense."""
    try:
        parts = urlsplit(url)
        is_port = parts.port != 0
    except ValueError:
        return None
    return parts if is_port else None
