"""Runs an ONNX file with OpenCV.

python onnx_opencv.py FOLDER: reads FOLDER/inputs.npy (N, C, H, W) and FOLDER/model.onnx, which
takes one image at a time, writes FOLDER/probabilities.npy.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np


def main(folder: Path) -> None:
    network = cv2.dnn.readNetFromONNX(str(folder / "model.onnx"))
    found = []
    for image in np.load(folder / "inputs.npy"):
        network.setInput(image[None])
        found.append(network.forward("probabilities")[0])
    np.save(folder / "probabilities.npy", np.array(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
