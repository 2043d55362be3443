"""Files of foreign formats, written by Google's own protobuf library.

The message classes are built from the field numbers of BVLC's caffe.proto and ONNX's onnx.proto,
as far as these tests need them; TensorFlow's come with TensorBoard.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorboard.compat.proto import graph_pb2
from torch import Tensor

# message: {field: (number, type, "repeated" or not)}; a packed array ends in "*".
CAFFE = {
    "BlobShape": {"dim": (1, "int64*")},
    "BlobProto": {
        "num": (1, "int64"), "channels": (2, "int64"), "height": (3, "int64"),
        "width": (4, "int64"), "data": (5, "float*"), "diff": (6, "float*"),
        "shape": (7, "BlobShape"), "double_data": (8, "double*"),
    },
    "LRNParameter": {
        "local_size": (1, "uint32"), "alpha": (2, "float"), "beta": (3, "float"),
        "norm_region": (4, "int32"), "k": (5, "float"),
    },
    "LayerParameter": {
        "name": (1, "string"), "type": (2, "string"), "bottom": (3, "string+"),
        "blobs": (7, "BlobProto+"), "lrn_param": (118, "LRNParameter"),
    },
    "V1LayerParameter": {
        "bottom": (2, "string+"), "name": (4, "string"), "type": (5, "int32"),
        "blobs": (6, "BlobProto+"), "lrn_param": (18, "LRNParameter"),
    },
    "NetParameter": {
        "name": (1, "string"), "layers": (2, "V1LayerParameter+"), "input": (3, "string+"),
        "layer": (100, "LayerParameter+"),
    },
}  # fmt: skip
ONNX = {
    "AttributeProto": {"name": (1, "string"), "f": (2, "float"), "i": (3, "int64")},
    "NodeProto": {
        "input": (1, "string+"), "output": (2, "string+"), "name": (3, "string"),
        "op_type": (4, "string"), "attribute": (5, "AttributeProto+"),
    },
    "TensorProto": {
        "dims": (1, "int64+"), "data_type": (2, "int32"), "float_data": (4, "float*"),
        "int32_data": (5, "int32*"), "name": (8, "string"), "raw_data": (9, "bytes"),
        "double_data": (10, "double*"), "data_location": (14, "int32"),
    },
    "GraphProto": {
        "node": (1, "NodeProto+"), "name": (2, "string"), "initializer": (5, "TensorProto+"),
    },
    "ModelProto": {
        "ir_version": (1, "int64"), "producer_name": (2, "string"), "graph": (7, "GraphProto"),
    },
}  # fmt: skip
# One field of each kind of the wire format, for the reader itself.
WIRE = {
    "Inner": {"label": (1, "string"), "inner": (2, "Inner")},
    "Everything": {
        "number": (1, "int64"), "unsigned": (2, "uint64"), "text": (3, "string"),
        "raw": (4, "bytes"), "single": (5, "float"), "double": (6, "double"),
        "packed": (7, "float*"), "unpacked": (8, "float+"), "integers": (9, "int64*"),
        "loose": (10, "int64+"), "inner": (11, "Inner+"), "far": (536870911, "int32"),
    },
}  # fmt: skip

Field = descriptor_pb2.FieldDescriptorProto


def message_classes(package: str, schema: Mapping[str, Mapping[str, tuple[int, str]]]) -> Any:
    """The message classes of a schema, by name."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package)
    for message, fields in schema.items():
        described = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            plain = kind.rstrip("*+")
            field = described.field.add(name=name, number=number, label=Field.LABEL_OPTIONAL)
            if plain != kind:
                field.label = Field.LABEL_REPEATED
            if kind.endswith("*"):
                field.options.packed = True
            if plain in schema:
                field.type, field.type_name = Field.TYPE_MESSAGE, f".{package}.{plain}"
            else:
                field.type = getattr(Field, f"TYPE_{plain.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for name in schema
    }


caffe = message_classes("caffe", CAFFE)
onnx = message_classes("onnx", ONNX)
wire = message_classes("wire", WIRE)
GraphDef = graph_pb2.GraphDef


def caffe_model(tensors: Mapping[str, Tensor], *, old: bool = False) -> Any:
    """A NetParameter of tensors named `<layer>/weight` and `<layer>/bias`.

    old: V1 layers whose blobs have the four legacy dimensions.
    """
    net = caffe["NetParameter"](name="GoogleNet", input=["data"])
    layers: dict[str, Any] = {}
    for name in tensors:
        layer = name.rpartition("/")[0]
        if layer not in layers:
            layers[layer] = (net.layers if old else net.layer).add(name=layer)
    for name, tensor in sorted(tensors.items(), key=lambda item: item[0].endswith("/bias")):
        blob = layers[name.rpartition("/")[0]].blobs.add(data=tensor.flatten().tolist())
        if old:
            shape = (1, 1, 1, 1, *tensor.shape)[-4:]
            blob.num, blob.channels, blob.height, blob.width = shape
        else:
            blob.shape.dim.extend(tensor.shape)
    return net


def tensorflow_graph(tensors: Mapping[str, Tensor]) -> Any:
    """A frozen GraphDef of float constants."""
    graph = GraphDef()
    graph.node.add(name="input", op="Placeholder")
    for name, tensor in tensors.items():
        node = graph.node.add(name=name, op="Const")
        constant = node.attr["value"].tensor
        constant.dtype = 1
        for side in tensor.shape:
            constant.tensor_shape.dim.add(size=side)
        constant.tensor_content = tensor.contiguous().numpy().tobytes()
    graph.versions.producer = 22
    return graph


def onnx_model(tensors: Mapping[str, Tensor]) -> Any:
    """A ModelProto of float initializers."""
    model = onnx["ModelProto"](ir_version=3, producer_name="test")
    for name, tensor in tensors.items():
        model.graph.initializer.add(
            name=name,
            dims=tensor.shape,
            data_type=1,
            raw_data=tensor.contiguous().numpy().tobytes(),
        )
    return model
