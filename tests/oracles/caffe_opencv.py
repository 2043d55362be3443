"""Writes GoogLeNet's Caffe files with protobuf, and runs them with OpenCV.

python caffe_opencv.py FOLDER current|v1: reads FOLDER/photos.npy, writes FOLDER/model.caffemodel
(the training network's snapshot, as Caffe makes it), FOLDER/deploy.prototxt and FOLDER/expected.npz
with the logits and probabilities of each classifier.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from google.protobuf import text_format
from grpc_tools import protoc
from topology import BVLC, HEADS, Draw, Floats

MEAN_BGR = (104, 117, 123)
V1_TYPES = {
    "Concat": "CONCAT",
    "Convolution": "CONVOLUTION",
    "Data": "DATA",
    "Dropout": "DROPOUT",
    "InnerProduct": "INNER_PRODUCT",
    "LRN": "LRN",
    "Pooling": "POOLING",
    "ReLU": "RELU",
    "Softmax": "SOFTMAX",
    "SoftmaxWithLoss": "SOFTMAX_LOSS",
    "Split": "SPLIT",
}


@dataclass
class Layer:
    name: str
    type: str
    bottom: list[str]
    top: list[str]
    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)
    blobs: list[Floats] = field(default_factory=list)


class Network:
    """The layers of bvlc_googlenet's train_val.prototxt in order, with random weights."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.draw = Draw(1)
        self.channels = {"data": 3}

    def add(self, name: str, type: str, bottom: str | list[str], **parameters: Any) -> str:
        """A layer whose top has its own name."""
        bottoms = [bottom] if isinstance(bottom, str) else bottom
        self.layers.append(Layer(name, type, bottoms, [name], parameters))
        self.channels[name] = sum(self.channels[b] for b in bottoms)
        return name

    def relu(self, top: str, name: str) -> None:
        self.layers.append(Layer(name, "ReLU", [top], [top]))

    def conv(self, name: str, bottom: str, filters: int, kernel: int, **more: int) -> str:
        inputs = self.channels[bottom]
        values = {"num_output": filters, "kernel_size": kernel, **more}
        self.add(name, "Convolution", bottom, convolution_param=values)
        shape = (filters, inputs, kernel, kernel)
        weight = self.draw.weight(shape, inputs * kernel * kernel)
        self.layers[-1].blobs = [weight, self.draw.around(0.2, 0.3, filters)]
        self.channels[name] = filters
        scope, _, last = name.rpartition("/")
        self.relu(name, f"{scope}/relu_{last}")
        return name

    def linear(self, name: str, bottom: str, inputs: int, units: int, gain: float) -> str:
        self.add(name, "InnerProduct", bottom, inner_product_param={"num_output": units})
        weight = self.draw.weight((units, inputs), inputs, gain)
        self.layers[-1].blobs = [weight, self.draw.around(0, 0.5, units)]
        self.channels[name] = units
        return name

    def pool(self, name: str, bottom: str, method: str, kernel: int, **more: int) -> str:
        values = {"pool": method, "kernel_size": kernel, **more}
        return self.add(name, "Pooling", bottom, pooling_param=values)

    def lrn(self, name: str, bottom: str) -> str:
        return self.add(
            name, "LRN", bottom, lrn_param={"local_size": 5, "alpha": 1e-4, "beta": 0.75}
        )

    def module(self, name: str, bottom: str) -> str:
        c1, r3, c3, r5, c5, proj = BVLC[name]
        at = f"inception_{name}"
        one = self.conv(f"{at}/1x1", bottom, c1, 1)
        reduced = self.conv(f"{at}/3x3_reduce", bottom, r3, 1)
        three = self.conv(f"{at}/3x3", reduced, c3, 3, pad=1)
        reduced = self.conv(f"{at}/5x5_reduce", bottom, r5, 1)
        five = self.conv(f"{at}/5x5", reduced, c5, 5, pad=2)
        pooled = self.pool(f"{at}/pool", bottom, "MAX", 3, stride=1, pad=1)
        projected = self.conv(f"{at}/pool_proj", pooled, proj, 1)
        return self.add(f"{at}/output", "Concat", [one, three, five, projected])

    def head(self, number: int, bottom: str) -> None:
        at = f"loss{number + 1}"
        pooled = self.pool(f"{at}/ave_pool", bottom, "AVE", 5, stride=3)
        top = self.conv(f"{at}/conv", pooled, 128, 1)
        top = self.linear(f"{at}/fc", top, 128 * 4 * 4, 1024, gain=1.4)
        self.relu(top, f"{at}/relu_fc")
        self.drop(f"{at}/drop_fc", top, 0.7)
        self.linear(f"{at}/classifier", top, 1024, 1000, gain=0.02)

    def drop(self, name: str, top: str, ratio: float) -> None:
        values = {"dropout_param": {"dropout_ratio": ratio}}
        self.layers.append(Layer(name, "Dropout", [top], [top], values))

    def build(self) -> list[Layer]:
        top = self.conv("conv1/7x7_s2", "data", 64, 7, pad=3, stride=2)
        top = self.pool("pool1/3x3_s2", top, "MAX", 3, stride=2)
        top = self.lrn("pool1/norm1", top)
        top = self.conv("conv2/3x3_reduce", top, 64, 1)
        top = self.conv("conv2/3x3", top, 192, 3, pad=1)
        top = self.lrn("conv2/norm2", top)
        top = self.pool("pool2/3x3_s2", top, "MAX", 3, stride=2)
        for name in BVLC:
            if name in ("4a", "5a"):
                number = {"4a": 3, "5a": 4}[name]
                top = self.pool(f"pool{number}/3x3_s2", top, "MAX", 3, stride=2)
            top = self.module(name, top)
            if name in HEADS:
                self.head(HEADS[name], top)
        top = self.pool("pool5/7x7_s1", top, "AVE", 7, stride=1)
        self.drop("pool5/drop_7x7_s1", top, 0.4)
        self.linear("loss3/classifier", top, 1024, 1000, gain=0.03)
        return self.layers


