"""A page of a document as a picture. Pure."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PageImage:
    """A page as grey pixels: ``height`` rows of ``width`` bytes, 0 black to 255 white, ``dpi`` dots per inch."""

    width: int
    height: int
    dpi: int
    pixels: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PagePicture:
    """A page as a PNG file for a vision model, in base64 as its API wants it."""

    png_base64: str = field(repr=False)
    blank: bool = False
    """Whether it shows only background and specks: models invent text for such pages."""
    anchors: str = field(default="", repr=False)
    """The page's size, and where its text stands; empty where nobody asked for it."""
