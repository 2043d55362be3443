"""OpenVINO on the CPU."""

from __future__ import annotations

from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from googlenet.inference.backends.base import Backend, require
from googlenet.inference.outputs import Outputs
from googlenet.runtime.device import native_bf16, thread_count
from googlenet.runtime.first_call import first_call_alone, locked_cache

RESIZE = "photo.resized"  # the name of the resizing node in `export.image_graph`
# By what OpenVINO's reader makes of the graph's mode.
PILLOW_MODES = {"linear_onnx": "bilinear_pillow", "cubic": "bicubic_pillow"}


@locked_cache
def core() -> Any:
    """OpenVINO's entry point, one for the whole process.

    Its CPU plugin gives the thread that loads it a stack for signals, and frees that stack with
    the last engine, in whichever thread this happens: the next Ctrl-C then crashed the process.
    """
    import openvino

    return openvino.Core()


class OpenVINOBackend(Backend):
    """model: a path, the bytes of an ONNX file, or a model that OpenVINO has read.

    It computes in the precision that is asked for.  Left to itself OpenVINO computes float32
    models in bf16 on CPUs that have it, and one file gives different results there; so a file
    says in what it is computed.  For an int8 file that concerns the layers between the quantized
    ones (LRN, its pools), which then move half the bytes.
    """

    name = "openvino"

    @first_call_alone
    def __init__(
        self,
        model: Any,
        precision: str = "fp32",
        streams: int = 1,
        *,
        takes_raw_image: bool = False,
        source: str = "the model",
    ) -> None:
        require("openvino")
        self.precision, self.streams = precision, streams
        self.takes_raw_image, self.source = takes_raw_image, source
        if isinstance(model, Path | bytes):
            model = core().read_model(str(model) if isinstance(model, Path) else model)
        if takes_raw_image:
            pillow_resize(model)  # of an ONNX file; OpenVINO's own files have it already
        bf16 = precision == "bf16"
        if precision == "int8" and not takes_raw_image:  # pixels need more than bf16's 8 bits
            bf16 = native_bf16()
        self.compiled = core().compile_model(
            model,
            "CPU",
            {
                "INFERENCE_NUM_THREADS": max(thread_count(), streams),
                "NUM_STREAMS": streams,
                "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
            },
        )
        self.idle: SimpleQueue[Any] = SimpleQueue()  # requests, each of which computes one batch
        for _ in range(streams):
            self.idle.put(self.compiled.create_infer_request())

    @first_call_alone
    def run(self, x: NDArray[Any]) -> Outputs:
        request = self.idle.get()
        try:
            request.infer([np.ascontiguousarray(x)], share_inputs=True)
            found = {
                name: np.array(request.get_tensor(output).data)
                for output in self.compiled.outputs
                for name in output.get_names() & {"logits", "summary"}
            }
        finally:
            self.idle.put(request)
        return Outputs(found["logits"], found.get("summary"))


def pillow_resize(model: Any) -> None:
    """Resize as Pillow does: OpenVINO's reader of ONNX takes an antialiased Resize for a plain one.

    Measured on an image of 1537×1023 pixels, resized to 256: 9.5 levels of 255 away on average,
    and 0.0004 with the operator that OpenVINO has for Pillow's filters.
    """
    resizes = [op for op in model.get_ops() if op.get_friendly_name() == RESIZE]
    for resize in resizes:
        mode = PILLOW_MODES.get(str(resize.get_attributes()["mode"]))
        if mode is None:  # nearest, or replaced already
            return
        from openvino import opset11

        replacement = opset11.interpolate(
            resize.input_value(0),
            resize.input_value(1),
            mode,
            "sizes",
            axes=resize.input_value(2),
            cube_coeff=-0.5,
        )
        replacement.set_friendly_name(RESIZE)
        resize.output(0).replace(replacement.output(0))
    model.validate_nodes_and_infer_types()
