"""URLs of servers, as operators write them into settings. Pure."""

import re
from urllib.parse import urlsplit

NATS_SCHEMES = ("nats", "tls")


def check_url(url: str, example: str) -> None:
    """Refuse what is no URL of a server.

    Raises:
        ValueError: it is none; the text says what is accepted, with the example, and does not repeat the URL, which may
            hold a password.
    """
    if "://" not in url:
        raise ValueError(f"http:// or https:// must stand before it, as in {example}")
    if not _is_server(url):
        raise ValueError(f"a URL such as {example} is accepted")


def _is_server(url: str, schemes: tuple[str, ...] = ("http", "https")) -> bool:
    parts = urlsplit(url)
    try:
        is_port = parts.port != 0
    except ValueError:
        return False
    return parts.scheme in schemes and bool(parts.hostname) and is_port and not re.search(r"\s", url)


def check_servers(urls: str) -> None:
    """Refuse what is no list of NATS servers.

    Raises:
        ValueError: it is none, or holds a name or a password; the text does not repeat it.
    """
    for url in listed(urls) or (urls,):
        if has_credentials(url):
            raise ValueError("no name or password is accepted in it: put them into a credentials file")
        if not _is_server(url, NATS_SCHEMES) or urlsplit(url).path.strip("/") or urlsplit(url).query:
            raise ValueError("off, embedded, or servers such as nats://nats:4222 or tls://nats:4222 are accepted")


def listed(urls: str | None) -> tuple[str, ...]:
    """Return the URLs of a list with commas."""
    return tuple(one.strip() for one in (urls or "").split(",") if one.strip())


def public_url(url: str) -> str:
    """Return scheme, host and port; credentials, path and query are not shown."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")


def without_credentials(url: str) -> str:
    """Return what tells one server from another: nothing of who asks."""
    return public_url(url) + urlsplit(url).path.rstrip("/")


def has_credentials(url: str) -> bool:
    """Return whether it holds a name or a password."""
    return "@" in urlsplit(url).netloc
