"""How OpenVINO computes here: one core a batch, abandoned batches, weights of 8 bits. OpenVINO is imported here alone.

Its encoder takes the place of torch's: what comes before and after the encoder is the same for both.
"""

import contextlib
import ctypes
import importlib.util
import mmap
from collections.abc import Iterable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from sidecar.retrieval.bge.hub import quiet
from sidecar.retrieval.bge.torch_runtime import CACHED_SHAPES, Dtype, dtype_on, still_wanted
from sidecar.retrieval.model import CPU, AbandonedError

if TYPE_CHECKING:
    import torch

OPENVINO = "openvino"
ASK_EACH_MS = 50
"""How often a batch asks whether anybody still waits for it."""
INT8_GROUP = 128
"""Numbers that share a scale when a layer's input is rounded to 8 bits. Of 32, 128 and 1,024 this was the fastest:
0.26 to 0.40 of float32's time."""


class OpenVinoError(Exception):
    """OpenVINO cannot convert, write or read a model."""


def is_installed() -> bool:
    """Tell whether the library is there, without importing it."""
    return importlib.util.find_spec(OPENVINO) is not None


def version() -> str:
    """Give its version: another one writes other files."""
    import openvino

    found: str = openvino.__version__
    return found


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except Exception as exc:  # whatever a model makes it raise: its errors have no common type
        raise OpenVinoError(str(exc)) from exc


def convert(encoder: "torch.nn.Module", dtype: Dtype) -> Any:  # noqa: ANN401 - OpenVINO's own types say no more
    """Convert a torch encoder, of ids and a mask; blocks for seconds.

    Without OpenVINO's converter, which would report its use to its makers: with the parts that it is made of.

    Raises:
        OpenVinoError: it cannot be converted.
    """
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    ids = torch.tensor([[0, 5, 6, 2], [0, 5, 2, 1]])
    with _errors(), quiet(), torch.no_grad():  # torch would rather have itself exported in a newer way
        mask = (ids != 1).long()
        traced = torch.jit.trace(_Hidden(encoder), (ids, mask), check_trace=False)  # type: ignore[no-untyped-call]
        frontend = FrontEndManager().load_by_framework("pytorch")
        decoder = TorchScriptPythonDecoder(traced)  # named: the frontend keeps no reference to it
        model = frontend.convert(frontend.load(decoder))
        if dtype == "int8":
            round_weights(model)
        return model


def save(model: Any, path: Path, dtype: Dtype) -> None:  # noqa: ANN401 - as above
    """Write a model as a file.

    Raises:
        OSError: it cannot be written.
    """
    import openvino

    try:
        # In half precision weights of 16 bits lose nothing: float16 has more digits than bfloat16.
        openvino.save_model(model, str(path), compress_to_fp16=is_half(dtype))
    except RuntimeError as exc:
        raise OSError(str(exc)) from exc


def is_half(dtype: Dtype) -> bool:
    """Tell whether weights that are not rounded to 8 bits have 16."""
    import torch

    return dtype == "int8" or dtype_on(CPU, dtype) is not torch.float32


