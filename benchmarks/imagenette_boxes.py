"""Boxes for Imagenette: the 500 photos of ILSVRC 2012's validation set among its photos.

    python benchmarks/imagenette_boxes.py --out boxes.csv

The other photos of Imagenette are ImageNet's training photos, which pretrained weights have seen.
Boxes are those of ILSVRC 2012, scaled from the photos' own sizes to Imagenette's; the splits are
Imagenette's, its validation split as `test`.  GOOGLENET_DATA is the folder of docs/test_data.md.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from googlenet.detection.formats.table import box_table
from googlenet.images.decode import read_header


def lines(path: Path) -> Iterator[tuple[str, list[float]]]:
    """The photo's name and the numbers of each line."""
    for line in path.read_text(encoding="utf-8").splitlines():
        name, *numbers = line.split(",")
        yield Path(name).name, [float(number) for number in numbers]


def rows(data: Path, out: Path) -> Iterator[tuple[object, ...]]:
    folder = data / "ilsvrc2012-val-boxes"
    sizes = dict(lines(folder / "image_sizes.txt"))
    boxes: dict[str, list[list[float]]] = defaultdict(list)
    for name, box in lines(folder / "localization.txt"):
        boxes[name].append(box)
    for split, called in (("train", "train"), ("val", "test")):
        pattern = f"imagenette2-160/{split}/*/ILSVRC2012_val_*.JPEG"
        for photo in sorted(data.glob(pattern)):
            header, (width, height) = read_header(photo), sizes[photo.name]
            scale = [header.width / width, header.height / height] * 2
            for box in boxes[photo.name]:
                sides = [f"{v * s:.2f}" for v, s in zip(box, scale, strict=True)]
                path = os.path.relpath(photo, out.parent)
                yield (path, photo.parent.name, *sides, called)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("boxes.csv"))
    out = parser.parse_args().out.absolute()
    out.write_text(box_table(rows(Path(os.environ["GOOGLENET_DATA"]), out)), encoding="utf-8")


if __name__ == "__main__":
    main()
