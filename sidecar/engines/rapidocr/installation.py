"""What is installed of RapidOCR: the library, the models of its wheel, and its Thai model, which ``fetch`` gets."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

LIBRARIES = ("rapidocr", "onnxruntime")
DETECTOR = "PP-OCRv6_det_small.onnx"
TURNER = "ch_ppocr_mobile_v2.0_cls_mobile.onnx"
RECOGNISER = "PP-OCRv6_rec_small.onnx"
THAI_RECOGNISER = "th_PP-OCRv5_rec_mobile.onnx"
THAI_SHA256 = "de541dd83161c241ff426f7ecfd602a0ba77d686cf3ab9a6c255ea82fd08006e"
"""As RapidOCR's own list of models has it."""
THAI_MAX_BYTES = 64 << 20
"""More than that model has, which is about 8 MB."""
INSTALL = "pip install --constraint requirements.lock '.[rapidocr]'"


@dataclass(frozen=True, slots=True)
class RapidModels:
    """What is installed of RapidOCR: its version, the folder of its wheel's models, and its Thai model, if there."""

    version: str
    folder: Path
    thai: Path | None

    def recogniser(self, *, is_thai: bool) -> Path:
        """Return the model that reads lines: the Thai one reads Thai and English, the wheel's everything else."""
        return self.thai if is_thai and self.thai else self.folder / RECOGNISER


def find_models(thai_folder: Path) -> RapidModels | None:
    """Look for the library and the models of its wheel, without importing it; None if one is not there."""
    spec = find_spec(LIBRARIES[0])
    if spec is None or not spec.submodule_search_locations or find_spec(LIBRARIES[1]) is None:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "models"
    if not all((folder / name).is_file() for name in (DETECTOR, TURNER, RECOGNISER)):
        return None
    thai = thai_folder / THAI_RECOGNISER
    try:
        return RapidModels(version(LIBRARIES[0]), folder, thai if thai.is_file() else None)
    except PackageNotFoundError:
        return None
