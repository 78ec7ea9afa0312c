"""BGE-M3 and the reranker: load, tokenise, forward. The only door to torch, FlagEmbedding and what comes with them.

These libraries take seconds to import. So they are imported inside functions, which run in a thread, once the ports are
open. FlagEmbedding loads the weights; the forward is run here, because its own runs the first batch twice.
"""

import contextlib
import copy
import gc
import importlib.util
import os
import re
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from sidecar.retrieval.model import (
    CPU,
    EMBED,
    GPU,
    RERANK,
    AbandonedError,
    Embedding,
    GpuFailedError,
    GpuOutOfMemoryError,
    IsWanted,
    ModelLoadError,
    Tokens,
)

if TYPE_CHECKING:
    import numpy as np
    import torch

T = TypeVar("T")

Dtype = Literal["auto", "float32", "bfloat16"]

MODEL_LIMIT_TOKENS = 8192
"""Most tokens of an input, whatever a model says it can read."""
MAX_CHARS_PER_TOKEN = 64
"""A text is cut at so many characters for each token that is read, so that the time for one has a bound: no token of
XLM-R is longer than 16 characters."""
MIB = 1024 * 1024
MIN_CUDA_BF16 = (8, 0)
"""Compute capability from which a GPU computes in bfloat16 (Ampere); older ones use float16."""
NICE_BELOW_OCR = 2
"""Steps of priority below OCR's workers: beside a load of texts, pages then get half of the cores, and not less, since
the event loop serves the texts, too."""
IDS_A_ROW = 1 << 32
"""What sets the token ids of one text apart from those of the next in one array; no vocabulary is that large."""
UNUSED_FILES = ["onnx/*", "*.onnx*", "imgs/*"]
"""What hubs hold beside a model, and what is not downloaded."""
LOAD_LOCK = threading.Lock()
"""Models are loaded one after the other: the libraries import themselves lazily, which two threads must not do."""


def is_installed() -> bool:
    """Tell whether the libraries are there, without importing them."""
    return all(importlib.util.find_spec(name) for name in ("torch", "FlagEmbedding"))


def find_gpu(index: int) -> str | None:
    """Name the GPU of that number, or the only one there is; None where CUDA is of no use."""
    import torch

    # By their place on the bus, as NVML counts them, or another one would be watched than is computed on.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    if not torch.cuda.is_available():
        return None
    count = torch.cuda.device_count()
    return f"cuda:{index if index < count else 0}"


def prepare_thread(nice: int) -> None:
    """Prepare a thread that computes on the CPU, before it computes.

    Its helpers inherit its priority, which is a little below that of the workers that read pages: OCR comes first, and
    neither starves the other. Those are ``nice`` steps below the process, whatever priority that was started with.
    """
    with contextlib.suppress(OSError, AttributeError):  # another priority is better, none is needed
        own = os.getpriority(os.PRIO_PROCESS, os.getpid())
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(19, own + nice + NICE_BELOW_OCR))


def compute_on(cores: int, run: Callable[[], T]) -> T:
    """Run a batch in this thread, with a helper on each further core."""
    import torch

    if torch.get_num_threads() != cores:  # each thread has its own number; to set it is not free
        torch.set_num_threads(cores)
    return run()


# ── loading ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Embedder:
    """BGE-M3: a text becomes a dense vector and a sparse one."""

    name = EMBED

    def __init__(self, folder: Path, dtype: Dtype, gpu: str | None) -> None:
        """Load it from its folder, to compute in ``dtype`` on the CPU and, in copies, on ``gpu`` if there is one.

        Raises:
            ModelLoadError: it is not what it should be.
        """
        _require(folder, "colbert_linear.pt", "sparse_linear.pt")  # without them FlagEmbedding makes some up
        with _loading():
            from FlagEmbedding import BGEM3FlagModel

            loaded = BGEM3FlagModel(str(folder), use_fp16=False, devices="cpu")
        encoder = _interruptible(loaded.model.model)
        self._tokenizer = _Tokenizer(loaded.tokenizer, encoder.config)
        self._gpu = gpu
        self.max_tokens = self._tokenizer.max_tokens
        sparse = _ready(loaded.model.sparse_linear)
        self.cpu = EmbedderCopy(CPU, _ready(encoder, _dtype_on(CPU, dtype)), sparse, self._tokenizer)
        self._dtype = dtype
        self.gpu_mb = _weights_mb(encoder, 4 if dtype == "float32" else 2)
        self.can_use_gpu = gpu is not None

    def tokenize(self, inputs: Sequence[str]) -> list[Tokens]:
        """Give texts as the model reads them."""
        limit = self.max_tokens - 2
        found = self._tokenizer.ids(inputs, limit)
        return [Tokens(self._tokenizer.single(ids[:limit]), cut or len(ids) > limit) for ids, cut in found]

    def copy_to_gpu(self) -> "EmbedderCopy":
        """Make a copy on the GPU."""
        with _gpu_errors():
            encoder = _copy_to(self.cpu.encoder, self._gpu, self._dtype)
            return EmbedderCopy(GPU, encoder, _copy_to(self.cpu.sparse, self._gpu), self._tokenizer)

    def free_gpu(self) -> None:
        """Give back what copies left."""
        _free_gpu()


