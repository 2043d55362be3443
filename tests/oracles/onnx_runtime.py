"""Writes GoogLeNet as the ONNX model zoo does, with the onnx package, and runs it.

python onnx_runtime.py FOLDER: reads FOLDER/photos.npy, writes FOLDER/model.onnx and
FOLDER/expected.npz with the logits and probabilities.  Names, operators and conventions are those
of googlenet-9.onnx: inputs that repeat the initializers, Caffe's pools by padding, no heads.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from topology import BVLC, Draw, Floats

MEAN_BGR = np.array([104, 117, 123], np.float32)


class Graph:
    """Nodes and initializers under construction; a node's output is known by its name and _1."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initialisers: list[Any] = []
        self.draw = Draw(3)
        self.channels = {"data_0": 3}

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def parameters(self, name: str, weight: Floats, bias: Floats) -> list[str]:
        """A weight in raw bytes and a bias float by float: the two encodings that there are."""
        names = [f"{name}_w_0", f"{name}_b_0"]
        self.initialisers += [
            numpy_helper.from_array(weight, names[0]),
            helper.make_tensor(names[1], TensorProto.FLOAT, bias.shape, bias.tolist()),
        ]
        return names

    def conv(self, x: str, name: str, filters: int, kernel: int, stride: int = 1) -> str:
        inputs = self.channels[x]
        weight = self.draw.weight((filters, inputs, kernel, kernel), inputs * kernel * kernel)
        names = self.parameters(name, weight, self.draw.around(0.2, 0.3, filters))
        sums = self.add(
            "Conv", [x, *names], f"{name}_1",
            kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[kernel // 2] * 4,
        )  # fmt: skip
        output = self.add("Relu", [sums], f"{name}_2")
        self.channels[output] = filters
        return output

    def pool(self, x: str, name: str, stride: int) -> str:
        """3×3; with stride 2 padded at the bottom and the right, which is Caffe's ceiling."""
        pads = [0, 0, 1, 1] if stride == 2 else [1, 1, 1, 1]
        output = self.add(
            "MaxPool", [x], f"{name}_1", kernel_shape=[3, 3], strides=[stride] * 2, pads=pads
        )
        self.channels[output] = self.channels[x]
        return output

    def lrn(self, x: str, name: str) -> str:
        output = self.add("LRN", [x], f"{name}_1", size=5, alpha=1e-4, beta=0.75, bias=1.0)
        self.channels[output] = self.channels[x]
        return output

    def module(self, x: str, name: str) -> str:
        c1, r3, c3, r5, c5, proj = BVLC[name]
        at = f"inception_{name}"
        branches = [
            self.conv(x, f"{at}/1x1", c1, 1),
            self.conv(self.conv(x, f"{at}/3x3_reduce", r3, 1), f"{at}/3x3", c3, 3),
            self.conv(self.conv(x, f"{at}/5x5_reduce", r5, 1), f"{at}/5x5", c5, 5),
            self.conv(self.pool(x, f"{at}/pool", 1), f"{at}/pool_proj", proj, 1),
        ]
        output = self.add("Concat", branches, f"{at}/output_1", axis=1)
        self.channels[output] = c1 + c3 + c5 + proj
        return output

    def build(self) -> None:
        x = self.pool(self.conv("data_0", "conv1/7x7_s2", 64, 7, 2), "pool1/3x3_s2", 2)
        x = self.conv(self.lrn(x, "pool1/norm1"), "conv2/3x3_reduce", 64, 1)
        x = self.lrn(self.conv(x, "conv2/3x3", 192, 3), "conv2/norm2")
        x = self.pool(x, "pool2/3x3_s2", 2)
        for name in BVLC:
            if name in ("4a", "5a"):
                x = self.pool(x, {"4a": "pool3/3x3_s2", "5a": "pool4/3x3_s2"}[name], 2)
            x = self.module(x, name)
        x = self.add("AveragePool", [x], "pool5/7x7_s1_1", kernel_shape=[7, 7], strides=[1, 1])
        x = self.add("Dropout", [x], "pool5/7x7_s1_2", ratio=0.4)
        self.initialisers.append(numpy_helper.from_array(np.array([1, 1024]), "OC2_DUMMY_1"))
        x = self.add("Reshape", [x, "OC2_DUMMY_1"], "OC2_DUMMY_0")
        weight, bias = self.draw.weight((1000, 1024), 1024, 0.04), self.draw.around(0, 0.5, 1000)
        names = self.parameters("loss3/classifier", weight, bias)
        x = self.add("Gemm", [x, *names], "loss3/classifier_1", transB=1)
        self.add("Softmax", [x], "prob_1")

    def model(self) -> Any:
        """Opset 9 in a file of version 3, which lists the initializers among the inputs."""
        photo = helper.make_tensor_value_info("data_0", TensorProto.FLOAT, [1, 3, 224, 224])
        repeated = [
            helper.make_tensor_value_info(each.name, each.data_type, each.dims)
            for each in self.initialisers
        ]
        outputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1000])
            for name in ("prob_1", "loss3/classifier_1")
        ]
        graph = helper.make_graph(
            self.nodes, "inceptionv1", [photo, *repeated], outputs, self.initialisers
        )
        opset = helper.make_opsetid("", 9)
        return helper.make_model(graph, opset_imports=[opset], ir_version=3)


def main(folder: Path) -> None:
    graph = Graph()
    graph.build()
    model = graph.model()
    onnx.checker.check_model(model)
    onnx.save(model, folder / "model.onnx")

    photos = np.load(folder / "photos.npy")[..., ::-1].astype(np.float32) - MEAN_BGR
    session = onnxruntime.InferenceSession(
        folder / "model.onnx", providers=["CPUExecutionProvider"]
    )
    names = ["loss3/classifier_1", "prob_1"]
    outputs = [
        session.run(names, {"data_0": photo[None].transpose(0, 3, 1, 2)}) for photo in photos
    ]
    logits, probabilities = (np.concatenate(each) for each in zip(*outputs, strict=True))
    np.savez(folder / "expected.npz", logits_main=logits, probabilities_main=probabilities)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
