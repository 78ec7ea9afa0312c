"""The invisible text of one page as a content stream. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sidecar.documents.searchable import font
from sidecar.documents.searchable.placement import Run

FONT_NAME = "OcrSidecarLayer"
INVISIBLE = 3
"""The render mode of text that is neither filled nor stroked: ISO 32000-1, table 106."""

Matrix = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Frame:
    """The box of a page that is shown, in its own units: left, bottom, right, top; and how it is turned clockwise."""

    box: tuple[float, float, float, float]
    rotate: int = 0

    @property
    def width(self) -> float:
        """Of the page as it is shown, in its own units."""
        left, bottom, right, top = self.box
        return top - bottom if self.rotate % 180 else right - left

    @property
    def height(self) -> float:
        """Likewise."""
        left, bottom, right, top = self.box
        return right - left if self.rotate % 180 else top - bottom

    def matrix(self, width: float, height: float) -> Matrix:
        """Return what maps places from the top left corner of the shown page, which is so large, to the page's own."""
        left, bottom, right, top = self.box
        x, y = self.width / width, self.height / height
        match self.rotate % 360:
            case 90:
                return 0, x, y, 0, left, bottom
            case 180:
                return -x, 0, 0, y, right, bottom
            case 270:
                return 0, -x, -y, 0, right, top
        return x, 0, 0, -y, left, top


def content(runs: Iterable[Run], matrix: Matrix, codes: font.Codes, name: str = FONT_NAME) -> bytes:
    """Write runs of words in the font of this name; the matrix maps their places to the page's own units."""
    lines = [line for run in runs for line in _run(run, matrix, codes, name)]
    return "\n".join(["q", "BT", f"{INVISIBLE} Tr", *lines, "ET", "Q\n"]).encode() if lines else b""


def _run(run: Run, matrix: Matrix, codes: font.Codes, name: str) -> Iterator[str]:
    a, b, c, d, e, f = matrix
    size = round(run.size, 1)
    (x, y), (dx, dy) = run.start, run.direction
    ux, uy = a * dx + c * dy, b * dx + d * dy  # along the line
    vx, vy = a * dy - c * dx, b * dy - d * dx  # up from it
    placed = (ux, uy, vx, vy, a * x + c * y + e, b * x + d * y + f)
    yield f"/{name} {_number(size, 1)} Tf"
    yield " ".join([*(_number(one, 4) for one in placed[:4]), *(_number(one, 2) for one in placed[4:])]) + " Tm"
    for piece in run.pieces:
        natural = font.width(piece.text) / font.UNITS_PER_EM * size
        stretched = 100 * piece.length / natural if natural else 100
        yield f"{_number(stretched, 1)} Tz <{codes.encoded(piece.text)}> Tj"


def _number(value: float, decimals: int) -> str:
    """Write a number as PDF has it, without exponent and without what does not count."""
    written = f"{value:.{decimals}f}".rstrip("0").rstrip(".")
    return "0" if written in {"-0", ""} else written
