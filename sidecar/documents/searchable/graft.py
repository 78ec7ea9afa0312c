"""Puts text layers on the pages of a PDF by pikepdf. Runs in worker processes only.

Nothing that a page draws is touched: the layer is one more content stream, before the others, and what was there
stays byte by byte. Where a page had a text layer that was not good enough, its fonts are given maps to nothing: they
draw as before, and say no more.
"""

import functools
import zlib
from collections.abc import Iterator
from dataclasses import replace

from pikepdf import Array, Dictionary, Name, Object, Pdf, Stream

from sidecar.documents.searchable import font, layer, placement
from sidecar.documents.searchable.layer import Frame
from sidecar.evidence.page import Page

LETTER = (0.0, 0.0, 612.0, 792.0)
"""The page of a file that states no size, as PDFium takes it."""
MAX_DEPTH = 16
"""How far up the tree of pages, and down in forms within forms, is looked: real ones are a fifth as deep."""
INHERITED = ("/Resources", "/MediaBox", "/CropBox", "/Rotate")


class Grafter:
    """Puts layers on the pages of one PDF; all share one font. ``changed`` has the pages' dictionaries."""

    def __init__(self, pdf: Pdf) -> None:
        self._pdf = pdf
        self._codes = font.Codes()
        self._font: Object | None = None
        self._silent: dict[tuple[int, int], Object] = {}
        self.changed: list[Object] = []

    def add(self, index: int, page: Page) -> None:
        """Put a page's words on it, and silence the text that it had."""
        target = self._pdf.pages[index].obj
        frame = frame_of(target)
        sized = page if page.width and page.height else replace(page, width=frame.width, height=frame.height)
        matrix = frame.matrix(sized.width, sized.height)
        written = layer.content(placement.runs(sized), matrix, self._codes)
        if not written:
            return
        resources = self._silenced(_own(_inherited(target, "/Resources")), 0)
        fonts = _own(resources.get("/Font"))
        fonts["/" + layer.FONT_NAME] = self._layer_font()
        resources["/Font"] = fonts
        target["/Resources"] = resources
        target["/Contents"] = Array([self._stream(written), *_contents(target)])
        self.changed.append(target)

    def finish(self) -> None:
        """Complete the font, once all letters are known."""
        if self._font is not None:
            self._font.ToUnicode = self._stream(font.to_unicode(self._codes.beyond))
            runs = font.widths(self._codes.used)
            self._font.DescendantFonts[0].W = Array([number for run in runs for number in run])

    def _stream(self, content: bytes, **entries: object) -> Object:
        return self._pdf.make_stream(zlib.compress(content, 9), Filter=Name.FlateDecode, **entries)

    def _layer_font(self) -> Object:
        if self._font is None:
            self._font = self._pdf.make_indirect(
                Dictionary(
                    Type=Name.Font,
                    Subtype=Name.Type0,
                    BaseFont=Name("/" + layer.FONT_NAME),
                    Encoding=Name("/Identity-H"),
                    DescendantFonts=Array([self._pdf.make_indirect(self._descendant())]),
                )
            )
        return self._font

    def _descendant(self) -> Dictionary:
        return Dictionary(
            Type=Name.Font,
            Subtype=Name.CIDFontType2,
            BaseFont=Name("/" + layer.FONT_NAME),
            CIDSystemInfo=Dictionary(Registry=b"Adobe", Ordering=b"Identity", Supplement=0),
            CIDToGIDMap=self._stream(font.glyph_map()),
            DW=font.WIDTH,
            FontDescriptor=self._pdf.make_indirect(self._descriptor()),
        )

    def _descriptor(self) -> Dictionary:
        file = font.font_file()
        return Dictionary(
            Type=Name.FontDescriptor,
            FontName=Name("/" + layer.FONT_NAME),
            Flags=4,  # symbolic: its letters are its own
            FontBBox=Array([0, font.DESCENT, font.WIDE_WIDTH, font.ASCENT]),
            ItalicAngle=0,
            Ascent=font.ASCENT,
            Descent=font.DESCENT,
            CapHeight=font.ASCENT,
            StemV=80,
            FontFile2=self._stream(file, Length1=len(file)),
        )

    # ── the text that was there ───────────────────────────────────────────────────────────────────────────────────

    def _silenced(self, resources: Dictionary, depth: int) -> Dictionary:
        """Return resources whose fonts tell no letters; ``resources`` itself is ours to change."""
        fonts, forms = resources.get("/Font"), resources.get("/XObject")
        if isinstance(fonts, Dictionary):
            resources["/Font"] = Dictionary({name: self._silent_font(one) for name, one in fonts.items()})
        if isinstance(forms, Dictionary) and depth < MAX_DEPTH:
            resources["/XObject"] = Dictionary({name: self._silent_form(one, depth) for name, one in forms.items()})
        return resources

    def _silent_font(self, told: Object) -> Object:
        if not isinstance(told, Dictionary):
            return told
        if (known := self._silent.get(told.objgen)) and told.is_indirect:
            return known
        silent = _own(told)
        silent["/ToUnicode"] = self._nothing(is_wide=told.get("/Subtype") == Name.Type0)
        made = self._pdf.make_indirect(silent)
        if told.is_indirect:
            self._silent[told.objgen] = made
        return made

    def _silent_form(self, form: Object, depth: int) -> Object:
        """Return a form whose fonts are silent; one without fonts as it is."""
        if not isinstance(form, Stream) or form.get("/Subtype") != Name.Form or not _has_fonts(form, depth):
            return form
        if known := self._silent.get(form.objgen):
            return known
        silent = self._pdf.make_stream(form.read_raw_bytes(), dict(form.stream_dict.items()))
        self._silent[form.objgen] = silent  # first: a form may hold itself
        silent["/Resources"] = self._silenced(_own(form.get("/Resources")), depth + 1)
        return silent

    @functools.cache  # noqa: B019 - a grafter lives as long as its file is open
    def _nothing(self, *, is_wide: bool) -> Object:
        return self._stream(_map_to_space(is_wide=is_wide))


