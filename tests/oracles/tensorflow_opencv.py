"""Runs a frozen TensorFlow graph with OpenCV.

python tensorflow_opencv.py FOLDER: reads FOLDER/photos.npy and FOLDER/plain.pb, writes
FOLDER/expected_opencv.npz.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

CLASSIFIERS = {"4a": "softmax0", "4d": "softmax1", "main": "softmax2"}


def main(folder: Path) -> None:
    photos = np.load(folder / "photos.npy").astype(np.float32) - 117
    network = cv2.dnn.readNetFromTensorflow(str(folder / "plain.pb"))
    network.setInput(photos.transpose(0, 3, 1, 2))
    names = [f"{name}_pre_activation/matmul" for name in CLASSIFIERS.values()]
    outputs = network.forward([*names, *CLASSIFIERS.values()])
    keys = [f"{what}_{at}" for what in ("logits", "probabilities") for at in CLASSIFIERS]
    values = [output.reshape(len(photos), -1) for output in outputs]
    np.savez(folder / "expected_opencv.npz", **dict(zip(keys, values, strict=True)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
