"""Keeps encoders in OpenVINO's form: made once for each content of the weights, found by it, written as a whole.

Beside the weights where that folder can be written, else in a folder of caches, else nowhere: then each start makes it.
"""

import contextlib
import hashlib
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.retrieval.bge import openvino_runtime
from sidecar.retrieval.bge.openvino_runtime import OpenVinoError
from sidecar.retrieval.bge.torch_runtime import Dtype

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

FORMAT = 1
"""Raised when what is exported changes here."""
FOLDER = "ocr-sidecar-openvino"
ENCODER, HEAD = "encoder.xml", "head.pt"
WEIGHTS = ("*.safetensors", "*.bin", "config.json")
"""What an export is made of, and known by."""

_digests: dict[tuple[tuple[str, int, int, int], ...], str] = {}


class Parts:
    """A model in torch's form: its encoder, and a head that stays in torch."""

    def __init__(self, encoder: "torch.nn.Module", head: "torch.nn.Module | None" = None) -> None:
        self.encoder = encoder
        self.head = head


@contextmanager
def exported(folder: Path, caches: Path, dtype: Dtype, load: Callable[[], Parts]) -> Iterator[Path]:
    """Give the folder of a model's export, which ``load`` is needed for if there is none yet. Blocks.

    Raises:
        OpenVinoError: OpenVINO cannot convert the model, or there is no room for it anywhere.
    """
    name = _name(folder, dtype)
    places = (folder / FOLDER, caches / FOLDER)
    found = [place / name for place in places if (place / name / ENCODER).is_file()]
    if found:
        yield found[0]
        return
    place, is_kept = _made(places, name, _writer(load(), dtype))
    try:
        yield place
    finally:
        if not is_kept:  # what was read of it stays readable
            remove(place)


def _made(places: Sequence[Path], name: str, write: Callable[[Path], None]) -> tuple[Path, bool]:
    """Write an export where it can be kept, or else to a folder that is removed after its use; tell which.

    Raises:
        OpenVinoError: there is no room for it anywhere.
    """
    for place in places:
        with contextlib.suppress(OSError):
            return _kept(place, name, write), True
    log.warning("an export for OpenVINO is kept nowhere")
    try:
        return _passing(write), False
    except OSError as exc:
        raise OpenVinoError("there is no room for an export") from exc


def _passing(write: Callable[[Path], None]) -> Path:
    passing = Path(tempfile.mkdtemp(prefix=FOLDER))
    try:
        write(passing)
    except OSError:
        remove(passing)
        raise
    return passing


def _writer(parts: Parts, dtype: Dtype) -> Callable[[Path], None]:
    model = openvino_runtime.convert(parts.encoder, dtype)

    def write(folder: Path) -> None:
        import torch

        openvino_runtime.save(model, folder / ENCODER, dtype)
        if parts.head is not None:
            torch.save(parts.head.state_dict(), folder / HEAD)

    return write


def _kept(place: Path, name: str, write: Callable[[Path], None]) -> Path:
    """Write an export beside its place, then move it there: what has its name is whole.

    Raises:
        OSError: the place cannot be written.
    """
    place.mkdir(parents=True, exist_ok=True)
    passing = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=place))
    try:
        write(passing)
        passing.rename(place / name)
    except OSError:
        if not (place / name / ENCODER).is_file():  # else another process was faster, and its export is the same
            raise
    finally:
        remove(passing)
    return place / name


def _name(folder: Path, dtype: Dtype) -> str:
    """Name an export by all that decides about its content."""
    precision = "int8" if dtype == "int8" else "half" if openvino_runtime.is_half(dtype) else "float32"
    return f"{_digest(folder)[:32]}-{precision}-{openvino_runtime.version().partition('-')[0]}-{FORMAT}"


def _digest(folder: Path) -> str:
    """Hash the weights' content; once in a process as long as the files are the same ones."""
    files = sorted(path for pattern in WEIGHTS for path in folder.glob(pattern))
    stats = [(path, path.stat()) for path in files]
    key = tuple((str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino) for path, stat in stats)
    if key not in _digests:
        whole = hashlib.sha256()
        for path in files:
            with path.open("rb") as file:
                whole.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
        _digests[key] = whole.hexdigest()
    return _digests[key]


def remove(folder: Path) -> None:
    """Remove an export that cannot be read."""
    shutil.rmtree(folder, ignore_errors=True)


__all__ = ["ENCODER", "HEAD", "OpenVinoError", "Parts", "exported", "remove"]
