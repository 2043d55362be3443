"""Builds Google's released graph with TensorFlow, freezes it, and runs it.

python tensorflow_graph.py FOLDER: reads FOLDER/photos.npy, writes FOLDER/model.pb and
FOLDER/expected.npz with the logits and probabilities of each classifier.  Names and operators are
those of tensorflow_inception_graph.pb ("inception5h").  FOLDER/plain.pb is the same graph without
the compact encoding of equal values, which OpenCV does not read.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from topology import GOOGLE, HEADS, Draw, Floats

MEAN = 117.0
CLASSES = 1008
MAX_POOLS = {"4a": "maxpool4", "5a": "maxpool10"}
ALL_EQUAL = "conv2d1"  # its biases
CLASSIFIERS = {"4a": "softmax0", "4d": "softmax1", "main": "softmax2"}

raw = tf.raw_ops
draw = Draw(2)


def constants(name: str, weight: Floats, bias: Floats) -> tuple[Any, Any]:
    return tf.constant(weight, name=f"{name}_w"), tf.constant(bias, name=f"{name}_b")


def conv(x: Any, name: str, filters: int, kernel: int, stride: int = 1) -> Any:
    inputs = x.shape[3]
    shape = (kernel, kernel, inputs, filters)
    spread = 0 if name == ALL_EQUAL else 0.3
    weight, bias = constants(
        name, draw.weight(shape, inputs * kernel * kernel), draw.around(0.1, spread, filters)
    )
    before = f"{name}_pre_relu"
    sums = raw.Conv2D(
        input=x,
        filter=weight,
        strides=[1, stride, stride, 1],
        padding="SAME",
        name=f"{before}/conv",
    )
    return raw.Relu(features=raw.BiasAdd(value=sums, bias=bias, name=before), name=name)


def linear(x: Any, name: str, output: str, inputs: int, units: int, gain: float) -> Any:
    weight, bias = constants(
        name, draw.weight((inputs, units), inputs, gain), draw.around(0, 0.5, units)
    )
    return raw.BiasAdd(
        value=raw.MatMul(a=x, b=weight, name=f"{output}/matmul"), bias=bias, name=output
    )


def max_pool(x: Any, name: str, stride: int = 2) -> Any:
    strides = [1, stride, stride, 1]
    return raw.MaxPool(input=x, ksize=[1, 3, 3, 1], strides=strides, padding="SAME", name=name)


def average_pool(x: Any, name: str, side: int, stride: int) -> Any:
    ksize, strides = [1, side, side, 1], [1, stride, stride, 1]
    return raw.AvgPool(value=x, ksize=ksize, strides=strides, padding="VALID", name=name)


def lrn(x: Any, name: str) -> Any:
    return raw.LRN(input=x, depth_radius=5, bias=2.0, alpha=1e-4, beta=0.5, name=name)


def flat(x: Any, name: str, units: int) -> Any:
    shape = tf.constant([-1, units], name=f"{name}/reshape/shape")
    return raw.Reshape(tensor=x, shape=shape, name=f"{name}/reshape")


def module(x: Any, name: str) -> Any:
    c1, r3, c3, r5, c5, proj = GOOGLE[name]
    at = f"mixed{name}"
    branches = [
        conv(x, f"{at}_1x1", c1, 1),
        conv(conv(x, f"{at}_3x3_bottleneck", r3, 1), f"{at}_3x3", c3, 3),
        conv(conv(x, f"{at}_5x5_bottleneck", r5, 1), f"{at}_5x5", c5, 5),
        conv(max_pool(x, f"{at}_pool", 1), f"{at}_pool_reduce", proj, 1),
    ]
    axis = tf.constant(3, name=f"{at}/concat_dim")
    return raw.Concat(concat_dim=axis, values=branches, name=at)


def head(x: Any, number: int) -> None:
    at = f"head{number}"
    top = conv(average_pool(x, f"{at}_pool", 5, 3), f"{at}_bottleneck", 128, 1)
    top = flat(top, f"{at}_bottleneck", 128 * 4 * 4)
    top = linear(top, f"nn{number}", f"nn{number}_pre_relu", 128 * 4 * 4, 1024, gain=1.4)
    top = flat(raw.Relu(features=top, name=f"nn{number}"), f"nn{number}", 1024)
    classify(top, number, gain=0.04)


def classify(x: Any, number: int, gain: float) -> None:
    name = f"softmax{number}"
    logits = linear(x, name, f"{name}_pre_activation", 1024, CLASSES, gain)
    probabilities = raw.Softmax(logits=logits, name=name)
    raw.Identity(input=probabilities, name=f"output{number or ''}")


def build() -> None:
    x = raw.Placeholder(dtype=tf.float32, shape=[None, 224, 224, 3], name="input")
    x = lrn(max_pool(conv(x, "conv2d0", 64, 7, 2), "maxpool0"), "localresponsenorm0")
    x = conv(conv(x, "conv2d1", 64, 1), "conv2d2", 192, 3)
    x = max_pool(lrn(x, "localresponsenorm1"), "maxpool1")
    for name in GOOGLE:
        if name in MAX_POOLS:
            x = max_pool(x, MAX_POOLS[name])
        x = module(x, name)
        if name in HEADS:
            head(x, HEADS[name])
    classify(flat(average_pool(x, "avgpool0", 7, 1), "avgpool0", 1024), 2, gain=0.1)


def in_other_encodings(graph: Any) -> None:
    """TensorFlow may store floats one by one, and one value alone where all are equal."""
    for node in graph.node:
        if node.name in ("softmax1_b", f"{ALL_EQUAL}_b"):
            tensor = node.attr["value"].tensor
            values = np.frombuffer(tensor.tensor_content, np.float32).tolist()
            tensor.ClearField("tensor_content")
            tensor.float_val.extend(values[:1] if node.name == f"{ALL_EQUAL}_b" else values)


def main(folder: Path) -> None:
    with tf.Graph().as_default() as graph:
        build()
    definition = graph.as_graph_def()
    (folder / "plain.pb").write_bytes(definition.SerializeToString())
    in_other_encodings(definition)
    (folder / "model.pb").write_bytes(definition.SerializeToString())

    photos = np.load(folder / "photos.npy").astype(np.float32) - MEAN
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        read = tf.compat.v1.GraphDef.FromString((folder / "model.pb").read_bytes())
        tf.import_graph_def(read, name="")
        fetches = {f"logits_{at}": f"{name}_pre_activation:0" for at, name in CLASSIFIERS.items()}
        fetches |= {f"probabilities_{at}": f"{name}:0" for at, name in CLASSIFIERS.items()}
        np.savez(folder / "expected.npz", **session.run(fetches, {"input:0": photos}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
