"""A CSV of Imagenette for models that begin with ImageNet weights.

Those weights have seen every image of Imagenette but its 500 ILSVRC2012_val_* files, whichever
split they lie in.  The CSV takes these out of training and validates on them alone.

    python benchmarks/imagenette_clean.py $GOOGLENET_DATA/imagenette2-160 clean.csv
"""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path


def main(source: Path, target: Path) -> None:
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "label", "split"])
        for photo in sorted(source.glob("*/*/*.JPEG")):
            unseen = photo.name.startswith("ILSVRC2012_val_")
            path = os.path.relpath(photo, target.parent)
            writer.writerow([path, photo.parent.name, "val" if unseen else "train"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
