"""Puts text layers on the pages of a PDF by pikepdf. Runs in worker processes only.

Nothing that a page draws is touched: the layer is one more content stream, before the others.
"""

import functools
import itertools
from collections.abc import Iterator
from dataclasses import replace

from pikepdf import Array, Dictionary, Name, Object, Pdf

from sidecar.documents.searchable import font, layer, placement
from sidecar.documents.searchable.objects import frame_of, made_stream, stating
from sidecar.documents.searchable.silence import Silencer
from sidecar.evidence.page import Page


class Grafter:
    """Puts layers on the pages of one PDF; all share one font. ``changed`` has the pages' dictionaries."""

    def __init__(self, pdf: Pdf) -> None:
        self._pdf = pdf
        self._codes = font.Codes()
        self.changed: list[Object] = []

    def add(self, index: int, page: Page) -> None:
        """Put a page's words on it, and silence the text that it had."""
        target = self._pdf.pages[index].obj
        frame = frame_of(target)
        sized = page if page.width and page.height else replace(page, width=frame.width, height=frame.height)
        matrix = frame.matrix(sized.width, sized.height)
        written = layer.content(placement.runs(sized), matrix, self._codes, self._name)
        if not written:
            return
        target["/Resources"] = self._silencer.resources(target)
        target["/Contents"] = Array([made_stream(self._pdf, written), *self._silencer.contents(index)])
        self.changed.append(target)

    def finish(self) -> None:
        """Complete the font, once all letters are known."""
        if self.changed:
            self._font.ToUnicode = made_stream(self._pdf, font.to_unicode(self._codes.beyond))
            runs = font.widths(self._codes.used)
            self._font.DescendantFonts[0].W = Array([number for run in runs for number in run])

    @functools.cached_property
    def _silencer(self) -> Silencer:
        return Silencer(self._pdf, self._name, self._font)

    @functools.cached_property
    def _name(self) -> str:
        """What pages call the layer's font: nothing that one of theirs is called, such as that of an earlier layer."""
        taken = set(_font_names(self._pdf))
        names = (f"{layer.FONT_NAME}{number or ''}" for number in itertools.count())
        return next(name for name in names if "/" + name not in taken)

    @functools.cached_property
    def _font(self) -> Object:
        return self._pdf.make_indirect(
            Dictionary(
                Type=Name.Font,
                Subtype=Name.Type0,
                BaseFont=Name("/" + layer.FONT_NAME),
                Encoding=Name("/Identity-H"),
                DescendantFonts=Array([self._pdf.make_indirect(self._descendant())]),
            )
        )

    def _descendant(self) -> Dictionary:
        return Dictionary(
            Type=Name.Font,
            Subtype=Name.CIDFontType2,
            BaseFont=Name("/" + layer.FONT_NAME),
            CIDSystemInfo=Dictionary(Registry=b"Adobe", Ordering=b"Identity", Supplement=0),
            CIDToGIDMap=made_stream(self._pdf, font.glyph_map()),
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
            FontFile2=made_stream(self._pdf, file, Length1=len(file)),
        )


def _font_names(pdf: Pdf) -> Iterator[str]:
    """Yield what the pages call their fonts; those that share their resources are looked at once."""
    seen = set()
    for page in pdf.pages:
        owner = stating(page.obj, "/Resources")
        resources = owner["/Resources"] if owner is not None else None
        fonts = resources.get("/Font") if isinstance(resources, Dictionary) else None
        held = [one for one in (fonts, resources, owner) if isinstance(one, Dictionary)]
        key = next((one.objgen for one in held if one.is_indirect), None)
        if isinstance(fonts, Dictionary) and key not in seen:
            seen.add(key)
            yield from fonts.keys()
