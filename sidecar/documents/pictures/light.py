"""Uneven light on a photographed page: found, and taken out by dividing by the paper's brightness. Pure."""

from PIL import Image, ImageFilter, ImageMath

from sidecar.documents.pages import PageImage
from sidecar.documents.raster import page_image, pillow, shrink

STRIDE = 3
"""The paper's brightness is found at a third of :data:`sidecar.documents.raster.INK_DPI`, that is 12 dots per inch."""
REACH = 5
"""In squares of this many such dots, 0.4 inches, the lightest is taken for paper: large letters have some between."""
LEAST_SPREAD = 45
"""By how much, of 255, the paper's brightness must differ across the page: less does not disturb Tesseract."""
IGNORED_SHARE = 0.02
"""Share of the page, at each end of the brightness, that does not count: dark margins, reflections."""
LEAST_BRIGHTNESS = 12
"""Paper darker than this, of 255, is taken for this dark: there, only noise would be amplified."""
BAND_ROWS = 512
"""Rows that are divided at a time, to bound the memory."""


def is_uneven(page: PageImage) -> bool:
    """Return whether the paper is much darker in some places than in others."""
    histogram = _paper(page).histogram()
    return _quantile(histogram, 1 - IGNORED_SHARE) - _quantile(histogram, IGNORED_SHARE) >= LEAST_SPREAD


def even_out(page: PageImage) -> PageImage:
    """Return the page as if its paper were white everywhere."""
    image = pillow(page)
    paper = _paper(page)
    evened = Image.new("L", image.size)
    for top in range(0, page.height, BAND_ROWS):
        box = (0, top, page.width, min(page.height, top + BAND_ROWS))
        evened.paste(_divided(image.crop(box), _part(paper, box, image.size)), box)
    return page_image(evened, page.dpi, page.placement)


def _paper(page: PageImage) -> Image.Image:
    """Return the paper's brightness, small and smooth."""
    small = shrink(pillow(page), page.dpi).filter(ImageFilter.MaxFilter(STRIDE))
    size = max(1, small.width // STRIDE), max(1, small.height // STRIDE)
    lightest = small.resize(size, Image.Resampling.NEAREST).filter(ImageFilter.MaxFilter(REACH))
    return lightest.filter(ImageFilter.BoxBlur(REACH // 2))


def _part(paper: Image.Image, box: tuple[int, int, int, int], size: tuple[int, int]) -> Image.Image:
    """Enlarge the part of the paper's brightness that belongs to a part of the page."""
    across, down = paper.width / size[0], paper.height / size[1]
    place = (box[0] * across, box[1] * down, box[2] * across, box[3] * down)
    return paper.resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.BILINEAR, place)


def _divided(image: Image.Image, paper: Image.Image) -> Image.Image:
    divided: Image.Image = ImageMath.lambda_eval(
        lambda of: of["convert"](of["min"](of["image"] * 255 / of["max"](of["paper"], LEAST_BRIGHTNESS), 255), "L"),
        image=image,
        paper=paper,
    )
    return divided


def _quantile(histogram: list[int], share: float) -> int:
    wanted, seen = share * sum(histogram), 0
    for grey, count in enumerate(histogram):
        seen += count
        if seen >= wanted:
            return grey
    return 255
