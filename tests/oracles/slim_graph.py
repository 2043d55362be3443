"""Builds TF-Slim's inception_v1 with TensorFlow, and runs it.

python slim_graph.py FOLDER: reads FOLDER/photos.npy, writes FOLDER/tensors.npz (the variables under
their names in inception_v1.ckpt) and FOLDER/expected.npz with the logits and probabilities.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from topology import BVLC, Draw, Floats

EPS = 1e-3
SCOPE = "InceptionV1"
MODULES = dict(zip(BVLC, ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c"), strict=True))

draw = Draw(5)
variables: dict[str, Floats] = {}


def variable(name: str, values: Floats) -> Floats:
    return variables.setdefault(f"{SCOPE}/{name}", values)


def kernel(name: str, x: Any, filters: int, side: int, gain: float) -> Floats:
    inputs = x.shape[3]
    values = draw.weight((side, side, inputs, filters), inputs * side * side, gain)
    return variable(f"{name}/weights", values)


def conv(x: Any, name: str, filters: int, side: int, stride: int = 1) -> Any:
    sums = tf.nn.conv2d(x, kernel(name, x, filters, side, 1.4), stride, "SAME")
    mean = variable(f"{name}/BatchNorm/moving_mean", draw.around(0, 0.3, filters))
    variance = variable(f"{name}/BatchNorm/moving_variance", draw.around(1.3, 0.8, filters))
    beta = variable(f"{name}/BatchNorm/beta", draw.around(0.1, 0.3, filters))
    normal = tf.nn.batch_normalization(sums, mean, variance, beta, None, EPS)
    return tf.nn.relu(normal)


def max_pool(x: Any, side: int, stride: int) -> Any:
    return tf.nn.max_pool2d(x, side, stride, "SAME")


def module(x: Any, row: str) -> Any:
    c1, r3, c3, r5, c5, proj = BVLC[row]
    at = f"Mixed_{MODULES[row]}"
    large = "Conv2d_0a_3x3" if row == "5a" else "Conv2d_0b_3x3"  # a slip that was released
    three = conv(x, f"{at}/Branch_1/Conv2d_0a_1x1", r3, 1)
    five = conv(x, f"{at}/Branch_2/Conv2d_0a_1x1", r5, 1)
    branches = [
        conv(x, f"{at}/Branch_0/Conv2d_0a_1x1", c1, 1),
        conv(three, f"{at}/Branch_1/Conv2d_0b_3x3", c3, 3),
        conv(five, f"{at}/Branch_2/{large}", c5, 3),
        conv(max_pool(x, 3, 1), f"{at}/Branch_3/Conv2d_0b_1x1", proj, 1),
    ]
    return tf.concat(branches, 3)


def logits(x: Any) -> Any:
    x = max_pool(conv(x, "Conv2d_1a_7x7", 64, 7, 2), 3, 2)
    x = conv(conv(x, "Conv2d_2b_1x1", 64, 1), "Conv2d_2c_3x3", 192, 3)
    x = max_pool(x, 3, 2)
    for row in BVLC:
        if row in ("4a", "5a"):
            x = max_pool(x, 3 if row == "4a" else 2, 2)
        x = module(x, row)
    x = tf.nn.avg_pool2d(x, 7, 1, "VALID")
    name = "Logits/Conv2d_0c_1x1"
    bias = variable(f"{name}/biases", draw.around(0, 0.5, 1001))
    return tf.squeeze(tf.nn.conv2d(x, kernel(name, x, 1001, 1, 1.0), 1, "SAME") + bias, [1, 2])


def main(folder: Path) -> None:
    photos = np.load(folder / "photos.npy").astype(np.float32)
    values = logits(tf.constant(2 * (photos / 255) - 1))
    probabilities = tf.nn.softmax(values)
    np.savez(folder / "expected.npz", logits_main=values, probabilities_main=probabilities)
    np.savez(folder / "tensors.npz", global_step=np.array(0), **variables)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
