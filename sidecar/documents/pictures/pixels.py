"""Pixels of any kind as grey or colour on paper: wide, dark, transparent, in Lab. Pure."""

from PIL import Image, ImageChops, ImageCms

WHOLE_16_BITS = 1 << 14
"""Pixels of 16 bits whose brightest is below this have 9 to 14 bits, as sensors give: that is then white."""
DARKEST_PAPER = 64
"""If nothing on a picture is brighter than this, of 255, its brightest is taken for paper: no paper is so dark."""
PALE = 160
"""Visible pixels brighter than this, of 255, on average, would hardly show on white."""
MOSTLY = 0.5
"""If at least this share of a picture is transparent, its shapes are what is not."""
LEAST_INK = 0.0005
"""Share of the visible pixels that must be darker than :data:`PALE` to be the ink of a page."""


def grey(image: Image.Image) -> Image.Image:
    """Convert any mode to ``L``: transparent becomes paper, wider pixels are scaled to 8 bits."""
    if image.mode.startswith("I") or image.mode == "F":
        wide = image if image.mode == "F" else image.convert("I")  # Pillow supports little in the other byte order
        scale = _scale_to_8_bits(wide, is_16_bit=image.mode.startswith("I;16"))
        return wide.point(lambda value: value * scale).convert("L")
    if image.mode == "LAB":
        return _brightened(image.getchannel(0))  # its lightness
    if image.has_transparency_data:
        return _on_paper(image).convert("L")
    return _brightened(image.convert("L"))


def colour(image: Image.Image) -> Image.Image:
    """Convert modes that have colours to ``RGB``, the others to ``L``."""
    is_grey = image.mode in ("1", "L", "LA", "F") or image.mode.startswith("I")
    if is_grey:
        return grey(image)
    if image.mode == "LAB":
        return _lab_to_rgb(image)
    return _on_paper(image).convert("RGB") if image.has_transparency_data else image.convert("RGB")


def _on_paper(image: Image.Image) -> Image.Image:
    """Lay a picture with transparent parts on white; pale shapes on black, and the result is inverted."""
    rgba = image.convert("RGBA")
    if not _is_pale(rgba):
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    on_black = Image.alpha_composite(Image.new("RGBA", rgba.size, "black"), rgba)
    return ImageChops.invert(on_black.convert("RGB"))


def _is_pale(rgba: Image.Image) -> bool:
    """Return whether a mostly transparent picture shows only what is hardly visible on white."""
    alpha = rgba.getchannel("A")
    histogram = alpha.histogram()
    seen = sum(histogram[128:])
    if not seen or histogram[0] < MOSTLY * rgba.width * rgba.height:
        return False
    shades = rgba.convert("RGB").convert("L").histogram(alpha.point([0] * 128 + [255] * 128))
    return sum(shades[:PALE]) < LEAST_INK * seen


def _brightened(image: Image.Image) -> Image.Image:
    """Scale a grey picture so dark that it must have lost its upper bits."""
    highest = image.getextrema()[1]
    brightest = 0 if isinstance(highest, tuple) else int(highest)
    if not 0 < brightest < DARKEST_PAPER:
        return image
    return image.point([min(255, value * 255 // brightest) for value in range(256)])


def _scale_to_8_bits(image: Image.Image, *, is_16_bit: bool) -> float:
    """Return the factor for 16-bit, 32-bit or float pixels, whose files seldom state the value of white."""
    highest = image.getextrema()[1]
    brightest = 255.0 if isinstance(highest, tuple) else float(highest)
    if is_16_bit and brightest >= WHOLE_16_BITS:
        return 1 / 256
    if is_16_bit and brightest > 255:
        return 255 / ((1 << int(brightest).bit_length()) - 1)
    if image.mode == "F" and 0 < brightest <= 1:
        return 255.0
    return 255 / brightest if brightest > 255 else 1.0


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.applyTransform(image, ImageCms.buildTransform(lab, rgb, "LAB", "RGB")) or image.getchannel(0)
