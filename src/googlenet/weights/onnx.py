"""ONNX: the initialisers of a ModelProto's graph.  Field numbers are those of onnx.proto."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from googlenet.models.table import LRN
from googlenet.runtime.protobuf import Message
from googlenet.weights.weight_file import (
    WeightFile,
    WeightFileError,
    add_tensor,
    from_bfloat16_bits,
    tensor_of,
)

GRAPH = 7  # ModelProto
NODE, INITIALISER = 1, 5  # GraphProto
OP, ATTRIBUTE = 4, 5  # NodeProto
DIMS, DTYPE, NAME, RAW, LOCATION = 1, 2, 8, 9, 14  # TensorProto


class Kind(NamedTuple):
    """A type of number: how `raw_data` holds it, and the field of single values."""

    dtype: str
    field: int


BFLOAT16 = 16
KINDS = {
    1: Kind("<f4", 4),  # FLOAT, float_data
    10: Kind("<f2", 5),  # FLOAT16, int32_data: the bits
    11: Kind("<f8", 10),  # DOUBLE, double_data
    BFLOAT16: Kind("<u2", 5),  # BFLOAT16, the same
}


def read_onnx(data: memoryview) -> WeightFile:
    """Every floating-point initialiser by its name."""
    graph = Message(data).message(GRAPH)
    tensors: dict[str, Tensor] = {}
    unread: dict[str, str] = {}
    for proto in graph.messages(INITIALISER):
        name = proto.text(NAME)
        if proto.integer(LOCATION):
            raise WeightFileError(f"keeps the tensor {name!r} in another file: merge them first")
        if proto.integer(DTYPE) in KINDS:
            add_tensor(tensors, name, read_tensor(name, proto))
        else:
            unread[name] = "a constant of the graph, not a weight"
    lrn = [read_lrn(node) for node in graph.messages(NODE) if node.text(OP) == "LRN"]
    return WeightFile("ONNX model", tensors, unread, tuple(lrn))


def read_tensor(name: str, proto: Message) -> Tensor:
    dtype = proto.integer(DTYPE)
    kind = KINDS[dtype]
    if proto.views(RAW):
        values = proto.numbers(RAW, kind.dtype)
    elif kind.field == 5:
        values = proto.integers(kind.field).astype(np.uint16)
        values = values if dtype == BFLOAT16 else values.view(np.float16)
    else:
        values = proto.numbers(kind.field, kind.dtype)
    tensor = from_bfloat16_bits(values) if dtype == BFLOAT16 else torch.from_numpy(values)  # type: ignore[arg-type]
    return tensor_of(name, tensor, proto.integers(DIMS).tolist())


def read_lrn(node: Message) -> LRN:
    """An LRN node; ONNX divides alpha by the size, as we do."""
    found = {attribute.text(1): attribute for attribute in node.messages(ATTRIBUTE)}
    empty = Message(memoryview(b""))
    return LRN(
        size=found.get("size", empty).integer(3),
        alpha=found.get("alpha", empty).real(2, 1e-4),
        beta=found.get("beta", empty).real(2, 0.75),
        k=found.get("bias", empty).real(2, 1.0),
    )
