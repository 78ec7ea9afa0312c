"""Image documents: PNG, JPEG, TIFF with any number of pages, WebP and BMP. Runs in worker processes only."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from sidecar.documents import raster
from sidecar.documents.layers.text_layer import TextLayer
from sidecar.documents.pages import PageImage, PagePicture
from sidecar.documents.pictures.scaling import Scaling, plan_fitting, plan_scaling
from sidecar.documents.raster import page_image
from sidecar.errors import PageTooLargeError, TooManyPagesError, UnreadableDocumentError

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
MAX_FRAMES = 3000
"""Most pages of a TIFF that are counted: the time grows with the square of their number, to 0.2 s here."""


class Images:
    """An image file as a document. Only sizes are read until a page is rendered."""

    def __init__(self, image: Image.Image, max_page_pixels: int) -> None:
        self._image = image
        self._max_page_pixels = max_page_pixels
        # Animated WebP and the previews inside a phone's JPEG are not pages; a TIFF's frames are.
        self._has_frames = image.format == "TIFF"

    @classmethod
    @contextmanager
    def open(cls, path: Path, max_page_pixels: int) -> Iterator[Self]:
        """Open a file whose content is one of :data:`FORMATS`.

        Raises:
            UnreadableDocumentError: it is truncated, or is not what its first bytes say.
        """
        Image.MAX_IMAGE_PIXELS = None  # our own limit is checked before anything is decoded
        with path.open("rb") as file:  # with a path Pillow would memory-map the file, and misread rotated TIFFs
            with _pillow_errors():
                document = cls(Image.open(file, formats=FORMATS), max_page_pixels)
            yield document

    @functools.cached_property
    def page_count(self) -> int:
        """Count the frames by seeking each of them.

        Raises:
            TooManyPagesError: there are more than :data:`MAX_FRAMES`.
        """
        if not self._has_frames:
            return 1
        with _pillow_errors():
            for index in range(1, MAX_FRAMES + 1):
                try:
                    self._image.seek(index)
                except EOFError:
                    return index
        raise TooManyPagesError(f"the image has more than {MAX_FRAMES} pages")

    has_evidence = False
    """Pictures have no text layers, so there is no evidence."""

    def text_layer(self, index: int, char_threshold: int) -> TextLayer | None:  # noqa: ARG002 - a document's common shape
        """Return None: pictures have no text layer."""
        return None

    def is_empty(self, index: int) -> bool:  # noqa: ARG002 - a document's common shape
        """Always False: unknown before decoding."""
        return False

    def check_page(self, index: int, dpi: int) -> None:  # noqa: ARG002 - a picture has the pixels it has
        """Refuse a picture with more pixels than the limit, from its header alone."""
        with _pillow_errors():
            self._seek(index)
        if self._image.width * self._image.height > self._max_page_pixels:
            raise PageTooLargeError(
                f"page {index + 1} has {self._image.width} x {self._image.height} pixels, "
                f"the limit is {self._max_page_pixels} pixels"
            )

    def render(self, index: int, dpi: int) -> PageImage:
        """Decode one page to grey at about ``dpi`` dots per inch, upright as its EXIF orientation says."""
        self.check_page(index, dpi)
        with _pillow_errors():
            claimed = _claimed_dpi(self._image)
            self._image.draft("L", None)  # a JPEG then decodes its luminance only
            grey = _grey(self._upright())
        scaling = plan_scaling(grey.size, claimed, dpi, self._max_page_pixels)
        return page_image(_scaled(grey, scaling), scaling.dpi)

    def picture(self, index: int, longest_side: int) -> PagePicture:
        """Decode one page in colour, upright, with at most this many pixels on its longest side."""
        self.check_page(index, 0)
        with _pillow_errors():
            claimed = _claimed_dpi(self._image)
            upright = _colour(self._upright())
        scaling = plan_fitting(upright.size, claimed, longest_side)
        return raster.page_picture(_scaled(upright, scaling), scaling.dpi)

    def _upright(self) -> Image.Image:
        self._image.load()  # Pillow turns a TIFF upright here, and removes its orientation
        return ImageOps.exif_transpose(self._image)

    def _seek(self, index: int) -> None:
        if self._has_frames:
            self._image.seek(index)


def _claimed_dpi(image: Image.Image) -> tuple[float, float] | None:
    """Return the resolution stated in the file, horizontal and vertical as the picture is shown."""
    claimed = image.info.get("dpi")
    is_turned = image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
    return tuple(reversed(claimed)) if claimed and is_turned else claimed


def _scaled(image: Image.Image, scaling: Scaling) -> Image.Image:
    if (scaling.x, scaling.y) == (1.0, 1.0):
        return image
    size = max(1, round(image.width * scaling.x)), max(1, round(image.height * scaling.y))
    return image.resize(size, Image.Resampling.LANCZOS)


def _grey(image: Image.Image) -> Image.Image:
    """Convert any mode to ``L``: transparent becomes white, wider pixels are scaled to 8 bits."""
    if image.mode.startswith("I") or image.mode == "F":
        wide = image if image.mode == "F" else image.convert("I")  # Pillow supports little in the other byte order
        scale = _scale_to_8_bits(wide, is_16_bit=image.mode.startswith("I;16"))
        return wide.point(lambda value: value * scale).convert("L")
    return _on_white(image).convert("L")


def _colour(image: Image.Image) -> Image.Image:
    """Convert modes that have colours to ``RGB``, the others to ``L``."""
    is_grey = image.mode in ("1", "L", "LA", "F") or image.mode.startswith("I")
    return _grey(image) if is_grey else _on_white(image).convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)


def _scale_to_8_bits(image: Image.Image, *, is_16_bit: bool) -> float:
    """Return the factor for 16-bit, 32-bit or float pixels, whose files seldom state the value of white."""
    highest = image.getextrema()[1]
    brightest = 255.0 if isinstance(highest, tuple) else float(highest)
    if is_16_bit and brightest > 255:
        return 1 / 256
    if image.mode == "F" and 0 < brightest <= 1:
        return 255.0
    return 255 / brightest if brightest > 255 else 1.0


@contextmanager
def _pillow_errors() -> Iterator[None]:
    """Map everything Pillow raises for broken files; its decoders' exceptions have no common base class."""
    try:
        yield
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError) as exc:
        raise UnreadableDocumentError("the image is broken and cannot be decoded") from exc
