"""What computes a network's answers: PyTorch, ONNX Runtime or OpenVINO, behind one call.

An engine is a function of an array, (N, C, H, W) float32 normalised photos, to logits and the
summary of its maps; of a file with its preprocessing built in, of one photo (H, W, 3) uint8.
Each uses as many threads as PyTorch does or would (`torch.set_num_threads`, OMP_NUM_THREADS),
shared out among `streams` batches that it computes side by side.  Only PyTorch's own needs PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from googlenet.runtime.device import native_bf16, thread_count
from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.runtime.first_call import first_call_alone

ENGINES = ("torch", "onnxruntime", "openvino")
FASTEST_FIRST = ("openvino", "onnxruntime", "torch")  # measured: docs/deploy.md
EXTRAS = {"onnx": "onnx", "onnxruntime": "onnx", "openvino": "openvino", "nncf": "openvino"}

RESIZE = "photo.resized"  # what `photo_graph` calls the photo's resizing

Array = NDArray[Any]


class Found(NamedTuple):
    """What an engine gives of N photos, float32: logits (N, classes) and, of a network that has
    one, the summary of its maps (N, F)."""

    logits: Array
    summary: Array | None


class Engine(Protocol):
    """A network that is ready to run.  `precision` is what it computes in."""

    name: str
    precision: str

    def run(self, photos: Array) -> Found:
        """Of normalised photos (N, C, H, W), or of one photo (H, W, 3).

        May be called in several threads, of which as many as there are streams compute; the first
        call is computed alone (`first_call_alone`).
        """


def require(package: str) -> None:
    """Raises GoogLeNetError, with the command that installs it, where a package is missing."""
    if find_spec(package) is None:
        raise GoogLeNetError(
            f"the package {package} must be installed: pip install 'googlenet[{EXTRAS[package]}]'"
        )


def choose(engine: str, able: tuple[str, ...] = ENGINES) -> str:
    """The engine of that name; for "auto" the fastest that is installed of those that are able.

    Raises UsageError for a name that does not exist or an engine that is not able,
    GoogLeNetError for one that is not installed.
    """
    if engine == "auto":
        return next((name for name in FASTEST_FIRST if name in able and find_spec(name)), able[0])
    if engine not in ENGINES:
        raise UsageError(f"engine must be auto or one of {', '.join(ENGINES)}, got {engine!r}")
    if engine not in able:
        raise UsageError(f"engine must be one of {', '.join(able)} for this file, got {engine!r}")
    require(engine)
    return engine


@dataclass
class OnnxRuntime:
    """ONNX Runtime on the CPU."""

    model: Path | bytes
    precision: str = "fp32"
    streams: int = 1
    name: str = "onnxruntime"
    session: Any = field(init=False)

    @first_call_alone
    def __post_init__(self) -> None:
        require("onnxruntime")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # The session's own threads help all who call `run`, each of whom computes too.
        options.intra_op_num_threads = max(1, thread_count() - self.streams + 1)
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors
        model = self.model if isinstance(self.model, bytes) else str(self.model)
        self.session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        self.input = self.session.get_inputs()[0].name
        names = {output.name for output in self.session.get_outputs()}
        self.wanted = [name for name in ("logits", "summary") if name in names]
        self.model = b""  # the session has its own copy

    @first_call_alone
    def run(self, photos: Array) -> Found:
        logits, *summary = self.session.run(self.wanted, {self.input: photos})
        return Found(logits, summary[0] if summary else None)


@dataclass
class OpenVINO:
    """OpenVINO on the CPU, with the precision that is asked for.

    Left to itself OpenVINO computes float32 models in bf16 on processors that have it, and one
    and the same file gives other answers there; so a file says in what it is computed.  Of an
    int8 file that is about the layers between the quantised ones (LRN, its pools), which then
    move half the bytes.
    """

    model: Any  # a path, the bytes of an ONNX file, or a model that OpenVINO has read
    precision: str = "fp32"
    streams: int = 1
    name: str = "openvino"
    compiled: Any = field(init=False)
    idle: SimpleQueue[Any] = field(init=False)  # requests, of which each computes one batch

    @first_call_alone
    def __post_init__(self) -> None:
        require("openvino")
        import openvino

        core = openvino.Core()
        model = self.model
        if isinstance(model, Path | bytes):
            model = core.read_model(str(model) if isinstance(model, Path) else model)
        whole_photos = any(op.get_friendly_name() == RESIZE for op in model.get_ops())
        if whole_photos:
            from googlenet.export.openvino_model import pillow_resize

            pillow_resize(model)  # of an ONNX file; in OpenVINO's own it is done already
        half = self.precision == "bf16"
        if self.precision == "int8" and not whole_photos:  # pixels need more than bf16's 8 bits
            half = native_bf16()
        hint = "bf16" if half else "f32"
        self.compiled = core.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_NUM_THREADS": max(thread_count(), self.streams),
                "NUM_STREAMS": self.streams,
                "INFERENCE_PRECISION_HINT": hint,
            },
        )
        self.model = b""
        self.idle = SimpleQueue()
        for _ in range(self.streams):
            self.idle.put(self.compiled.create_infer_request())

    @first_call_alone
    def run(self, photos: Array) -> Found:
        request = self.idle.get()
        try:
            request.infer([np.ascontiguousarray(photos)], share_inputs=True)
            found = {
                name: np.array(request.get_tensor(output).data)
                for output in self.compiled.outputs
                for name in output.get_names() & {"logits", "summary"}
            }
        finally:
            self.idle.put(request)
        return Found(found["logits"], found.get("summary"))


@dataclass
class Torch:
    """A program of PyTorch's, as `deploy.pt2` exports it."""

    program: Callable[..., Any]
    precision: str = "fp32"
    name: str = "torch"

    @first_call_alone
    def run(self, photos: Array) -> Found:
        import torch

        with torch.inference_mode():
            x = torch.from_numpy(photos).contiguous(memory_format=torch.channels_last)
            logits, _, *more = self.program(x)
        return Found(logits.numpy(), more[0].numpy() if more else None)
