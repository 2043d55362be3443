"""What local response normalization costs an int8 network in OpenVINO, and what else it could be.

python benchmarks/lrn_int8.py MODEL --calibrate DATA --data DATA [--repeats 9]

MODEL has LRN (the variant `paper`).  Ways:

- `operator`: OpenVINO's own LRN, in float32 between quantized layers. What `export` writes.
- `band, int8`: squares, a banded 1×1 convolution that NNCF quantizes like any other, square roots.
- `band, fp32`: the same, the convolution left in float32.
- `none`: no LRN at all, which computes something else: what could be won at most.

A row a way: the processor's milliseconds for an image (batch 8, one thread, the median of
interleaved repetitions), and of the images of --data, how many have fp32's answer, and how many
right answers were lost and won.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from statistics import median
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

WAYS = ("operator", "band, int8", "band, fp32", "none")
PARTS = ("square", "sum", "sum/WithoutBiases", "root", "fourth", "power")


def without_operator(model: onnx.ModelProto, way: str) -> onnx.ModelProto:
    """The graph with each LRN replaced: x / (k + α/n · Σ x²)^0.75 by squares, a band and roots."""
    nodes = list(model.graph.node)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    del model.graph.node[:]
    at: dict[str, str] = {}  # values that are gone, and what takes their place
    channels = 0
    for node in nodes:
        for i, name in enumerate(node.input):
            node.input[i] = at.get(name, name)
        if node.op_type == "Conv":
            channels = weights[node.input[1]].dims[0]
        if node.op_type != "LRN":
            model.graph.node.append(node)
            continue
        (x,), (y,) = node.input, node.output
        if way == "none":
            at[y] = x
            continue
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        assert given["beta"] == 0.75
        index = np.arange(channels)
        near = np.abs(index[:, None] - index[None]) <= given["size"] // 2
        band = (near * (given["alpha"] / given["size"])).astype(np.float32)[:, :, None, None]
        k = np.full(channels, given["bias"], np.float32)
        for name, values in ((f"{y}.band", band), (f"{y}.k", k)):
            model.graph.initializer.append(numpy_helper.from_array(values, name))
        for operator, inputs, to in (
            ("Mul", [x, x], f"{y}.square"),
            ("Conv", [f"{y}.square", f"{y}.band", f"{y}.k"], f"{y}.sum"),
            ("Sqrt", [f"{y}.sum"], f"{y}.root"),
            ("Sqrt", [f"{y}.root"], f"{y}.fourth"),
            ("Mul", [f"{y}.root", f"{y}.fourth"], f"{y}.power"),
            ("Div", [x, f"{y}.power"], y),
        ):
            model.graph.node.append(helper.make_node(operator, inputs, [to], name=to))
    onnx.checker.check_model(model)
    return model


def quantized(model: onnx.ModelProto, way: str, photos: Any) -> Any:
    from googlenet.export.openvino_model import from_onnx
    from googlenet.export.quantize import quiet_nncf

    found = from_onnx(model)
    with quiet_nncf():
        import nncf

        nncf.set_log_level(logging.ERROR)
        options = {}
        if way == "band, fp32":
            names = {op.get_friendly_name() for op in found.get_ops()}
            left = [name for name in names if name.split(".")[-1] in PARTS and "norm" in name]
            options["ignored_scope"] = nncf.IgnoredScope(names=sorted(left))
        data = nncf.Dataset([photo[None] for photo in photos])
        return nncf.quantize(found, data, subset_size=len(photos), **options)


def running(model: Any) -> Any:
    """A function of images to probabilities, on one thread."""
    import openvino

    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    return lambda x: compiled([x])["probabilities"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("model")
    parser.add_argument("--calibrate", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--calibration-photos", type=int, default=300)
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()

    from googlenet import Classifier
    from googlenet.export.onnx_graph import network_model
    from googlenet.export.openvino_model import from_onnx
    from googlenet.export.parity_images import calibration_crops, decode_images, parity_images
    from googlenet.images.view import to_nchw
    from googlenet.runtime.device import cpu_name

    classifier = Classifier.load(args.model)
    p = classifier.preprocessing
    calibrating = to_nchw(calibration_crops(classifier, args.calibrate, args.calibration_photos), p)
    photos = parity_images(classifier, args.data, False, args.photos)
    found = [(i, classifier.crops(photo)[0]) for i, photo in decode_images(photos, 2, print)]
    labels = np.array([photos.samples.labels[i] for i, _ in found])
    x = to_nchw(np.stack([crop for _, crop in found]), p)

    def answers(run: Any) -> Any:
        return np.concatenate([run(part) for part in np.array_split(x, len(x) // 8)]).argmax(1)

    expected = answers(running(from_onnx(network_model(classifier.network, p.size))))
    runs = {}
    for way in WAYS:
        model = network_model(classifier.network, p.size)
        model = model if way == "operator" else without_operator(model, way)
        runs[way] = running(quantized(model, way, calibrating))
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for run in runs.values():
        run(x[:8])
    for _ in range(args.repeats):
        for way, run in runs.items():
            began = time.process_time()
            run(x[:8])
            times[way].append((time.process_time() - began) / 8 * 1000)
    print(f"{cpu_name()}, load {os.getloadavg()[0]:.1f}, {len(x)} photos of {photos.name}")
    print(
        "| LRN | CPU ms per image | low–high | agreement | regressions | fixes |\n"
        "|---|---|---|---|---|---|"
    )
    for way, run in runs.items():
        now, t = answers(run), times[way]
        lost = int(((expected == labels) & (now != labels)).sum())
        won = int(((expected != labels) & (now == labels)).sum())
        same = int((expected == now).sum())
        print(f"| {way} | {median(t):.1f} | {min(t):.1f}–{max(t):.1f} | {same} | {lost} | {won} |")


if __name__ == "__main__":
    main()
