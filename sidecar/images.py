"""Image documents: PNG, JPEG, TIFF with any number of pages, WebP and BMP. Runs in worker processes only."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from PIL import Image, ImageOps, UnidentifiedImageError

from sidecar.engine import PageImage
from sidecar.errors import PageTooLargeError, UnreadableDocumentError
from sidecar.raster import page_image
from sidecar.text_quality import TextLayer

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
A4_LONG_SIDE_INCHES = 11.69
SCREEN_DPI = 100
"""Files that claim 72 or 96 dpi mean a screen, not the paper: such a claim is not believed."""
MAX_ENLARGEMENT = 3.0
"""Enlarging a small picture helps Tesseract, but no picture holds more than about threefold."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """By how much each axis of a picture is scaled so that it has ``dpi`` dots per inch."""

    x: float
    y: float
    dpi: int


class Images:
    """An image file as a document. Only sizes are read until a page is rendered."""

    def __init__(self, image: Image.Image, max_page_pixels: int) -> None:
        self._image = image
        self._max_page_pixels = max_page_pixels
        # Animated WebP and the previews inside a phone's JPEG are not pages; a TIFF's frames are.
        self.page_count: int = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1

    @classmethod
    @contextmanager
    def open(cls, path: Path, max_page_pixels: int) -> Iterator[Self]:
        """Open a file whose content is one of :data:`FORMATS`.

        Raises:
            UnreadableDocumentError: it breaks off, or is not what its first bytes say.
        """
        Image.MAX_IMAGE_PIXELS = None  # our own limit is checked before anything is decoded
        with _pillow_errors():
            image = Image.open(path, formats=FORMATS)
            document = cls(image, max_page_pixels)
        with image:
            yield document

    def text_layer(self, index: int) -> TextLayer | None:  # noqa: ARG002 - a document's common shape
        """Give nothing: pictures have no text layer."""
        return None

    def is_empty(self, index: int) -> bool:  # noqa: ARG002 - a document's common shape
        """Tell nothing before decoding."""
        return False

    def check_page(self, index: int, dpi: int) -> None:  # noqa: ARG002 - a picture has the pixels it has
        """Refuse a picture with more pixels than the limit, from its header alone."""
        with _pillow_errors():
            self._seek(index)
        pixels = self._image.width * self._image.height
        if pixels > self._max_page_pixels:
            raise PageTooLargeError(
                f"page {index + 1} has {self._image.width} x {self._image.height} pixels, "
                f"the limit is {self._max_page_pixels} pixels"
            )

    def render(self, index: int, dpi: int) -> PageImage:
        """Decode one page to grey at about ``dpi`` dots per inch, upright as its EXIF orientation says."""
        self.check_page(index, dpi)
        with _pillow_errors():
            self._image.draft("L", None)  # a JPEG then decodes its luminance only
            upright = ImageOps.exif_transpose(self._image)
            grey = _grey(upright)
        scaling = plan_scaling(upright.size, self._image.info.get("dpi"), dpi, self._max_page_pixels)
        if (scaling.x, scaling.y) != (1.0, 1.0):
            size = max(1, round(grey.width * scaling.x)), max(1, round(grey.height * scaling.y))
            grey = grey.resize(size, Image.Resampling.LANCZOS)
        return page_image(grey, scaling.dpi)

    def _seek(self, index: int) -> None:
        if self.page_count > 1:
            self._image.seek(index)


def plan_scaling(size: tuple[int, int], claimed: tuple[float, float] | None, dpi: int, max_pixels: int) -> Scaling:
    """Decide how a picture of ``size`` pixels becomes one of ``dpi`` dots per inch.

    A believable claim in the file is followed on each axis (a fax has 204 x 98 dots per inch); without one the picture
    is taken for an A4 page. Between 180 and 400 dpi nothing is gained by scaling.
    """
    across, down = _believable(claimed) or (max(size) / A4_LONG_SIDE_INCHES,) * 2
    if 180 <= across <= 400 and 0.9 <= across / down <= 1.1:
        return Scaling(1.0, 1.0, round(across))
    x, y = min(dpi / across, MAX_ENLARGEMENT), min(dpi / down, MAX_ENLARGEMENT)
    if size[0] * x * size[1] * y > max_pixels:
        return Scaling(1.0, 1.0, round(across))
    return Scaling(x, y, round(across * x))


def _believable(claimed: tuple[float, float] | None) -> tuple[float, float] | None:
    match claimed:
        case (across, down):
            pair = float(across), float(down)
            return pair if all(SCREEN_DPI < value <= 1200 for value in pair) or _is_fax(pair) else None
        case _:
            return None


def _is_fax(pair: tuple[float, float]) -> bool:
    """Group 3 fax, standard resolution: 204 x 98 dots per inch (ITU-T T.4)."""
    return 200 <= pair[0] <= 208 and 96 <= pair[1] <= 100


def _grey(image: Image.Image) -> Image.Image:
    """Make ``L`` of any mode: what is transparent is white, 16 bits become 8."""
    if image.mode.startswith("I;16") or image.mode == "I":
        return image.point(lambda value: value * (1 / 256)).convert("L")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("L")
    return image.convert("L")


@contextmanager
def _pillow_errors() -> Iterator[None]:
    """Map everything Pillow raises for broken files; its decoders raise these and no common base class."""
    try:
        yield
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError) as exc:
        raise UnreadableDocumentError("the image is broken and cannot be decoded") from exc
