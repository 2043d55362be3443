"""ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from googlenet.inference.backends.base import Backend, require
from googlenet.inference.outputs import Outputs
from googlenet.runtime.device import thread_count
from googlenet.runtime.first_call import first_call_alone


class OnnxRuntimeBackend(Backend):
    """model: the path of an ONNX file, or its bytes."""

    name = "onnxruntime"
    one_by_one = False  # whether the file takes one image at a time: `export --fixed`

    @first_call_alone
    def __init__(
        self,
        model: Path | bytes,
        precision: str = "fp32",
        streams: int = 1,
        *,
        takes_raw_image: bool = False,
        source: str = "the model",
    ) -> None:
        require("onnxruntime")
        import onnxruntime

        self.precision, self.streams = precision, streams
        self.takes_raw_image, self.source = takes_raw_image, source
        options = onnxruntime.SessionOptions()
        # The session's own threads help every caller of `run`, each of which computes too.
        options.intra_op_num_threads = max(1, thread_count() - streams + 1)
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors
        self.session = onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model),
            options,
            providers=["CPUExecutionProvider"],
        )
        self.input = self.session.get_inputs()[0].name
        self.one_by_one = self.session.get_inputs()[0].shape[0] == 1
        names = {output.name for output in self.session.get_outputs()}
        self.wanted = [name for name in ("logits", "summary") if name in names]

    @first_call_alone
    def run(self, x: NDArray[Any]) -> Outputs:
        if self.one_by_one and not self.takes_raw_image:
            single = np.split(x, len(x))
            found = [self.session.run(self.wanted, {self.input: image}) for image in single]
            logits, *features = map(np.concatenate, zip(*found, strict=True))
        else:
            logits, *features = self.session.run(self.wanted, {self.input: x})
        return Outputs(logits, features[0] if features else None)
