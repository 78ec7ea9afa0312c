"""Takes the words from the text layer that a page had: it draws as before, and says nothing. Workers only.

Its fonts are given maps to nothing, and what its marked content says in place of letters (/ActualText) gets a name that
nobody asks for. What stays as it is, stays byte by byte.
"""

import functools
from collections.abc import Callable, Iterator

from pikepdf import Array, Dictionary, Name, Object, Pdf, PdfError, Stream, Token, TokenFilter, TokenType
from pikepdf import Page as PdfPage

from sidecar.documents.searchable.objects import made_stream, stating

SPOKEN, UNSPOKEN = "/ActualText", "/OcrSidecarSilenced"
MAX_DEPTH = 16
"""How far down forms within forms are looked at: real ones are a fifth as deep."""


class Silencer:
    """Silences pages of one PDF, and gives them the layer's font under a name that none of their own has."""

    def __init__(self, pdf: Pdf, name: str, font: Object) -> None:
        self._pdf = pdf
        self._name = name
        self._font = font
        self._silent: dict[tuple[int, int], Object] = {}
        """By what they were: pages share fonts, forms, whole dictionaries of them, and each is made once."""
        self._shared: dict[tuple[int, int], Object] = {}
        """Resources by the object that states them: their own, or a node of the tree of pages."""
        self._speaks: dict[tuple[int, int], bool] = {}
        """Of forms: whether they, or forms within them, have words."""
        self._unspoken: dict[tuple[tuple[int, int], ...], Object] = {}
        """What pages draw, silent, by the streams that it was."""

    def resources(self, page: Dictionary) -> Object:
        """Return what a page draws with, silent, with the layer's font; pages that inherit the same share it."""
        stated_by = stating(page, "/Resources")
        found = stated_by.get("/Resources") if stated_by is not None else None
        owner = found if isinstance(found, Dictionary) and found.is_indirect else stated_by
        key = owner.objgen if owner is not None else (0, 0)
        if key not in self._shared:
            resources = self._silenced(_own(found), 0)
            if "/Font" not in resources:
                resources["/Font"] = self._fonts(Dictionary())
            self._shared[key] = self._pdf.make_indirect(resources)
        return self._shared[key]

    def _silenced(self, resources: Dictionary, depth: int) -> Dictionary:
        """Return resources whose fonts tell no letters; ``resources`` itself is ours to change."""
        if isinstance(fonts := resources.get("/Font"), Dictionary):
            resources["/Font"] = self._fonts(fonts)
        if isinstance(forms := resources.get("/XObject"), Dictionary) and depth < MAX_DEPTH:
            resources["/XObject"] = self._entries(forms, lambda one: self._silent_form(one, depth))
        if isinstance(properties := resources.get("/Properties"), Dictionary):
            resources["/Properties"] = self._entries(properties, _without_spoken)
        return resources

    def _fonts(self, told: Dictionary) -> Object:
        """Return fonts that are silent, and the layer's among them."""

        def silenced() -> Dictionary:
            fonts = Dictionary({name: self._silent_font(one) for name, one in told.items()})
            fonts["/" + self._name] = self._font
            return fonts

        return self._once(told, silenced)

    def _entries(self, told: Dictionary, silence: Callable[[Object], Object]) -> Object:
        """Return a dictionary with each entry silenced; the same one where none had to be."""

        def silenced() -> Dictionary:
            entries = {name: (one, silence(one)) for name, one in told.items()}
            is_same = all(before is after for before, after in entries.values())
            return told if is_same else Dictionary({name: after for name, (_, after) in entries.items()})

        return self._once(told, silenced)

    def _once(self, told: Dictionary, silenced: Callable[[], Dictionary]) -> Object:
        """Silence a dictionary, once if it is an object that others may refer to."""
        if not told.is_indirect:
            return silenced()
        if told.objgen not in self._silent:
            made = silenced()
            self._silent[told.objgen] = made if made is told else self._pdf.make_indirect(made)
        return self._silent[told.objgen]

    def _silent_font(self, told: Object) -> Object:
        if not isinstance(told, Dictionary):
            return told

        def silenced() -> Dictionary:
            silent = _own(told)
            silent["/ToUnicode"] = self._nothing(is_wide=told.get("/Subtype") == Name.Type0)
            return silent

        return self._once(told, silenced)

    def _silent_form(self, form: Object, depth: int) -> Object:
        """Return a form whose fonts are silent; one that says nothing as it is."""
        if not _is_form(form) or not self._has_words(form, depth):
            return form
        if known := self._silent.get(form.objgen):
            return known
        silent = self._pdf.make_stream(form.read_raw_bytes(), dict(form.stream_dict.items()))
        self._silent[form.objgen] = silent  # first: a form may hold itself
        if _speaks(form):
            silent.write(_unspoken(form))
        if isinstance(resources := form.get("/Resources"), Dictionary):
            silent["/Resources"] = self._silenced(_own(resources), depth + 1)
        return silent

    def _has_words(self, form: Object, depth: int) -> bool:
        if form.objgen not in self._speaks:
            self._speaks[form.objgen] = True  # while it is looked at: a form may hold itself
            self._speaks[form.objgen] = _speaks(form) or self._have_words(form.get("/Resources"), depth)
        return self._speaks[form.objgen]

    def _have_words(self, resources: Object | None, depth: int) -> bool:
        if not isinstance(resources, Dictionary) or depth >= MAX_DEPTH:
            return False
        if any(isinstance(resources.get(one), Dictionary) for one in ("/Font", "/Properties")):
            return True
        inner = resources.get("/XObject")
        return isinstance(inner, Dictionary) and any(
            _is_form(one) and self._has_words(one, depth + 1) for _, one in inner.items()
        )

    def contents(self, index: int) -> list[Object]:
        """Return what a page draws: its streams as they are, or all as one where a word had to be taken out."""
        page = self._pdf.pages[index]
        streams = list(_contents(page.obj))
        if not any(map(_speaks, streams)):
            return streams
        key = tuple(one.objgen for one in streams)
        if key not in self._unspoken:
            self._unspoken[key] = made_stream(self._pdf, _unspoken(page.obj))
        return [self._unspoken[key]]

    @functools.cache  # noqa: B019 - a grafter lives as long as its file is open
    def _nothing(self, *, is_wide: bool) -> Object:
        return made_stream(self._pdf, _map_to_space(is_wide=is_wide))


