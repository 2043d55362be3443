"""Exports our network with PyTorch's exporter, and runs it with ONNX Runtime.

python onnx_export.py FOLDER PACKAGES: reads FOLDER/photos.npy, writes FOLDER/model.onnx and
FOLDER/outputs.npz: the operators in it, our logits and ONNX Runtime's.  PACKAGES is the folder in
which the onnx packages are installed.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import torch

from googlenet import GoogLeNet


def main(folder: Path, packages: str) -> None:
    sys.path.append(packages)
    import onnx
    import onnxruntime

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it would like torchvision
    photos = torch.from_numpy(np.load(folder / "photos.npy")).permute(0, 3, 1, 2).float() - 117
    network = GoogLeNet("paper", classes=10, generator=torch.Generator().manual_seed(0)).eval()
    torch.onnx.export(network, (photos,), folder / "model.onnx", dynamo=True, verbose=False)

    graph = onnx.load(folder / "model.onnx").graph
    operators = sorted({f"{node.domain}::{node.op_type}" for node in graph.node})
    session = onnxruntime.InferenceSession(
        folder / "model.onnx", providers=["CPUExecutionProvider"]
    )
    (theirs,) = session.run(None, {session.get_inputs()[0].name: photos.numpy()})
    with torch.inference_mode():
        ours = network(photos).numpy()
    np.savez(folder / "outputs.npz", operators=operators, ours=ours, theirs=theirs)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
