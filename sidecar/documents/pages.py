"""What is known of a document and its pages, and a page as a picture. Pure."""

from dataclasses import dataclass, field

from sidecar.documents.layers.thai_text import Repair
from sidecar.errors import SidecarError
from sidecar.evidence.confidence import Certainty
from sidecar.evidence.layout import Layout
from sidecar.evidence.packed import Packed
from sidecar.evidence.placement import UNPLACED, Placement


@dataclass(frozen=True, slots=True)
class PageImage:
    """A page as grey pixels: ``height`` rows of ``width`` bytes, 0 black to 255 white, ``dpi`` dots per inch."""

    width: int
    height: int
    dpi: int
    pixels: bytes = field(repr=False)
    placement: Placement = UNPLACED


@dataclass(frozen=True, slots=True)
class PagePicture:
    """A page as a PNG file for a vision model, in base64 as its API wants it."""

    png_base64: str = field(repr=False)
    blank: bool = False
    """Whether it shows only background and specks: models invent text for such pages."""
    anchors: str = field(default="", repr=False)
    """The page's size, and where its text stands; empty where nobody asked for it."""
    placement: Placement = UNPLACED
    sha256: str | None = None
    """Of the PNG file, in hex, where somebody asked for it."""


@dataclass(frozen=True, slots=True)
class ShownPage:
    """A page for people to look at: a file of that type, and its size in pixels."""

    content: bytes = field(repr=False)
    width: int
    height: int
    media_type: str = "image/jpeg"


# Workers send these two with every document. Without slots they are pickled in C instead of Python.


@dataclass(frozen=True)
class PageFacts:
    """One page to read. ``text`` is its text layer, if that replaces reading it; ``error`` is why it cannot be read.

    ``repaired`` names what was mended in the text layer; ``implausible_layer``: its text belongs to no language.
    """

    index: int
    text: str | None = None
    blank: bool = False
    error: SidecarError | None = None
    repaired: tuple[Repair, ...] = ()
    implausible_layer: bool = False
    certainty: Certainty | None = None
    """How far ``text`` looks like text."""
    notes: tuple[str, ...] = ()
    """Texts of notes on the page that cannot be drawn, for want of a font: part of the page, whoever reads it."""
    unit: float = 1.0
    """Points of a unit of the page's coordinates, where its layout was wanted; all places are in units until then."""
    layout: Packed[Layout] | None = None
    """The words of the text layer with their places, where they were wanted; also where ``text`` is not used."""

    @property
    def needs_engine(self) -> bool:
        """Return whether an engine must read the page."""
        return self.text is None and not self.blank and self.error is None


@dataclass(frozen=True)
class DocumentFacts:
    """What a document is. ``page_count`` counts the document's pages, ``pages`` holds those to read."""

    kind: str
    page_count: int
    pages: tuple[PageFacts, ...]
    limited: bool
    repaired: bool = False
    """Whether the file is damaged, and was mended to be opened."""
    hides_form: bool = False
    """Whether it is a form whose content its pages do not show."""
    size_bytes: int = 0
    sha256: str | None = None
    """Of the file, in hex, where somebody asked for it."""
    library: str = ""
    """What opened it, with its version: it reads the text layers."""
