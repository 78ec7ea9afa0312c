"""Pictures of pages: made from Pillow images, rotated, searched for ink. Runs in worker processes."""

import base64
import io

from PIL import Image, ImageChops

from sidecar.documents.pages import PageImage, PagePicture, ShownPage
from sidecar.evidence.placement import UNPLACED, Placement

MAX_SIDE_PIXELS = 32_000
"""Tesseract counts pixels in 16 bits."""
INK_DPI = 37
"""Resolution at which a page is searched for ink: noise averages out, a full stop of 10-point text still counts."""
INK_CONTRAST = 32
"""How much darker or lighter than the page's background, of 255, a spot must be to count as ink."""
BLANK_INK_PIXELS = 3
"""Specks that a scanned blank page may have: three spots of 0.7 mm; a lone digit of 10 points has more."""


SHOWN_SIDE = 1600
"""Pixels on the longest side of a page for people to look at: 137 dots per inch of A4, a screen's height and a half."""
SHOWN_BYTES = 400_000
"""Most bytes of such a page. A dense page of text has half as many at the first quality; grain of a photograph more."""
SHOWN_QUALITIES = 80, 60, 40
SHOWN_LEAST_SIDE = 64
PNG_COMPRESSION = 1
"""The fastest: a third of the time of Pillow's default for a tenth more bytes."""


COLOUR_REDUCTION = 4
"""By how much a page is reduced before it is searched for colour: a hairline still shows, in a sixth of the time."""


def page_image(image: Image.Image, dpi: int, placement: Placement = UNPLACED) -> PageImage:
    """Convert a grey (``L``) picture of ``dpi`` dots per inch."""
    return PageImage(image.width, image.height, dpi, image.tobytes(), placement)


def page_picture(image: Image.Image, dpi: int, points: tuple[float, float]) -> PagePicture:
    """Encode an ``RGB`` or ``L`` picture of a page of so many points as PNG.

    It is in colour only if it has any: colour distinguishes stamps.
    """
    grey = image.convert("L")
    packed = io.BytesIO()
    (image if _has_colour(image) else grey).save(packed, "PNG", compress_level=PNG_COMPRESSION)
    placement = Placement.filling(points, image.size)
    blank = is_blank(page_image(grey, dpi))
    return PagePicture(base64.b64encode(packed.getvalue()).decode(), blank=blank, placement=placement)


def shown_page(image: Image.Image) -> ShownPage:
    """Encode an ``RGB`` or ``L`` picture as a JPEG of at most :data:`SHOWN_BYTES`, as finely as that allows."""
    picture = image if _has_colour(image) else image.convert("L")
    while True:
        for quality in SHOWN_QUALITIES:
            packed = io.BytesIO()
            picture.save(packed, "JPEG", quality=quality)
            if packed.tell() <= SHOWN_BYTES or max(picture.size) <= SHOWN_LEAST_SIDE:
                return ShownPage(packed.getvalue(), picture.width, picture.height)
        picture = picture.reduce(2)


def _has_colour(image: Image.Image) -> bool:
    if image.mode in ("1", "L"):
        return False
    red, green, blue = image.reduce(COLOUR_REDUCTION).convert("RGB").split()
    return any(ImageChops.difference(red, other).getbbox() for other in (green, blue))


def fitted(width: float, height: float, longest_side: int) -> float:
    """Return the factor that brings the longest side to this many pixels, and not one more after rounding."""
    return longest_side / max(width, height) * (1 - 1e-6)


def turn(page: PageImage, degrees: int) -> PageImage:
    """Rotate a page clockwise by a multiple of 90 degrees."""
    steps = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}
    if not degrees % 360:
        return page
    turned = pillow(page).transpose(steps[degrees % 360])
    return page_image(turned, page.dpi, page.placement.turned(degrees, (page.width, page.height), turned.size))


def is_blank(page: PageImage) -> bool:
    """Return whether the page shows nothing but its background and a few specks."""
    small = shrink(pillow(page), page.dpi)
    return sum(ink_mask(small).histogram()[1:]) <= BLANK_INK_PIXELS


def shrink(image: Image.Image, dpi: int) -> Image.Image:
    """Average a grey picture down to about :data:`INK_DPI`."""
    return image.reduce(max(1, dpi // INK_DPI))


def ink_mask(small: Image.Image) -> Image.Image:
    """Mark with 255 what differs from the background, which is the page's median grey."""
    background = _median(small.histogram())
    return small.point([255 if abs(grey - background) > INK_CONTRAST else 0 for grey in range(256)])


def _median(histogram: list[int]) -> int:
    half = sum(histogram) / 2
    seen = 0
    for grey, count in enumerate(histogram):
        seen += count
        if seen >= half:
            return grey
    return 255


def pillow(page: PageImage) -> Image.Image:
    """Return a page as a Pillow image, which shares its pixels."""
    return Image.frombuffer("L", (page.width, page.height), page.pixels, "raw", "L", 0, 1)