def training_net(layers: list[Layer]) -> list[Layer]:
    """The network as a snapshot of its training holds it: with data, splits and losses."""
    transform = {"mirror": True, "crop_size": 224, "mean_value": list(MEAN_BGR)}
    source = {"source": "examples/imagenet/ilsvrc12_train_lmdb", "batch_size": 32}
    parameters = {"transform_param": transform, "data_param": source}
    data = Layer("data", "Data", [], ["data", "label"], parameters)
    labels = [f"label_data_1_split_{i}" for i in range(3)]
    split = Layer("label_data_1_split", "Split", ["label"], labels)
    losses = [
        Layer(f"{at}/loss", "SoftmaxWithLoss", [f"{at}/classifier", label], [f"{at}/loss{i}"])
        for i, (at, label) in enumerate(zip(("loss1", "loss2", "loss3"), labels, strict=True))
    ]
    return [data, split, *layers, *losses]


def deploy_net(layers: list[Layer]) -> list[Layer]:
    """The network without weights, with a softmax behind each classifier."""
    softmaxes = [
        Layer(f"{at}/prob", "Softmax", [f"{at}/classifier"], [f"{at}/prob"])
        for at in ("loss1", "loss2", "loss3")
    ]
    return [*(replace(layer, blobs=[]) for layer in layers), *softmaxes]


def message(schema: Any, layers: Iterable[Layer], v1: bool) -> Any:
    """A NetParameter of the layers: LayerParameter in field 100, or V1LayerParameter in field 2."""
    net = schema.NetParameter(name="GoogleNet")
    for layer in layers:
        kind = V1_TYPES[layer.type] if v1 else layer.type
        entry = (net.layers if v1 else net.layer).add(
            name=layer.name, type=kind, bottom=layer.bottom, top=layer.top, **layer.parameters
        )
        for values in layer.blobs:
            fill_blob(entry.blobs.add(), values, v1)
        if layer.blobs and v1:
            entry.blobs_lr.extend((1, 2))
            entry.weight_decay.extend((1, 0))
        elif layer.blobs:
            entry.param.add(lr_mult=1, decay_mult=1)
            entry.param.add(lr_mult=2, decay_mult=0)
    return net


def fill_blob(blob: Any, values: Floats, v1: bool) -> None:
    """Old blobs have four sides, the missing ones in front being 1; new ones a shape."""
    if v1:
        padded = (1,) * (4 - values.ndim) + values.shape
        blob.num, blob.channels, blob.height, blob.width = padded
    else:
        blob.shape.dim.extend(values.shape)
    blob.data.extend(values.ravel().tolist())


def compiled_schema(folder: Path) -> Any:
    """caffe.proto as a Python module, by protoc."""
    here = Path(__file__).parent
    if protoc.main(["protoc", f"-I{here}", f"--python_out={folder}", "caffe.proto"]) != 0:
        raise SystemExit("protoc refused caffe.proto")
    sys.path.append(str(folder))
    import caffe_pb2

    return caffe_pb2


def main(folder: Path, v1: bool) -> None:
    schema = compiled_schema(folder)
    layers = Network().build()
    weights, deploy = folder / "model.caffemodel", folder / "deploy.prototxt"
    weights.write_bytes(message(schema, training_net(layers), v1).SerializeToString())
    net = message(schema, deploy_net(layers), v1)
    net.input.append("data")
    net.input_dim.extend((1, 3, 224, 224))
    deploy.write_text(text_format.MessageToString(net))

    photos = np.load(folder / "photos.npy")
    network = cv2.dnn.readNetFromCaffe(str(deploy), str(weights))  # type: ignore[attr-defined,unused-ignore]
    network.setInput(cv2.dnn.blobFromImages(list(photos[..., ::-1]), 1.0, (224, 224), MEAN_BGR))
    at = {"4a": "loss1", "4d": "loss2", "main": "loss3"}
    names = [f"{a}/{what}" for what in ("classifier", "prob") for a in at.values()]
    outputs = [output.reshape(len(photos), -1) for output in network.forward(names)]
    keys = [f"{what}_{name}" for what in ("logits", "probabilities") for name in at]
    np.savez(folder / "expected.npz", **dict(zip(keys, outputs, strict=True)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), v1=sys.argv[2] == "v1")