def _own(found: object) -> Dictionary:
    """Return a copy of a dictionary that belongs to nobody else; an empty one in place of anything else."""
    return Dictionary(dict(found.items())) if isinstance(found, Dictionary) else Dictionary()


def _contents(page: Dictionary) -> Iterator[Object]:
    found = page.get("/Contents")
    if isinstance(found, Stream):
        yield found
    elif isinstance(found, Array):
        yield from (one for one in found if isinstance(one, Stream))


def _is_form(found: Object) -> bool:
    return isinstance(found, Stream) and found.get("/Subtype") == Name.Form


class _Unspoken(TokenFilter):
    """Renames what marked content says within its dictionaries; every other byte stays as it is."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def handle_token(self, token: Token) -> Token:
        if token.type_ == TokenType.dict_open:
            self._depth += 1
        elif token.type_ == TokenType.dict_close:
            self._depth -= 1
        elif token.type_ == TokenType.name_ and self._depth and token.value == SPOKEN:
            return Token(TokenType.name_, UNSPOKEN.encode())
        return token


def _speaks(content: Object) -> bool:
    """Return whether a stream may have marked content that says something; a name may be written by its codes."""
    try:
        read = bytes(content.get_stream_buffer())
    except PdfError:
        return False
    return b"<<" in read and (SPOKEN.encode() in read or b"#" in read)


def _unspoken(content: Object) -> bytes:
    return PdfPage(content).get_filtered_contents(_Unspoken())


def _without_spoken(told: Object) -> Object:
    if not isinstance(told, Dictionary) or SPOKEN not in told:
        return told
    return Dictionary({name: one for name, one in told.items() if name != SPOKEN})


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
