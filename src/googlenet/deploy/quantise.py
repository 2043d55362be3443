"""Post-training quantisation to eight bits, by the engines' own tools.

Activations get a range from calibration photos, weights a scale for each filter.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from googlenet.deploy.engines import require
from googlenet.deploy.onnx_graph import INPUT

BATCH = 10  # calibration photos at a time
# Layers that ONNX Runtime computes in eight bits; the rest (LRN, softmax) stay in float32.
QUANTISED = ["Conv", "Gemm", "MaxPool", "Concat", "GlobalAveragePool", "Flatten"]


def quantise_openvino(model: Any, photos: NDArray[np.float32]) -> Any:
    """An OpenVINO model in int8, by NNCF.  photos: (N, C, H, W), normalised."""
    require("nncf")
    with quiet_nncf():
        import nncf

        nncf.set_log_level(logging.ERROR)
        return nncf.quantize(
            model, nncf.Dataset([photo[None] for photo in photos]), subset_size=len(photos)
        )


@contextmanager
def quiet_nncf() -> Iterator[None]:
    """Without the usage statistics that NNCF sends, its progress on stderr if that is a terminal.

    It reads this variable when it is first imported.
    """
    before = os.environ.get("NNCF_CI")
    os.environ["NNCF_CI"] = "1"
    try:
        with (
            Path(os.devnull).open("w") as nowhere,
            redirect_stdout(sys.stderr if sys.stderr.isatty() else nowhere),
        ):
            yield
    finally:
        if before is None:
            del os.environ["NNCF_CI"]
        else:
            os.environ["NNCF_CI"] = before


def quantise_onnx(model: onnx.ModelProto, photos: NDArray[np.float32]) -> onnx.ModelProto:
    """An ONNX model in int8 (QDQ), by ONNX Runtime's quantiser.  photos: (N, C, H, W).

    Weights have seven bits: without VNNI, ONNX Runtime adds pairs of products in 16 bits, and
    eight-bit weights would overflow them; the file is to be right on every processor.
    """
    require("onnxruntime")
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Photos(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            batches = np.array_split(photos, -(-len(photos) // BATCH))
            self.batches = iter(batches)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            batch = next(self.batches, None)
            return None if batch is None else {INPUT: batch}

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises a step of preprocessing that this graph needs not
    try:
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "int8.onnx"
            quantize_static(
                model,
                str(target),
                Photos(),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=QUANTISED,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
            return onnx.load(target)
    finally:
        root.setLevel(level)
