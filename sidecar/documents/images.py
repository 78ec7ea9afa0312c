"""Image documents: PNG, JPEG, TIFF with any number of pages, WebP and BMP. Runs in worker processes only."""

import functools
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Self

import PIL
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from sidecar.documents import raster
from sidecar.documents.layers.anchors import picture_anchors
from sidecar.documents.layers.text_layer import TextLayer
from sidecar.documents.pages import PageImage, PagePicture, ShownPage
from sidecar.documents.pictures import jpeg, pixels
from sidecar.documents.pictures.frames import REDUCED, Frame, pages_of
from sidecar.documents.pictures.lines import WANTED_HEIGHT, line_height
from sidecar.documents.pictures.scaling import Scaling, at_most, paper_points, plan_fitting, plan_scaling
from sidecar.documents.raster import page_image
from sidecar.errors import PageTooLargeError, TooManyPagesError, UnreadableDocumentError
from sidecar.evidence.placement import Placement

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
MAX_FRAMES = 3000
"""Most pages of a TIFF that are counted: the time grows with the square of their number, to 0.2 s here."""


JPEG_FORMATS, JPEG_MODES = ("JPEG", "MPO"), ("L", "RGB", "CMYK")
TURNED = (5, 6, 7, 8)
"""EXIF orientations whose rows are shown as columns."""


@dataclass(frozen=True, slots=True)
class StoredJpeg:
    """A JPEG file, its pixels across and down as stored, its mode, and what EXIF says of how it is shown.

    ``is_inverted``: its inks are stored as what they leave white, as Adobe's programs do.
    """

    content: bytes = field(repr=False)
    size: tuple[int, int]
    mode: str
    orientation: int
    is_inverted: bool


def preload() -> None:
    """Import what reads the common formats, which Pillow would do with a worker's first picture."""
    Image.preinit()


