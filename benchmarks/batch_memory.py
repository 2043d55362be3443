"""What `--batch auto` estimates for an image, beside what a step's memory really grows by.

    python benchmarks/batch_memory.py

The process's peak is read from /proc, so this runs on Linux only.  Prints a Markdown table for
docs/labels.md.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from googlenet.data.dataset import Samples
from googlenet.data.loader import TrainingLoader
from googlenet.images.augment import Augmentation
from googlenet.images.preprocess import Preprocessing, resize_size
from googlenet.models.registry import build_network
from googlenet.runtime.device import ComputeDevice
from googlenet.training.batch_size import bytes_per_image, first_readable_image, step
from googlenet.training.loop import Trainer
from googlenet.training.recipes import MODERN

CASES = (("bn", 128, "bf16"), ("paper", 128, "fp32"), ("bn", 224, "fp32"))
BATCHES = (32, 64)  # the peak's growth from one to the other, by their difference


def trainer(variant: str, size: int, precision: str) -> Trainer:
    p = Preprocessing(size=size, resize_size=resize_size(size))
    photos = tuple(np.zeros((size, size, 3), np.uint8) for _ in range(max(BATCHES)))
    samples = Samples(photos, tuple(i % 10 for i in range(len(photos))))
    network = build_network(variant, 10, size=size, generator=torch.Generator().manual_seed(0))
    loader = TrainingLoader(samples, p, Augmentation((), 0))
    recipe = MODERN.with_settings({"variant": variant})
    return Trainer(network, recipe, loader, seed=0, machine=ComputeDevice("cpu", precision))


def peak() -> int:
    """Bytes of memory that the process had at most since its counter was last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def measure(variant: str, size: int, precision: str) -> None:
    t = trainer(variant, size, precision)
    photo = first_readable_image(t)
    estimate = bytes_per_image(t, photo)
    peaks = []
    for batch in BATCHES:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        step(t, photo, batch)
        peaks.append(peak())
    real = (peaks[1] - peaks[0]) / (BATCHES[1] - BATCHES[0])
    print(
        f"| {variant} | {size} | {precision} | {estimate / 1e6:.1f} | {real / 1e6:.1f} "
        f"| {real / estimate:.2f} |"
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    else:
        print(
            "| variant | size | precision | estimate, MB per image | peak, MB per image | ratio |"
        )
        print("|---|---|---|---|---|---|", flush=True)
        for case in CASES:  # each in a process of its own, whose memory is its own
            subprocess.run([sys.executable, __file__, *map(str, case)], check=True)
