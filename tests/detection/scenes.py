"""Images with bright squares and discs on dark ground, as a CSV file; a small classifier."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from googlenet import Classifier
from googlenet.detection.formats.table import box_table
from tests.fixtures import tiny_classifier


def scene(seed: int) -> tuple[Image.Image, list[tuple[str, tuple[int, int, int, int]]]]:
    """An image of 96×72 pixels with one or two objects, and their boxes."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 40, (72, 96, 3)).astype(np.uint8))
    pen, found = ImageDraw.Draw(image), []
    for half in range(int(rng.integers(1, 3))):
        kind, side = ("square", "disc")[int(rng.integers(2))], int(rng.integers(20, 34))
        x, y = 48 * half + int(rng.integers(2, 46 - side)), int(rng.integers(2, 70 - side))
        box = (x, y, x + side, y + side)
        place = (x, y, x + side - 1, y + side - 1)
        if kind == "square":
            pen.rectangle(place, fill=(230, 60, 60))
        else:
            pen.ellipse(place, fill=(60, 220, 230))
        found.append((kind, box))
    return image, found


def scenes(folder: Path, train: int = 6, val: int = 3) -> Path:
    """The annotated images as a CSV file."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[object, ...]] = []
    for i in range(train + val):
        image, found = scene(i)
        image.save(folder / f"{i}.png")
        split = "train" if i < train else "val"
        rows += [(f"{i}.png", kind, *box, split) for kind, box in found]
    path = folder / "boxes.csv"
    path.write_text(box_table(rows))
    return path


def classifier() -> Classifier:
    """A network of an eighth of the width, drawn, not trained."""
    torch.manual_seed(0)
    return tiny_classifier(3, size=64)


def save_classifier(path: Path) -> Path:
    classifier().save(path)
    return path
