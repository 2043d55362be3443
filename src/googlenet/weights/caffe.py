"""Caffe's `.caffemodel`: a NetParameter with the current or the old (V1) layer messages.

Field numbers are those of BVLC's caffe.proto.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

from googlenet.models.table import LRN
from googlenet.runtime.protobuf import Message
from googlenet.weights.weight_file import WeightFile, WeightFileError, add_tensor, tensor_of


class LayerFields(NamedTuple):
    """Where a layer message keeps what is read of it."""

    name: int
    blobs: int
    lrn: int


#                          name  blobs  lrn_param
LAYERS = {
    100: LayerFields(         1,     7,       118),  # repeated LayerParameter layer
    2:   LayerFields(         4,     6,        18),  # repeated V1LayerParameter layers
}  # fmt: skip

# BlobProto
LEGACY_SHAPE, DATA, SHAPE, DOUBLE_DATA = (1, 2, 3, 4), 5, 7, 8
# LRNParameter
LRN_SIZE, LRN_ALPHA, LRN_BETA, LRN_REGION, LRN_K = 1, 2, 3, 4, 5

BLOBS = ("weight", "bias")


def read_caffe(data: memoryview) -> WeightFile:
    """The blobs of every layer, named `<layer>/weight` and `<layer>/bias`, in Caffe's OIHW."""
    tensors: dict[str, Tensor] = {}
    lrn: list[LRN] = []
    net = Message(data)
    for field, where in LAYERS.items():
        for layer in net.messages(field):
            name = layer.text(where.name)
            for index, blob in enumerate(layer.messages(where.blobs)):
                kind = BLOBS[index] if index < len(BLOBS) else f"blob{index}"
                add_tensor(tensors, f"{name}/{kind}", read_blob(f"{name}/{kind}", blob))
            lrn += [read_lrn(name, parameters) for parameters in layer.messages(where.lrn)]
    return WeightFile("Caffe model", tensors, lrn=tuple(lrn))


def read_blob(name: str, blob: Message) -> Tensor:
    """A blob in its shape; the four legacy dimensions stay four, (1, 1, 1, 64) for a bias."""
    values = blob.numbers(DATA, "<f4")
    if not values.size:
        values = blob.numbers(DOUBLE_DATA, "<f8").astype(np.float32)
    if SHAPE in blob.fields:
        return tensor_of(name, values, blob.message(SHAPE).integers(1).tolist())
    if any(field in blob.fields for field in LEGACY_SHAPE):
        return tensor_of(name, values, [blob.integer(field) for field in LEGACY_SHAPE])
    return tensor_of(name, values, [values.size])


def read_lrn(name: str, parameters: Message) -> LRN:
    """A layer's local response normalization; Caffe divides alpha by the size, as we do."""
    if parameters.integer(LRN_REGION):
        raise WeightFileError(f"layer {name!r} normalizes within channels, GoogLeNet across them")
    return LRN(
        size=parameters.integer(LRN_SIZE, 5),
        alpha=parameters.real(LRN_ALPHA, 1.0),
        beta=parameters.real(LRN_BETA, 0.75),
        k=parameters.real(LRN_K, 1.0),
    )
