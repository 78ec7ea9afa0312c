"""How torch computes here: threads, dtypes, copies on the GPU, its errors, and abandoned batches."""

import contextlib
import copy
import gc
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from sidecar.retrieval.model import (
    CPU,
    GPU,
    AbandonedError,
    GpuFailedError,
    GpuOutOfMemoryError,
    IsWanted,
    Tokens,
)
from sidecar.runtime import heap

if TYPE_CHECKING:
    import torch


T = TypeVar("T")


Dtype = Literal["auto", "float32", "bfloat16", "int8"]
"""``int8`` is about weights, and for OpenVINO; what is computed with them is as in ``auto``."""


MIB = 1024 * 1024


MIN_CUDA_BF16 = (8, 0)
"""Compute capability from which a GPU computes in bfloat16 (Ampere); older ones use float16."""


NICE_BELOW_OCR = 2
"""Steps of priority below OCR's workers: beside a load of texts, pages then get half of the cores, and not less, since
the event loop serves the texts, too."""


CACHED_SHAPES = 16
"""Shapes of batches for which oneDNN keeps compiled code, per operation. It would keep 1024: with a new shape in every
batch 120 batches grew by 396 MiB, and with 16 by 106 to 121 MiB, for 5 to 17 % more of the processor's time."""


RECLAIM_LOCK = threading.Lock()
"""While one thread collects garbage, Python has another one collect nothing: two models that leave together."""


def bound_caches() -> None:
    """Bound what is cached per shape of a batch; torch and oneDNN read this when they are first used."""
    for name in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
        os.environ.setdefault(name, str(CACHED_SHAPES))


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


def dtype_on(device: str, wanted: Dtype) -> "torch.dtype":
    """Choose what a device computes in: half precision, where it has instructions for it and is twice as fast."""
    import torch

    if wanted in ("float32", "bfloat16"):
        return torch.bfloat16 if wanted == "bfloat16" else torch.float32
    if device != CPU:
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= MIN_CUDA_BF16 else torch.float16
    can = torch.cpu.get_capabilities()
    fast = any(can.get(name) for name in ("avx512_bf16", "amx_bf16", "amx_tile"))
    return torch.bfloat16 if fast else torch.float32


def ready_to_compute(module: "torch.nn.Module", dtype: "torch.dtype | None" = None) -> "torch.nn.Module":
    """Make a module ready to compute; what is small computes in float32."""
    import torch

    return module.to(dtype or torch.float32).eval().requires_grad_(requires_grad=False)


def own_weights(module: "torch.nn.Module") -> "torch.nn.Module":
    """Give a small module weights of its own: as views of the model's file they would keep all of it mapped."""
    for weight in module.parameters():
        weight.data = weight.data.clone()
    return module


def weights_mb(module: "torch.nn.Module", bytes_each: int) -> int:
    """Return the size of a module's weights in MiB, at ``bytes_each`` bytes, rounded up."""
    return -(-sum(weight.numel() for weight in module.parameters()) * bytes_each // MIB)


def copy_to(module: Any, device: str | None, wanted: Dtype | None = None) -> Any:  # noqa: ANN401 - as deepcopy
    """Copy a module to the GPU, weight by weight: there is never a second copy beside the first in main memory.

    The weights keep their dtype, unless another one is wanted.
    """
    if device is None:
        raise GpuFailedError
    dtype = dtype_on(device, wanted) if wanted else None
    memo: dict[int, Any] = {}
    for weight in module.parameters():
        moved = weight.detach().to(device, dtype, copy=True)
        memo[id(weight)] = type(weight)(moved, requires_grad=False)
    for buffer in module.buffers():
        memo[id(buffer)] = buffer.to(device, copy=True)
    return copy.deepcopy(module, memo)


def free_gpu() -> None:
    """Free memory that dropped copies left behind."""
    import torch

    gc.collect()  # a copy that failed hangs in its exception's frames
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


def reclaim_memory() -> None:
    """Give the memory of dropped weights back to the system: glibc would keep what lies between blocks in use."""
    with RECLAIM_LOCK:
        gc.collect()  # modules and their hooks refer to each other
        heap.trim()


@contextlib.contextmanager
def gpu_errors() -> Iterator[None]:
    """Turn what CUDA raises into the seam's errors."""
    import torch

    try:
        yield
    except RuntimeError as exc:
        # What its libraries could not allocate, CUDA tells in words alone.
        is_memory = isinstance(exc, torch.OutOfMemoryError) or re.search(r"out of memory|ALLOC_FAILED", str(exc))
        raise (GpuOutOfMemoryError if is_memory else GpuFailedError) from exc


def errors_of(device: str) -> contextlib.AbstractContextManager[None]:
    """Turn what a device raises into the seam's errors; what the CPU raises is about the texts."""
    return gpu_errors() if device == GPU else contextlib.nullcontext()


_computed = threading.local()
"""What each thread computes: ``is_wanted`` of its batch."""


def interruptible(encoder: Any) -> Any:  # noqa: ANN401 - transformers' own types say no more
    """Have each layer ask first whether the batch is still wanted: a long text takes minutes on few cores.

    Copies of the module ask as well.
    """
    for layer in _layers(encoder):
        layer.register_forward_pre_hook(_stop_if_unwanted)
    return encoder


def _layers(encoder: Any) -> Any:  # noqa: ANN401 - as above
    """Give the longest list of modules: what families call their layers differs."""
    import torch

    lists = [module for module in encoder.modules() if isinstance(module, torch.nn.ModuleList)]
    return max(lists, key=len, default=())


def _stop_if_unwanted(_layer: object, _inputs: object) -> None:
    if not still_wanted():
        raise AbandonedError


def still_wanted() -> bool:
    """Tell whether anybody waits for what this thread computes."""
    is_wanted: IsWanted | None = getattr(_computed, "is_wanted", None)
    return is_wanted is None or is_wanted()


@contextlib.contextmanager
def while_wanted(is_wanted: IsWanted) -> Iterator[None]:
    """Have the layers that this thread computes ask."""
    _computed.is_wanted = is_wanted
    try:
        yield
    finally:
        del _computed.is_wanted


def padding_mask(batch: Sequence[Tokens], device: "torch.device") -> "torch.Tensor | None":
    """Mask the padding; None where there is none, which is faster."""
    import torch

    lengths = torch.tensor([len(one.ids) for one in batch])
    longest = int(lengths.max())
    if int(lengths.min()) == longest:
        return None
    return (torch.arange(longest) < lengths[:, None]).long().to(device)
