"""Where the spots of a picture lie on the page that it shows, however it was turned and cut. Pure."""

import math
from dataclasses import dataclass, replace
from typing import Self

from sidecar.evidence.layout import Box

SLOPE = 0.001
"""Up to this slope a line across a page is level."""

DIGITS = 2
"""Decimals of a place in points: a hundredth is far below what a scanner can see, and written in few letters."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A picture of a page of ``width`` by ``height`` points, as it is shown.

    Its spot at column x and row y lies at ``(xx * x + xy * y + x0, yx * x + yy * y + y0)`` of the page, in points from
    the top left.
    """

    width: float = 0
    height: float = 0
    xx: float = 1
    xy: float = 0
    x0: float = 0
    yx: float = 0
    yy: float = 1
    y0: float = 0

    @classmethod
    def filling(cls, points: tuple[float, float], pixels: tuple[int, int]) -> Self:
        """Return the placement of a picture of so many pixels that shows all of a page of so many points."""
        (width, height), (columns, rows) = points, pixels
        return cls(width, height, xx=width / max(1, columns), yy=height / max(1, rows))

    @property
    def is_sloping(self) -> bool:
        """Return whether the picture is turned by other than quarters."""
        return min(abs(self.xx), abs(self.xy)) > SLOPE * max(abs(self.xx), abs(self.xy))

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Return where a spot lies, in points."""
        right, down = self.xx * x + self.xy * y + self.x0, self.yx * x + self.yy * y + self.y0
        return round(right, DIGITS), round(down, DIGITS)

    def box(self, left: float, top: float, right: float, bottom: float) -> Box:
        """Return the box around a rectangle of the picture, as far as it lies on the page."""
        return self.around([(left, top), (right, top), (left, bottom), (right, bottom)])

    def around(self, spots: "list[tuple[float, float]]") -> Box:
        """Return the box around spots of the picture, as far as it lies on the page."""
        xs, ys = zip(*(self.point(x, y) for x, y in spots), strict=True)
        across, down = (_within(xs, self.width), _within(ys, self.height))
        return Box(across[0], down[0], across[1], down[1])

    def length(self, pixels: float) -> float:
        """Return how many points so many pixels are."""
        return round(pixels * math.sqrt(abs(self.xx * self.yy - self.xy * self.yx)), DIGITS)

    def below(self, rows: int) -> "Placement":
        """Return the placement of the part of the picture that begins so many rows below its top."""
        return replace(self, x0=self.x0 + self.xy * rows, y0=self.y0 + self.yy * rows)

    def turned(self, degrees: float, before: tuple[int, int], after: tuple[int, int]) -> "Placement":
        """Return the placement of the picture turned clockwise about its middle; its size in pixels may change."""
        cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        column = (before[0] - cosine * after[0] - sine * after[1]) / 2
        row = (before[1] + sine * after[0] - cosine * after[1]) / 2
        return replace(
            self,
            xx=self.xx * cosine - self.xy * sine,
            xy=self.xx * sine + self.xy * cosine,
            x0=self.x0 + self.xx * column + self.xy * row,
            yx=self.yx * cosine - self.yy * sine,
            yy=self.yx * sine + self.yy * cosine,
            y0=self.y0 + self.yx * column + self.yy * row,
        )


def _within(values: tuple[float, ...], most: float) -> tuple[float, float]:
    """Return the least and the largest value, both between 0 and ``most``, unless that is not known."""
    least, largest = min(values), max(values)
    return (max(0.0, min(least, most)), max(0.0, min(largest, most))) if most else (least, largest)


UNPLACED = Placement()
"""Where nothing is known of the page, whose size is then 0."""
