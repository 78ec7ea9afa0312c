"""The fonts for training the reader of numerals, and those held out for measuring it.

Whole families are held out, not single styles: a bold face reveals its regular one. `make numeral-fonts` installs them:
fonts-thai-tlwg, fonts-arundina and fonts-noto-core of Debian, fontpkg-* of PyPI. All are under free licences, and the
repository contains nothing of them but what the reader learned.
"""

import importlib.util
from pathlib import Path

SYSTEM_FONTS = Path("/usr/share/fonts/truetype")
FONT_PACKAGES = (
    "fontpkg_sarabun",
    "fontpkg_noto_sans_thai",
    "fontpkg_kanit",
    "fontpkg_chakra_petch",
    "fontpkg_prompt",
)

TRAINED = (
    "Garuda",
    "Kinnari",
    "Laksaman",
    "Loma",
    "Purisa",
    "TlwgMono",
    "TlwgTypewriter",
    "TlwgTypist",
    "TlwgTypo",
    "Waree",
    "ArundinaSans",
    "ArundinaSansMono",
    "ArundinaSerif",
    "NotoSansThai",
    "NotoSerifThai",
    "Sarabun",
    "Kanit",
    "Prompt",
)
"""Families, by the start of their files' names. Laksaman and Sarabun are the Thai government's fonts."""
HELD_OUT = ("Umpush", "Norasi", "Sawasdee", "NotoLoopedThai", "ChakraPetch")
"""Two with serifs or contrast, two without loops or nearly so, one narrow: never trained on."""
UNUSUAL = ("Black", "ExtraBold", "Thin")
"""Styles that are not used for running text."""


def find_fonts(families: tuple[str, ...]) -> list[Path]:
    """Find the files of families, in the order of their names, so that the same machine gives the same order."""
    files = {path.name: path for folder in _folders() for path in sorted(folder.rglob("*.ttf"))}
    return [path for name, path in sorted(files.items()) if _family(name) in families and not _is_unusual(name)]


def _family(file_name: str) -> str:
    return file_name.removesuffix(".ttf").split("[")[0].split("-")[0]


def _is_unusual(file_name: str) -> bool:
    return any(cut in file_name for cut in UNUSUAL)


def _folders() -> list[Path]:
    specs = [importlib.util.find_spec(name) for name in FONT_PACKAGES]
    packages = [Path(spec.origin).parent for spec in specs if spec and spec.origin]
    return [folder for folder in (SYSTEM_FONTS, *packages) if folder.is_dir()]
