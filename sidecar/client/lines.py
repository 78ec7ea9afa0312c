"""Divides bytes into lines as they arrive, in time that grows with their number and not with its square. Pure."""


class LineTooLongError(ValueError):
    """A line has more bytes than are taken for one."""


class LineSplitter:
    """Gets the pieces of a body, in order; ``rest`` is what follows the last line end."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._rest = bytearray()

    @property
    def rest(self) -> bytes:
        """What is no whole line yet."""
        return bytes(self._rest)

    def feed(self, piece: bytes) -> list[bytes]:
        """Take the next piece; return the lines that it completes, without their ends.

        Raises:
            LineTooLongError: what is no whole line yet is too long for one.
        """
        *lines, rest = piece.split(b"\n")
        if lines:
            lines[0] = self.rest + lines[0]
            self._rest.clear()
        self._rest += rest
        if len(self._rest) > self._max_bytes:
            raise LineTooLongError
        return lines
