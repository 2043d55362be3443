"""Post-training quantization to eight bits, by NNCF.

Activations get a range from calibration images, weights a scale per filter.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from googlenet.export.onnx_graph import INPUT
from googlenet.inference.backends.base import require
from googlenet.runtime.watchdog import beat


def quantize_openvino(model: Any, photos: NDArray[np.float32]) -> Any:
    """An OpenVINO model in int8, by NNCF.  photos: (N, C, H, W), normalized."""
    require("nncf")
    with quiet_nncf():
        import nncf

        nncf.set_log_level(logging.ERROR)
        return nncf.quantize(
            model,
            nncf.Dataset([photo[None] for photo in photos], with_beat),
            subset_size=len(photos),
        )


def with_beat(image: Any) -> Any:
    """The same; NNCF has reached this image."""
    beat()
    return image


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


def quantize_onnx(model: onnx.ModelProto, photos: NDArray[np.float32]) -> onnx.ModelProto:
    """An ONNX model in int8 (QDQ), by NNCF.  photos: (N, C, H, W), normalized.

    Weights have seven bits: without VNNI, ONNX Runtime adds pairs of products in 16 bits, and
    eight-bit weights would overflow them; the file must be correct on every CPU.  ONNX
    Runtime's own quantizer, which corrects no biases, loses more (docs/deploy.md).
    """
    require("nncf")
    require("onnxruntime")
    with quiet_nncf():
        import nncf
        from nncf.quantization.advanced_parameters import (
            AdvancedQuantizationParameters,
            OverflowFix,
        )

        nncf.set_log_level(logging.ERROR)
        found: onnx.ModelProto = nncf.quantize(
            model,
            nncf.Dataset([{INPUT: photo[None]} for photo in photos], with_beat),
            subset_size=len(photos),
            advanced_parameters=AdvancedQuantizationParameters(overflow_fix=OverflowFix.ENABLE),
        )
        return found
