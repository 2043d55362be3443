"""ONNX Runtime on a graph as `network_model` writes it and as `export` rewrites it.

    python benchmarks/onnx_rewrite.py MODEL --calibrate DATA [--images 100] [--repeats 15]

A row per precision: milliseconds of CPU time per image (batch 1, one thread, medians of interleaved
repetitions), and the largest difference of probabilities on the images of --calibrate.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np
import onnxruntime

from googlenet.data.load_data import load_data
from googlenet.export.onnx_graph import network_model
from googlenet.export.onnx_rewrite import rewrite_for_onnxruntime
from googlenet.export.quantize import quantize_onnx
from googlenet.images.view import load_view, to_nchw
from googlenet.load import load_classifier


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--calibrate", required=True)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    classifier = load_classifier(args.model)
    p, samples = classifier.preprocessing, load_data(args.calibrate).train
    sources = samples.sources[:: max(1, len(samples) // args.images)][: args.images]
    photos = to_nchw(np.stack([load_view(source, p) for source in sources]), p)
    plain = network_model(classifier.network, p.size)
    for precision, model in (("fp32", plain), ("int8", quantize_onnx(plain, photos))):
        sessions = [start(each) for each in (model, rewrite_for_onnxruntime(model))]
        times: list[list[float]] = [[], []]
        for repeat in range(args.repeats + 1):
            for session, taken in zip(sessions, times, strict=True):
                began = time.process_time()
                session.run(["probabilities"], {"photos": photos[:1]})
                taken += [1000 * (time.process_time() - began)] * bool(repeat)
        before, after = (
            np.concatenate([s.run(["probabilities"], {"photos": x[None]})[0] for x in photos])
            for s in sessions
        )
        print(
            f"{precision}  plain {median(times[0]):5.1f} ms  rewritten {median(times[1]):5.1f} ms  "
            f"ratio {median(times[0]) / median(times[1]):.2f}  "
            f"largest difference {np.abs(before - after).max():.1e}"
        )


def start(model: object) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(),  # type: ignore[attr-defined]
        options,
        providers=["CPUExecutionProvider"],
    )


if __name__ == "__main__":
    main()
