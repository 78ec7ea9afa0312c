"""A multipart body as events while its bytes arrive: the only user of the parser, with limits for bytes outside parts.

RFC 7578, and RFC 2046 section 5.1.1 for boundaries, preamble and epilogue.
"""

from collections.abc import AsyncIterator
from typing import Protocol, TypeAlias

from multipart import ParserError, PushMultipartParser, parse_options_header

MAX_BOUNDARY_CHARS = 70
"""RFC 2046."""
MAX_HEADERS = 8
"""Of one part; RFC 7578 knows three."""
MAX_HEADER_BYTES = 8190
"""The limit of a header in aiohttp and most servers."""
MAX_BETWEEN_BYTES = 16 * 1024
"""Before the first part, between two, and after the last: the head of a part with a long name, and a few kB."""
BETWEEN_BYTES_AT_A_TIME = 4096
"""So that the result does not depend on how the network split the bytes."""


class Part(Protocol):
    """The head of a part."""

    name: str
    filename: str | None

    def header(self, name: str, default: str) -> str:
        """Return a header's value."""


Event: TypeAlias = Part | bytes | None
"""A part's beginning, some of its content, or its end."""


def media_type_of(content_type: str) -> str:
    """Return the media type from the header Content-Type, in lower case.

    aiohttp's own parser takes seconds for 8 kB of quotes or semicolons, and fails at as many brackets.
    """
    return str(parse_options_header(content_type)[0])


def boundary_of(content_type: str) -> str:
    """Return the boundary from the header Content-Type.

    Raises:
        ValueError: there is none, or it is too long.
    """
    _, options = parse_options_header(content_type)
    boundary = str(options.get("boundary", ""))
    if not 0 < len(boundary) <= MAX_BOUNDARY_CHARS:
        raise ParserError(f"a boundary of 1 to {MAX_BOUNDARY_CHARS} characters is needed")
    return boundary


async def events(chunks: AsyncIterator[bytes], boundary: str) -> AsyncIterator[Event]:
    """Parse a body.

    Raises:
        ValueError: it is not multipart, is truncated, or has more bytes outside its parts than the limits.
    """
    parser = PushMultipartParser(boundary, max_header_size=MAX_HEADER_BYTES, max_header_count=MAX_HEADERS)
    in_part, between_bytes = False, 0
    async for chunk in chunks:
        at = 0
        while at < len(chunk):
            piece = chunk[at:] if in_part else chunk[at : at + BETWEEN_BYTES_AT_A_TIME]
            at += len(piece)
            between_bytes += len(piece)
            for event in parser.parse(piece):
                in_part, between_bytes = event is not None, 0
                yield event
            if between_bytes > MAX_BETWEEN_BYTES:
                raise ParserError("too much before, between or behind the parts")
    parser.close()