class Reranker:
    """A cross-encoder: a query and a text become a score, any number, larger for what fits better."""

    name = RERANK

    def __init__(self, folder: Path, dtype: Dtype, gpu: str | None) -> None:
        """Load it from its folder, to compute in ``dtype`` on the CPU and, in copies, on ``gpu`` if there is one.

        Raises:
            ModelLoadError: it is not what it should be.
        """
        with _loading():
            from FlagEmbedding import FlagReranker

            loaded = FlagReranker(str(folder), use_fp16=False, devices="cpu")
        if loaded.model.config.num_labels != 1:
            raise ModelLoadError("model-unusable: it is no reranker, it has more than one label")
        encoder = _interruptible(loaded.model.base_model)
        self._tokenizer = _Tokenizer(loaded.tokenizer, encoder.config)
        self._gpu = gpu
        self.max_tokens = self._tokenizer.max_tokens
        self.cpu = RerankerCopy(
            CPU, _ready(encoder, _dtype_on(CPU, dtype)), _ready(loaded.model.classifier), self._tokenizer
        )
        self._dtype = dtype
        self.gpu_mb = _weights_mb(encoder, 4 if dtype == "float32" else 2)
        self.can_use_gpu = gpu is not None

    def tokenize(self, inputs: Sequence[tuple[str, str]]) -> list[Tokens]:
        """Give pairs as the model reads them; as in FlagEmbedding a query has three quarters of the room at most."""
        room = self.max_tokens - 4
        queries = dict.fromkeys(query for query, _ in inputs)
        longest = min(self.max_tokens * 3 // 4, room)
        known = dict(zip(queries, self._tokenizer.ids(list(queries), longest), strict=True))
        texts = self._tokenizer.ids([text for _, text in inputs], room)
        return [self._pair(known[query], text, longest) for (query, _), text in zip(inputs, texts, strict=True)]

    def _pair(self, query: tuple[list[int], bool], text: tuple[list[int], bool], longest: int) -> Tokens:
        query_ids = query[0][:longest]
        room = self.max_tokens - 4 - len(query_ids)
        truncated = query[1] or text[1] or len(query[0]) > longest or len(text[0]) > room
        return Tokens(self._tokenizer.pair(query_ids, text[0][:room]), truncated)

    def copy_to_gpu(self) -> "RerankerCopy":
        """Make a copy on the GPU."""
        with _gpu_errors():
            encoder = _copy_to(self.cpu.encoder, self._gpu, self._dtype)
            return RerankerCopy(GPU, encoder, _copy_to(self.cpu.head, self._gpu), self._tokenizer)

    def free_gpu(self) -> None:
        """Give back what copies left."""
        _free_gpu()


def find_model(source: str) -> Path:
    """Give a model's folder: a folder itself, or the hub's name of it, from the cache or else from the hub.

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
    """Tell whether a model's folder is there without a download."""
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
    """Give the folder of a model of the hub, from the cache alone or else downloaded."""
    missing = "model-missing: it is not in the cache, and the hub does not give it"
    try:
        with _quiet():
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


def _require(folder: Path, *names: str) -> None:
    for name in names:
        if not (folder / name).is_file():
            raise ModelLoadError(f"model-unusable: {name} is missing")


def _dtype_on(device: str, wanted: Dtype) -> "torch.dtype":
    """Choose what a device computes in: half precision, where it has instructions for it and is twice as fast."""
    import torch

    if wanted != "auto":
        return torch.bfloat16 if wanted == "bfloat16" else torch.float32
    if device != CPU:
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= MIN_CUDA_BF16 else torch.float16
    can = torch.cpu.get_capabilities()
    fast = any(can.get(name) for name in ("avx512_bf16", "amx_bf16", "amx_tile"))
    return torch.bfloat16 if fast else torch.float32


def _ready(module: "torch.nn.Module", dtype: "torch.dtype | None" = None) -> "torch.nn.Module":
    """Make a module ready to compute; what is small computes in float32."""
    import torch

    return module.to(dtype or torch.float32).eval().requires_grad_(requires_grad=False)


def _weights_mb(module: "torch.nn.Module", bytes_each: int) -> int:
    return -(-sum(weight.numel() for weight in module.parameters()) * bytes_each // MIB)


def _copy_to(module: Any, device: str | None, wanted: Dtype | None = None) -> Any:  # noqa: ANN401 - as deepcopy
    """Copy a module to the GPU, weight by weight: there is never a second copy beside the first in main memory.

    The weights keep their dtype, unless another one is wanted.
    """
    if device is None:
        raise GpuFailedError
    dtype = _dtype_on(device, wanted) if wanted else None
    memo: dict[int, Any] = {}
    for weight in module.parameters():
        moved = weight.detach().to(device, dtype, copy=True)
        memo[id(weight)] = type(weight)(moved, requires_grad=False)
    for buffer in module.buffers():
        memo[id(buffer)] = buffer.to(device, copy=True)
    return copy.deepcopy(module, memo)


def _free_gpu() -> None:
    import torch

    gc.collect()  # a copy that failed hangs in its exception's frames
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


@contextlib.contextmanager
def _gpu_errors() -> Iterator[None]:
    """Turn what CUDA raises into the seam's errors."""
    import torch

    try:
        yield
    except RuntimeError as exc:
        # What its libraries could not allocate, CUDA tells in words alone.
        is_memory = isinstance(exc, torch.OutOfMemoryError) or re.search(r"out of memory|ALLOC_FAILED", str(exc))
        raise (GpuOutOfMemoryError if is_memory else GpuFailedError) from exc


def _errors_of(device: str) -> contextlib.AbstractContextManager[None]:
    """Turn what a device raises into the seam's errors; what the CPU raises is about the texts."""
    return _gpu_errors() if device == GPU else contextlib.nullcontext()


@contextlib.contextmanager
def _loading() -> Iterator[None]:
    """Hold other loads back, and keep the libraries' progress bars and remarks off the log, which is JSON."""
    with LOAD_LOCK, _quiet():
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads would compete with those of the forward
        from transformers.utils import logging as transformers_logging

        transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep warnings of libraries that are about their own future off standard error; what fails raises."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# ── tokens ────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Tokenizer:
    """The tokenizer's own library, called directly: the wrapper around it costs more than a short text does."""

    def __init__(self, tokenizer: Any, config: Any) -> None:  # noqa: ANN401 - the library's types say no more
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        self.pad_id: int = tokenizer.pad_token_id
        self._first, self._last = tokenizer.cls_token_id, tokenizer.sep_token_id
        special = (tokenizer.cls_token, tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token)
        self.unused_ids = sorted(tokenizer.convert_tokens_to_ids([token for token in special if token]))
        self._known_ids: int = config.vocab_size
        positions = config.max_position_embeddings - config.pad_token_id - 1
        self.max_tokens = min(MODEL_LIMIT_TOKENS, positions, tokenizer.model_max_length)
        if tokenizer("a", "b")["input_ids"] != self.pair(*(ids for ids, _ in self.ids(["a", "b"], 8))):
            raise ModelLoadError("model-unusable: its tokenizer is not of the XLM-R family")

    def ids(self, texts: Sequence[str], limit: int) -> list[tuple[list[int], bool]]:
        """Give texts as ids without special ones, and whether they were cut before that."""
        max_chars = limit * MAX_CHARS_PER_TOKEN
        found = self._backend.encode_batch_fast([text[:max_chars] for text in texts], add_special_tokens=False)
        return [(one.ids, len(text) > max_chars) for one, text in zip(found, texts, strict=True)]

    def single(self, ids: Sequence[int]) -> list[int]:
        """Put the special ids around one text."""
        return [self._first, *ids, self._last]

    def pair(self, one: Sequence[int], other: Sequence[int]) -> list[int]:
        """Put the special ids around two texts."""
        return [self._first, *one, self._last, self._last, *other, self._last]

    def pad(self, batch: Sequence[Tokens]) -> "np.ndarray":
        """Give a batch as one matrix."""
        import numpy as np

        longest = max(len(one.ids) for one in batch)
        ids = np.full((len(batch), longest), self.pad_id, dtype=np.int64)
        for row, one in zip(ids, batch, strict=True):
            row[: len(one.ids)] = one.ids
        if ids.max() >= self._known_ids:  # a GPU that meets one computes nothing more in this process
            raise ValueError("a token that the model does not know")
        return ids


# ── forward ───────────────────────────────────────────────────────────────────────────────────────────────────────

_computed = threading.local()
"""What each thread computes: ``is_wanted`` of its batch."""


def _interruptible(encoder: Any) -> Any:  # noqa: ANN401 - transformers' own types say no more
    """Have each layer ask first whether the batch is still wanted: a long text takes minutes on few cores.

    Copies of the module ask as well.
    """
    for layer in encoder.encoder.layer:
        layer.register_forward_pre_hook(_stop_if_unwanted)
    return encoder


def _stop_if_unwanted(_layer: object, _inputs: object) -> None:
    is_wanted: IsWanted | None = getattr(_computed, "is_wanted", None)
    if is_wanted and not is_wanted():
        raise AbandonedError


@contextlib.contextmanager
def _while_wanted(is_wanted: IsWanted) -> Iterator[None]:
    """Have the layers that this thread computes ask."""
    _computed.is_wanted = is_wanted
    try:
        yield
    finally:
        del _computed.is_wanted


class EmbedderCopy:
    """BGE-M3's weights on one device; what the heads compute is computed in float32."""

    def __init__(self, device: str, encoder: Any, sparse: Any, tokenizer: _Tokenizer) -> None:  # noqa: ANN401
        self.device = device
        self.encoder = encoder
        self.sparse = sparse
        self._tokenizer = tokenizer

    def run(self, batch: Sequence[Tokens], is_wanted: IsWanted) -> list[Embedding | None]:
        """Embed a batch: the first token's vector, normalised, and a weight for each token."""
        import torch

        ids = self._tokenizer.pad(batch)
        with torch.inference_mode(), _while_wanted(is_wanted), _errors_of(self.device):
            tensor = torch.from_numpy(ids).to(self.sparse.weight.device)
            hidden = self.encoder(tensor, attention_mask=_mask(batch, tensor.device))[0]
            dense = torch.nn.functional.normalize(hidden[:, 0].float(), dim=-1)
            weights = torch.relu(self.sparse(hidden.float())).squeeze(-1)
            both = torch.cat([dense, weights], dim=1).cpu().numpy()  # one transfer, one wait for the GPU
        size = dense.shape[1]
        return self._embeddings(both[:, :size], both[:, size:], ids)

    def _embeddings(self, dense: "np.ndarray", weights: "np.ndarray", ids: "np.ndarray") -> list[Embedding | None]:
        """Keep each text's largest weight of each token, of those above zero and of tokens that are no special ones.

        All texts at once: done one by one it would keep the GPU waiting for a tenth of its time.
        """
        import numpy as np

        counted = ~np.isin(ids, self._tokenizer.unused_ids)
        finite = np.isfinite(dense).all(axis=1) & (np.isfinite(weights) | ~counted).all(axis=1)
        rows, columns = np.nonzero(counted & (weights > 0))
        keys, group = np.unique(rows * IDS_A_ROW + ids[rows, columns], return_inverse=True)
        largest = np.zeros(len(keys), dtype=np.float32)
        np.maximum.at(largest, group, weights[rows, columns])
        firsts = np.searchsorted(keys, np.arange(1, len(ids)) * IDS_A_ROW)
        sparse = zip(np.split(keys % IDS_A_ROW, firsts), np.split(largest, firsts), strict=True)
        return [
            Embedding(vector, indices, values) if is_finite else None
            for vector, (indices, values), is_finite in zip(dense, sparse, finite, strict=True)
        ]


class RerankerCopy:
    """The reranker's weights on one device; its head computes in float32, so that near scores stay apart."""

    def __init__(self, device: str, encoder: Any, head: Any, tokenizer: _Tokenizer) -> None:  # noqa: ANN401
        self.device = device
        self.encoder = encoder
        self.head = head
        self._tokenizer = tokenizer

    def run(self, batch: Sequence[Tokens], is_wanted: IsWanted) -> list[float | None]:
        """Score a batch: the raw logit, as FlagEmbedding's ``compute_score`` gives it."""
        import numpy as np
        import torch

        ids = self._tokenizer.pad(batch)
        with torch.inference_mode(), _while_wanted(is_wanted), _errors_of(self.device):
            tensor = torch.from_numpy(ids).to(self.encoder.device)
            hidden = self.encoder(tensor, attention_mask=_mask(batch, tensor.device))[0]
            scores = self.head(hidden[:, :1].float()).view(-1).cpu().numpy()
        return [float(score) if np.isfinite(score) else None for score in scores]


def _mask(batch: Sequence[Tokens], device: "torch.device") -> "torch.Tensor | None":
    """Mask the padding; None where there is none, which is faster."""
    import torch

    lengths = torch.tensor([len(one.ids) for one in batch])
    longest = int(lengths.max())
    if int(lengths.min()) == longest:
        return None
    return (torch.arange(longest) < lengths[:, None]).long().to(device)