class Images:
    """An image file as a document. Only sizes are read until a page is rendered."""

    library = f"pillow-{PIL.__version__}"

    def __init__(self, image: Image.Image, path: Path, max_page_pixels: int, cut: bytes | None = None) -> None:
        self._image = image
        self._path = path
        self._cut = cut
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
            cut = _cut_jpeg(file)
            with _pillow_errors():
                image = Image.open(io.BytesIO(cut + jpeg.END) if cut else file, formats=FORMATS)
            yield cls(image, path, max_page_pixels, cut)

    @property
    def is_repaired(self) -> bool:
        """Return whether the file is cut off, and an end was added."""
        return self._cut is not None

    @property
    def page_count(self) -> int:
        """Count the pages.

        Raises:
            TooManyPagesError: there are more than :data:`MAX_FRAMES`.
        """
        return len(self._frames)

    @functools.cached_property
    def _frames(self) -> Sequence[int]:
        """Find the frames that are pages, by seeking each: previews and masks are none."""
        if not self._has_frames:
            return (0,)
        frames: list[Frame] = []
        with _pillow_errors():
            for index in range(MAX_FRAMES + 1):
                try:
                    self._image.seek(index)
                except EOFError:
                    return pages_of(frames)
                frames.append(Frame(self._image.size, _subfile_type(self._image)))
        raise TooManyPagesError(f"the image has more than {MAX_FRAMES} pages")

    hides_form = False
    """Pictures are no forms."""
    has_evidence = False
    """Pictures have no text layers, so there is no evidence."""

    def text_layer(
        self,
        index: int,  # noqa: ARG002 - a document's common shape
        char_threshold: int,  # noqa: ARG002 - likewise
        *,
        wants_layout: bool = False,  # noqa: ARG002 - likewise
    ) -> TextLayer | None:
        """Return None: pictures have no text layer."""
        return None

    def is_empty(self, index: int) -> bool:  # noqa: ARG002 - a document's common shape
        """Always False: unknown before decoding."""
        return False

    def undrawn_notes(self, index: int) -> tuple[str, ...]:  # noqa: ARG002 - a document's common shape
        """Return nothing: pictures have no notes."""
        return ()

    def check_page(self, index: int, dpi: int) -> None:  # noqa: ARG002 - a picture has the pixels it has
        """Refuse a picture with more pixels than the limit, from its header alone; and one that is mostly missing."""
        with _pillow_errors():
            self._seek(index)
        if self._image.width * self._image.height > self._max_page_pixels:
            raise PageTooLargeError(
                f"page {index + 1} has {self._image.width} x {self._image.height} pixels, "
                f"the limit is {self._max_page_pixels} pixels"
            )

        if self._cut:
            with _pillow_errors():
                share = jpeg.share_there(self._cut)
            if share < jpeg.LEAST_SHARE:
                raise UnreadableDocumentError("the image is incomplete: too little of it is there")

    def render(self, index: int, dpi: int) -> PageImage:
        """Decode one page to grey at about ``dpi`` dots per inch, upright as its EXIF orientation says."""
        self.check_page(index, dpi)
        with _pillow_errors():
            claimed = _claimed_dpi(self._image)
            self._image.draft("L", None)  # a JPEG then decodes its luminance only
            grey = pixels.grey(self._upright())
        scaling = plan_scaling(grey.size, claimed, dpi, self._max_page_pixels)
        if scaling.x > 1 and (height := line_height(grey)):
            scaling = at_most(scaling, WANTED_HEIGHT / height)
        scaled = _scaled(grey, scaling)
        placement = Placement.filling(paper_points(grey.size, claimed), scaled.size)
        return page_image(scaled, scaling.dpi, placement)

    def picture(self, index: int, longest_side: int) -> PagePicture:
        """Decode one page in colour, upright, with at most this many pixels on its longest side."""
        self.check_page(index, 0)
        with _pillow_errors():
            claimed = _claimed_dpi(self._image)
            upright = pixels.colour(self._upright())
        scaling = plan_fitting(upright.size, claimed, longest_side)
        return raster.page_picture(_scaled(upright, scaling), scaling.dpi, paper_points(upright.size, claimed))

    def shown(self, index: int) -> ShownPage:
        """Decode a page for people to look at, as large as it is at most."""
        self.check_page(index, 0)
        with _pillow_errors():
            upright = pixels.colour(self._upright())
        points = paper_points(upright.size, _claimed_dpi(self._image))
        factor = min(raster.fitted(*points, raster.SHOWN_SIDE), upright.width / points[0], upright.height / points[1])
        size = max(1, round(points[0] * factor)), max(1, round(points[1] * factor))
        return raster.shown_page(upright.resize(size, Image.Resampling.LANCZOS) if size != upright.size else upright)

    def upright(self, index: int) -> Image.Image:
        """Decode one page with the pixels that it has, upright."""
        self.check_page(index, 0)
        with _pillow_errors():
            return self._upright()

    def stored_jpeg(self) -> StoredJpeg | None:
        """Return the file as it is, if it is a JPEG that PDF viewers can show; a cut one with an end."""
        if self._image.format not in JPEG_FORMATS or self._image.mode not in JPEG_MODES:
            return None
        self.check_page(0, 0)
        with _pillow_errors():
            orientation = self._image.getexif().get(ExifTags.Base.Orientation, 1)
        content = self._cut + jpeg.END if self._cut else self._path.read_bytes()
        is_inverted = self._image.mode == "CMYK" and "adobe" in self._image.info
        return StoredJpeg(content, self._image.size, self._image.mode, orientation, is_inverted)

    def size_points(self, index: int) -> tuple[float, float]:
        """Return the width and height of one page in points, upright, as far as the file's claims are believed."""
        with _pillow_errors():
            self._seek(index)
            width, height = self._image.size
            is_turned = self._image.getexif().get(ExifTags.Base.Orientation) in TURNED
            return paper_points((height, width) if is_turned else (width, height), _claimed_dpi(self._image))

    def anchors(self, index: int) -> str:
        """Tell the page's size: an image has no text layer."""
        self.check_page(index, 0)
        with _pillow_errors():
            return picture_anchors(*self._upright().size)

    def _upright(self) -> Image.Image:
        self._image.load()  # Pillow turns a TIFF upright here, and removes its orientation
        return ImageOps.exif_transpose(self._image)

    def _seek(self, index: int) -> None:
        if self._has_frames:
            self._image.seek(self._frames[index])


def _cut_jpeg(file: BinaryIO) -> bytes | None:
    """Return the content of a JPEG file that is cut off, else None."""
    if file.read(2) == b"\xff\xd8":
        file.seek(-min(jpeg.TAIL_BYTES, file.seek(0, io.SEEK_END)), io.SEEK_END)
        if jpeg.lacks_end(file.read()):
            file.seek(0)
            return file.read()
    file.seek(0)
    return None


def _subfile_type(image: Image.Image) -> int:
    """Return what a TIFF says of a frame: bits of tag NewSubfileType, else of its predecessor."""
    tags = getattr(image, "tag_v2", {})
    old = {2: REDUCED}.get(tags.get(ExifTags.Base.SubfileType, 0), 0)
    kind = tags.get(ExifTags.Base.NewSubfileType, old)
    return kind if isinstance(kind, int) else 0


def _claimed_dpi(image: Image.Image) -> tuple[float, float] | None:
    """Return the resolution stated in the file, horizontal and vertical as the picture is shown."""
    claimed = image.info.get("dpi")
    is_turned = image.getexif().get(ExifTags.Base.Orientation) in TURNED
    return tuple(reversed(claimed)) if claimed and is_turned else claimed


def _scaled(image: Image.Image, scaling: Scaling) -> Image.Image:
    if (scaling.x, scaling.y) == (1.0, 1.0):
        return image
    size = max(1, round(image.width * scaling.x)), max(1, round(image.height * scaling.y))
    return image.resize(size, Image.Resampling.LANCZOS)


@contextmanager
def _pillow_errors() -> Iterator[None]:
    """Map everything Pillow raises for broken files; its decoders' exceptions have no common base class."""
    try:
        yield
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError) as exc:
        raise UnreadableDocumentError("the image is broken and cannot be decoded") from exc
