"""Where a point of a PDF page lies on the page that a viewer shows: its box cut out, turned. Pure."""

from dataclasses import dataclass

from sidecar.evidence.layout import Box


@dataclass(frozen=True, slots=True)
class Frame:
    """The part of a page that is shown, in the page's own coordinates, and by how much it is turned when shown.

    ``rotation``: degrees, clockwise, a multiple of 90.
    """

    left: float
    bottom: float
    right: float
    top: float
    rotation: int = 0

    @property
    def size(self) -> tuple[float, float]:
        """Width and height as shown."""
        width, height = self.right - self.left, self.top - self.bottom
        return (height, width) if self.rotation in {90, 270} else (width, height)

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point of the page is shown."""
        match self.rotation:
            case 90:
                return y - self.bottom, x - self.left
            case 180:
                return self.right - x, y - self.bottom
            case 270:
                return self.top - y, self.right - x
        return x - self.left, self.top - y

    def box(self, left: float, bottom: float, right: float, top: float) -> Box:
        """Return where a rectangle of the page is shown."""
        (one_x, one_y), (two_x, two_y) = self.point(left, bottom), self.point(right, top)
        return Box(min(one_x, two_x), min(one_y, two_y), max(one_x, two_x), max(one_y, two_y))

    def clipped(self, box: Box) -> Box | None:
        """Return the part of a box that is shown; None if nothing is."""
        width, height = self.size
        cut = Box(max(0.0, box.left), max(0.0, box.top), min(width, box.right), min(height, box.bottom))
        return cut if cut.left <= cut.right and cut.top <= cut.bottom else None
