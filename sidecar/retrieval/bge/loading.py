"""Loads models from their folders: in torch's form by FlagEmbedding, in OpenVINO's from an export of that.

Neither runs code of a model's folder: transformers asks before it does, and nobody answers.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sidecar.retrieval.bge.export import ENCODER, HEAD, OpenVinoError, Parts, exported, remove
from sidecar.retrieval.bge.hub import quiet
from sidecar.retrieval.bge.openvino_runtime import OPENVINO, OpenVinoEncoder
from sidecar.retrieval.bge.tokenizer import MODEL_LIMIT_TOKENS
from sidecar.retrieval.bge.torch_runtime import (
    Dtype,
    dtype_on,
    interruptible,
    own_weights,
    ready_to_compute,
    reclaim_memory,
    weights_mb,
)
from sidecar.retrieval.model import CPU, ModelLoadError

log = logging.getLogger(__name__)

TORCH = "torch"
SPARSE, COLBERT = "sparse_linear.pt", "colbert_linear.pt"
LOAD_LOCK = threading.Lock()
"""Models are loaded one after the other: the libraries import themselves lazily, which two threads must not do."""


@dataclass(frozen=True, slots=True)
class OpenVinoMeans:
    """How OpenVINO is used: where exports are kept that do not fit beside the weights, how many cores compute.

    ``required``: a model that it cannot take is an error, and is not computed by torch instead.
    """

    caches: Path
    cores: int
    required: bool


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a model is to compute: in ``dtype`` on the CPU and, in copies, on ``gpu`` if there is one.

    With ``openvino`` it computes on the CPU alone. ``max_tokens``: most that are read of an input.
    """

    dtype: Dtype
    gpu: str | None = None
    openvino: OpenVinoMeans | None = None
    max_tokens: int = MODEL_LIMIT_TOKENS


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model's parts: its tokenizer and configuration, its encoder on the CPU, the small layers behind it.

    ``gpu_mb``: MiB that the encoder takes on a GPU; 0 where it cannot go there.
    """

    tokenizer: Any
    config: Any
    encoder: Any
    heads: tuple[Any, ...]
    backend: str
    gpu_mb: int


def load_embedder(folder: Path, options: LoadOptions) -> Loaded:
    """Load BGE-M3; its heads are the sparse one and ColBERT's.

    Raises:
        ModelLoadError: it is not what it should be.
    """
    _require(folder, COLBERT, SPARSE)  # without them FlagEmbedding makes some up
    return _load(_Embedder(folder), options)


def load_reranker(folder: Path, options: LoadOptions) -> Loaded:
    """Load a reranker; its head gives one score.

    Raises:
        ModelLoadError: it is not what it should be.
    """
    return _load(_Reranker(folder), options)


def load_dense(folder: Path, options: LoadOptions) -> Loaded:
    """Load an embedder of another kind; it has no heads.

    Raises:
        ModelLoadError: it is not what it should be.
    """
    return _load(_Dense(folder), options)


def _load(model: "_Folder", options: LoadOptions) -> Loaded:
    dtype, openvino = options.dtype, options.openvino
    with _loading():
        if openvino:
            try:
                return _load_openvino(model, dtype, openvino)
            except OpenVinoError as exc:
                if openvino.required:
                    raise ModelLoadError("model-unusable: OpenVINO cannot compute it") from exc
                log.warning("OpenVINO cannot compute a model, torch does", extra={"model": model.folder.name})
        tokenizer, encoder, heads = model.in_torch()
        gpu_mb = weights_mb(encoder, 4 if dtype == "float32" else 2)
        ready = ready_to_compute(interruptible(encoder), dtype_on(CPU, dtype))
        return Loaded(tokenizer, encoder.config, ready, heads, TORCH, gpu_mb)


def _load_openvino(model: "_Folder", dtype: Dtype, means: OpenVinoMeans) -> Loaded:
    from transformers import AutoConfig, AutoTokenizer

    try:
        encoder, heads = _from_export(model, dtype, means)
    except OpenVinoError:  # a disk that was full, a file that was touched: made anew, once
        encoder, heads = _from_export(model, dtype, means)
    tokenizer = AutoTokenizer.from_pretrained(model.folder)
    return Loaded(tokenizer, AutoConfig.from_pretrained(model.folder), encoder, heads, OPENVINO, 0)


def _from_export(model: "_Folder", dtype: Dtype, means: OpenVinoMeans) -> tuple[OpenVinoEncoder, tuple[Any, ...]]:
    with exported(model.folder, means.caches, dtype, model.parts) as place:
        reclaim_memory()  # torch's weights, if it was made now
        try:
            return OpenVinoEncoder(place / ENCODER, dtype, means.cores), model.heads_beside(place)
        except OpenVinoError:
            remove(place)
            raise


class _Folder(Protocol):
    """A model in its folder."""

    folder: Path

    def in_torch(self) -> tuple[Any, Any, tuple[Any, ...]]:
        """Give tokenizer, encoder and heads."""

    def parts(self) -> Parts:
        """Give what is exported."""

    def heads_beside(self, export: Path) -> tuple[Any, ...]:
        """Give the heads that belong to an export."""


class _Embedder:
    """BGE-M3 in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def in_torch(self) -> tuple[Any, Any, tuple[Any, ...]]:
        """Give tokenizer, encoder and heads."""
        from FlagEmbedding import BGEM3FlagModel

        loaded = BGEM3FlagModel(str(self.folder), use_fp16=False, devices="cpu")
        model = loaded.model
        return (
            loaded.tokenizer,
            model.model,
            (ready_to_compute(model.sparse_linear), ready_to_compute(model.colbert_linear)),
        )

    def parts(self) -> Parts:
        """Give what is exported."""
        return Parts(self.in_torch()[1].eval())

    def heads_beside(self, export: Path) -> tuple[Any, ...]:  # noqa: ARG002 - theirs lie elsewhere
        """Give the heads, which have files of their own."""
        return _linear(self.folder / SPARSE), _linear(self.folder / COLBERT)


