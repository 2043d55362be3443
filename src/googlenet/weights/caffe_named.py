"""A model of ours as a `.safetensors` under Caffe's names, and back without loss."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from googlenet.inference.header import ModelHeader, header_errors
from googlenet.inference.model_file import write_tensors
from googlenet.runtime.errors import UsageError
from googlenet.weights.schemes import CAFFE
from googlenet.weights.weight_file import WeightFile

# The metadata key under which the file keeps what Caffe's names cannot say: our own header.
HEADER = "googlenet-header"


def write_caffe_named(header: ModelHeader, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write the file, from which `convert` makes the same model again, bit for bit.

    Raises UsageError for a network that Caffe's names do not describe.
    """
    if header.variant != CAFFE.variant:
        raise UsageError(
            f"--to caffe needs a model of variant {CAFFE.variant!r}, got {header.variant!r}"
        )
    names = CAFFE.names(tensors)
    metadata = {
        "format": "Caffe's blobs: <layer>/weight (OIHW), <layer>/bias",
        HEADER: json.dumps(header.to_json(), ensure_ascii=False),
    }
    write_tensors(path, {names[ours]: tensor for ours, tensor in tensors.items()}, metadata)


def read_own_header(file: WeightFile) -> ModelHeader | None:
    """The header in such a file, None for any other.  Raises ModelFileError for a damaged one."""
    if HEADER not in file.metadata:
        return None
    with header_errors(f"its {HEADER!r} metadata"):
        return ModelHeader.from_json(json.loads(file.metadata[HEADER]))