def _Hidden(encoder: "torch.nn.Module") -> "torch.nn.Module":  # noqa: N802 - a class, made where torch is there
    import torch

    class Hidden(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            hidden: torch.Tensor = self.encoder(ids, attention_mask=mask)[0]
            return hidden

    return Hidden()


def round_weights(model: Any) -> None:  # noqa: ANN401 - OpenVINO's own types say no more
    """Round the weights of all matrix products to 8 bits, with a scale for each row, symmetric about 0."""
    import numpy as np
    from openvino import opset13 as ops

    for node in [one for one in model.get_ordered_ops() if one.get_type_name() == "MatMul"]:
        source = node.input_value(1).get_node()
        if source.get_type_name() != "Constant" or source.data.ndim != 2:
            continue
        axis = 1 if node.get_attributes()["transpose_b"] else 0
        scale = np.abs(source.data).max(axis=axis, keepdims=True) / 127
        scale[scale == 0] = 1
        rounded = ops.convert(ops.constant(np.rint(source.data / scale).astype(np.int8)), "f32")
        node.input(1).replace_source_output(ops.multiply(rounded, ops.constant(scale.astype(np.float32))).output(0))


class OpenVinoEncoder:
    """An encoder in OpenVINO, called as torch's is. Batches are computed beside each other, each on one core.

    A second network for a lone batch on several cores would hold all weights once more.
    """

    def __init__(self, path: Path, dtype: Dtype, cores: int) -> None:
        """Read and compile it, and compute a batch; blocks. Its threads inherit the caller's priority.

        The first batch puts the weights in the order that they are computed in: a copy, after which the file is needed
        for the words that texts have, and no more.

        Raises:
            OpenVinoError: the file is not one of OpenVINO's, or not whole, or cannot be computed.
        """
        import openvino
        import torch

        settings = {
            "NUM_STREAMS": cores,
            "INFERENCE_NUM_THREADS": cores,
            "ENABLE_CPU_PINNING": False,  # pages and others compute on the same cores
            "INFERENCE_PRECISION_HINT": _computed_in(dtype),
            "CPU_RUNTIME_CACHE_CAPACITY": CACHED_SHAPES,
            **({"DYNAMIC_QUANTIZATION_GROUP_SIZE": INT8_GROUP} if dtype == "int8" else {}),
        }
        with _errors():
            self._compiled = openvino.Core().compile_model(str(path), "CPU", settings)
        self._requests: SimpleQueue[Any] = SimpleQueue()
        self.device = torch.device(CPU)
        with _errors():
            self(torch.zeros((1, 2), dtype=torch.int64))
        drop_mapped(path.with_suffix(".bin"))

    def __call__(self, ids: "torch.Tensor", attention_mask: "torch.Tensor | None" = None) -> "tuple[torch.Tensor]":
        """Give the hidden states of a batch, in float32.

        Raises:
            AbandonedError: it was no longer wanted.
        """
        import torch

        mask = torch.ones_like(ids) if attention_mask is None else attention_mask
        with self._request() as request:
            request.start_async([ids.numpy(), mask.numpy()], share_inputs=True)
            while not request.wait_for(ASK_EACH_MS):
                if not still_wanted():
                    _cancel(request)
                    raise AbandonedError
            hidden = request.get_output_tensor(0).data
            return (torch.from_numpy(hidden.copy()),)

    @contextlib.contextmanager
    def _request(self) -> Iterator[Any]:
        """Lend a request: its memory is used again."""
        try:
            request = self._requests.get_nowait()
        except Empty:
            request = self._compiled.create_infer_request()
        yield request
        self._requests.put(request)  # one that failed is not used again


def drop_mapped(path: Path) -> None:
    """Take a mapped file out of this process's memory; what is needed of it is read again. Does nothing off Linux."""
    advise = getattr(ctypes.CDLL(None), "madvise", None)
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        for begin, end in _read_only(lines, str(path.resolve())):
            if advise:
                advise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), mmap.MADV_DONTNEED)


def _read_only(lines: Iterable[str], name: str) -> Iterator[tuple[int, int]]:
    """Find the addresses at which a file is mapped; what can be written to is left alone: it would be lost."""
    for line in lines:
        addresses, rights, *_, mapped = [*line.split(maxsplit=5), ""][:6]
        if mapped == name and "w" not in rights:
            begin, _, end = addresses.partition("-")
            yield int(begin, 16), int(end, 16)


def _computed_in(dtype: Dtype) -> str:
    """Choose what is computed in. Weights of 8 bits with bfloat16 give wrong numbers as soon as there are two streams.

    (2026.4.1 on AMX: a cosine of 0.6 to what one stream gives. In float32 all are right, and layers' inputs are rounded
    to 8 bits, too, which is as fast.)
    """
    import torch

    return "f32" if dtype == "int8" or dtype_on(CPU, dtype) is torch.float32 else "bf16"


def _cancel(request: Any) -> None:  # noqa: ANN401 - as above
    request.cancel()
    with contextlib.suppress(RuntimeError):  # it says that it was cancelled
        request.wait()