class _Reranker:
    """A cross-encoder in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def in_torch(self) -> tuple[Any, Any, tuple[Any, ...]]:
        """Give tokenizer, encoder and head."""
        from transformers import AutoModelForSequenceClassification

        tokenizer, model = _pretrained(AutoModelForSequenceClassification, self.folder)
        if model.config.num_labels != 1:
            raise ModelLoadError("model-unusable: it is no reranker, it has more than one label")
        if not hasattr(model, "classifier") or getattr(model.config, "type_vocab_size", 1) > 1:
            raise ModelLoadError("model-unusable: it is no reranker of the XLM-R family")
        return tokenizer, model.base_model, (ready_to_compute(own_weights(model.classifier)),)

    def parts(self) -> Parts:
        """Give what is exported."""
        _, encoder, (head,) = self.in_torch()
        return Parts(encoder.eval(), head)

    def heads_beside(self, export: Path) -> tuple[Any, ...]:
        """Give the head, which the export keeps: in the model's folder it is a part of all weights."""
        import torch
        from transformers import AutoConfig, AutoModelForSequenceClassification

        with torch.device("meta"):
            empty = AutoModelForSequenceClassification.from_config(  # type: ignore[no-untyped-call]
                AutoConfig.from_pretrained(self.folder)
            )
        head = empty.classifier
        head.load_state_dict(torch.load(export / HEAD, weights_only=True), assign=True)
        return (ready_to_compute(head),)


class _Dense:
    """Another embedder in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def in_torch(self) -> tuple[Any, Any, tuple[Any, ...]]:
        """Give tokenizer and encoder."""
        from transformers import AutoModel

        tokenizer, encoder = _pretrained(AutoModel, self.folder)
        if hasattr(encoder, "pooler"):
            encoder.pooler = None  # trained for something else, and often not there
        encoder.config.use_cache = False  # a decoder would keep what it needs to write on
        return tokenizer, encoder, ()

    def parts(self) -> Parts:
        """Give what is exported."""
        return Parts(self.in_torch()[1].eval())

    def heads_beside(self, export: Path) -> tuple[Any, ...]:  # noqa: ARG002 - it has none
        """Give none."""
        return ()


def _pretrained(kind: Any, folder: Path) -> tuple[Any, Any]:  # noqa: ANN401 - transformers' own classes
    """Load tokenizer and model, without any code of theirs.

    A model that needs its own may bear the name of another kind, and would be loaded as that with most of its weights
    made up: whatever is missing refuses it.

    Raises:
        ModelLoadError: it needs code, or weights that are not there.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        model, told = kind.from_pretrained(folder, trust_remote_code=False, dtype="float32", output_loading_info=True)
    except ValueError as exc:
        raise ModelLoadError("model-unusable: transformers does not know it, or it needs code of its own") from exc
    if missing := sorted(name for name in told["missing_keys"] if "pooler" not in name and "position_ids" not in name):
        raise ModelLoadError(f"model-unusable: weights are missing, {missing[0][:60]} is one")
    return tokenizer, model


def _linear(path: Path) -> Any:  # noqa: ANN401 - as torch's modules
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)
    rows, columns = state["weight"].shape
    layer = torch.nn.Linear(columns, rows)
    layer.load_state_dict(state)
    return ready_to_compute(layer)


def _require(folder: Path, *names: str) -> None:
    for name in names:
        if not (folder / name).is_file():
            raise ModelLoadError(f"model-unusable: {name} is missing")


@contextlib.contextmanager
def _loading() -> Iterator[None]:
    """Hold other loads back, and keep the libraries' progress bars and remarks off the log, which is JSON."""
    with LOAD_LOCK, quiet():
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads would compete with those of the forward
        from transformers.utils import logging as transformers_logging

        transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        yield
