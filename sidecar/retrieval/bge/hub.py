"""Finds a model's folder: a folder itself, the hub's cache, or the hub."""

import contextlib
import importlib.util
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from sidecar.retrieval.model import ModelLoadError

UNUSED_FILES = ["onnx/*", "*.onnx*", "openvino/*", "imgs/*"]
"""What hubs hold beside a model, and what is not downloaded."""


def is_installed() -> bool:
    """Return whether the libraries are installed, without importing them."""
    return all(importlib.util.find_spec(name) for name in ("torch", "FlagEmbedding"))


def find_model(source: str) -> Path:
    """Return a model's folder: a folder itself, or the hub's name of it, from the cache or else from the hub.

    Raises:
        ModelLoadError: it is neither here nor there.
    """
    try:
        folder = _find_here(source)
    except ModelLoadError:
        if _is_path(source):
            raise
        folder = _find_at_hub(source, local_only=False)
    _check_readable(folder)
    return folder


def is_at_hand(source: str) -> bool:
    """Return whether a model's folder is there without a download."""
    try:
        _check_readable(_find_here(source))
    except ModelLoadError:
        return False
    return True


def _is_path(source: str) -> bool:
    return source.startswith((".", "/", "~"))


def _find_here(source: str) -> Path:
    if Path(source).is_dir():
        return Path(source)
    if _is_path(source):
        raise ModelLoadError("model-missing: there is no such folder")
    return _find_at_hub(source, local_only=True)


def _find_at_hub(source: str, *, local_only: bool) -> Path:
    """Return the folder of a model of the hub, from the cache alone or else downloaded."""
    missing = "model-missing: it is not in the cache, and the hub does not give it"
    try:
        with quiet():
            from huggingface_hub import snapshot_download

            folder = Path(snapshot_download(source, local_files_only=local_only, ignore_patterns=UNUSED_FILES))
    except (OSError, ValueError) as exc:  # the hub's own errors are OSErrors
        raise ModelLoadError(missing) from exc
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("*.bin")):
        raise ModelLoadError(missing)
    return folder


def _check_readable(folder: Path) -> None:
    """Refuse a folder with files that cannot be read: the libraries would say that they are not there, or nothing."""
    for file in folder.iterdir():
        if not os.access(file, os.R_OK):
            raise ModelLoadError(f"model-unusable: {file.name} cannot be read by user {os.getuid()}")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress the libraries' warnings about their own future; real failures raise."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
