"""TensorFlow's frozen graph, `.pb`: the constants of a GraphDef.

Field numbers are those of TensorFlow's graph.proto, node_def.proto, attr_value.proto and
tensor.proto.
"""

from __future__ import annotations

from math import prod
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
    checked_shape,
    from_bfloat16_bits,
    tensor_of,
)

NODE = 1  # GraphDef
NODE_NAME, NODE_OP, NODE_ATTRIBUTE = 1, 2, 5  # NodeDef
ATTRIBUTE_INTEGER, ATTRIBUTE_REAL, ATTRIBUTE_TENSOR = 3, 4, 8  # AttrValue
DTYPE, SHAPE, CONTENT = 1, 2, 4  # TensorProto

VARIABLES = frozenset({"Variable", "VariableV2", "VarHandleOp"})


class Kind(NamedTuple):
    """A type of number: how `tensor_content` holds it, and the field of single values."""

    dtype: str
    field: int


BFLOAT16 = 14
KINDS = {
    1: Kind("<f4", 5),  # DT_FLOAT, float_val
    2: Kind("<f8", 6),  # DT_DOUBLE, double_val
    19: Kind("<f2", 13),  # DT_HALF, half_val: the bits, as integers
    BFLOAT16: Kind("<u2", 13),  # DT_BFLOAT16, the same
}


def read_tensorflow(data: memoryview) -> WeightFile:
    """Every floating-point constant by its node's name, in TensorFlow's HWIO.

    Raises WeightFileError for a graph whose weights are variables, in another file.
    """
    tensors: dict[str, Tensor] = {}
    unread: dict[str, str] = {}
    lrn: list[LRN] = []
    variables = 0
    for node in Message(data).messages(NODE):
        name, op = node.text(NODE_NAME), node.text(NODE_OP)
        if op == "Const":
            constant = attributes(node).get("value", node).message(ATTRIBUTE_TENSOR)
            if constant.integer(DTYPE) in KINDS:
                add_tensor(tensors, name, read_tensor(name, constant))
            else:
                unread[name] = "a constant of the graph, not a weight"
        elif op == "LRN":
            lrn.append(read_lrn(attributes(node)))
        variables += op in VARIABLES
    if variables and not tensors:
        raise WeightFileError("is a TensorFlow graph without its weights: freeze it first")
    return WeightFile("TensorFlow graph", tensors, unread, tuple(lrn))


def attributes(node: Message) -> dict[str, Message]:
    """A node's attributes: a protocol-buffer map is a list of (key, value) messages."""
    return {entry.text(1): entry.message(2) for entry in node.messages(NODE_ATTRIBUTE)}


def read_tensor(name: str, constant: Message) -> Tensor:
    """A TensorProto: its bytes, or its list of values, or one value for all."""
    dtype = constant.integer(DTYPE)
    dims = [dim.integer(1) for dim in constant.message(SHAPE).messages(2)]
    if constant.views(CONTENT):
        values = constant.numbers(CONTENT, KINDS[dtype].dtype)
        tensor = from_bfloat16_bits(values) if dtype == BFLOAT16 else torch.from_numpy(values)  # type: ignore[arg-type]
    else:
        tensor = expand_constant(name, single_values(constant, dtype), dims)
    return tensor_of(name, tensor, dims)


def single_values(constant: Message, dtype: int) -> Tensor:
    kind = KINDS[dtype]
    if kind.field != 13:
        return torch.from_numpy(constant.numbers(kind.field, kind.dtype))
    bits = constant.integers(kind.field).astype(np.uint16)
    return (
        from_bfloat16_bits(bits) if dtype == BFLOAT16 else torch.from_numpy(bits.view(np.float16))
    )


def expand_constant(name: str, values: Tensor, dims: list[int]) -> Tensor:
    """TensorFlow's rule: a single value fills the shape; without values, zero does.

    Costs no memory, whatever the file declares.
    """
    if len(values) > 1:
        return values
    value = values if len(values) else torch.zeros(1, dtype=values.dtype)
    return value.expand(prod(checked_shape(name, dims)))


def read_lrn(found: dict[str, Message]) -> LRN:
    """An LRN node in our convention: TensorFlow's alpha is not divided by the window's size."""
    empty = Message(memoryview(b""))
    size = 2 * found.get("depth_radius", empty).integer(ATTRIBUTE_INTEGER, 5) + 1
    return LRN(
        size=size,
        alpha=found.get("alpha", empty).real(ATTRIBUTE_REAL, 1.0) * size,
        beta=found.get("beta", empty).real(ATTRIBUTE_REAL, 0.5),
        k=found.get("bias", empty).real(ATTRIBUTE_REAL, 1.0),
    )