def frame_of(page: Dictionary) -> Frame:
    """Return the box of a page that viewers show, and how they turn it: the crop box within the media box."""
    media = _box(_inherited(page, "/MediaBox")) or LETTER
    crop = _box(_inherited(page, "/CropBox"))
    if crop:
        crop = max(crop[0], media[0]), max(crop[1], media[1]), min(crop[2], media[2]), min(crop[3], media[3])
    rotate = _inherited(page, "/Rotate")
    degrees = int(rotate) if isinstance(rotate, int) else 0
    return Frame(crop if crop and crop[0] < crop[2] and crop[1] < crop[3] else media, degrees % 360)


def _box(found: object) -> tuple[float, float, float, float] | None:
    try:
        x0, y0, x1, y1 = (float(one) for one in found)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        return None
    box = min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
    return box if box[0] < box[2] and box[1] < box[3] else None


def _inherited(page: Dictionary, name: str) -> Object | None:
    node: object = page
    for _ in range(MAX_DEPTH):
        if not isinstance(node, Dictionary):
            return None
        if name in node:
            return node[name]
        node = node.get("/Parent")
    return None


def _own(found: object) -> Dictionary:
    """Return a copy of a dictionary that belongs to nobody else; an empty one in place of anything else."""
    return Dictionary(dict(found.items())) if isinstance(found, Dictionary) else Dictionary()


def _contents(page: Dictionary) -> Iterator[Object]:
    found = page.get("/Contents")
    if isinstance(found, Stream):
        yield found
    elif isinstance(found, Array):
        yield from (one for one in found if isinstance(one, Stream))


def _has_fonts(form: Stream, depth: int) -> bool:
    resources = form.get("/Resources")
    if not isinstance(resources, Dictionary) or depth >= MAX_DEPTH:
        return False
    if isinstance(resources.get("/Font"), Dictionary):
        return True
    inner = resources.get("/XObject")
    return isinstance(inner, Dictionary) and any(
        isinstance(one, Stream) and one.get("/Subtype") == Name.Form and _has_fonts(one, depth + 1)
        for _, one in inner.items()
    )


def _map_to_space(*, is_wide: bool) -> bytes:
    """Return a CMap by which every code is a space: no map at all would leave readers to guess."""
    digits, spaces = (4, " ".join(["<0020>"] * 256)) if is_wide else (2, " ".join(["<0020>"] * 256))
    highs = range(256) if is_wide else range(1)
    ranges = [f"<{(high << 8):0{digits}X}> <{(high << 8) + 255:0{digits}X}> [{spaces}]" for high in highs]
    blocks = [line for at in range(0, len(ranges), 100) for line in _range_block(ranges[at : at + 100])]
    head = "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n/CMapType 2 def\n1 begincodespacerange"
    space = f"<{0:0{digits}X}> <{256 ** (digits // 2) - 1:0{digits}X}>\nendcodespacerange"
    return "\n".join([head, space, *blocks, "endcmap\nend\nend"]).encode()


def _range_block(ranges: list[str]) -> list[str]:
    return [f"{len(ranges)} beginbfrange", *ranges, "endbfrange"]
