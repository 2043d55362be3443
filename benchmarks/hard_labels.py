"""Does it pay?  Training on labels that are hard, with and without what is made for them.

    python benchmarks/hard_labels.py imbalance [--seeds 3]
    python benchmarks/hard_labels.py noise [--seeds 3]
    python benchmarks/hard_labels.py several [--seeds 3]

The data are made of the built-in digits: images as PNG files and a CSV, in a folder that is
removed afterwards.  Prints a Markdown table for docs/labels.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

import numpy as np
from PIL import Image

from googlenet import Classifier
from googlenet.data.csv_file import read_csv
from googlenet.data.dataset import DataSet, Samples
from googlenet.data.digits import read_digits
from googlenet.evaluation.accuracy import score
from googlenet.evaluation.details import class_metrics

SMALL = ("--size=32", "--width=0.25", "--no-mirror", "--set=crop_scale=0.6,1", "--precision=fp32")
FLIPPED = 0.05  # of the labels of the noisy set
RATIO = 50  # between the largest and the smallest class of the imbalanced set


def write_csv(folder: Path, data: DataSet, train: Sequence[int], labels: Sequence[str]) -> Path:
    """The chosen training images with these labels, and all validation images with theirs."""
    rows = [(data.train.sources[i], label, "train") for i, label in zip(train, labels, strict=True)]
    rows += [
        (source, data.classes[label].id, "val")
        for source, label in zip(data.val.sources, data.val.labels, strict=True)
    ]
    table = folder / "labels.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "label", "split"])
        for number, (pixels, label, part) in enumerate(rows):
            Image.fromarray(pixels).save(folder / f"{number}.png")
            writer.writerow([f"{number}.png", label, part])
    return table


def train(table: Path, out: Path, *options: str) -> dict[str, float]:
    """What `googlenet train` says of the run."""
    command = ["-m", "googlenet", "train", str(table), "--out", str(out), *SMALL, *options]
    done = subprocess.run(
        [sys.executable, *command, "--json"], check=True, stdout=subprocess.PIPE, text=True
    )
    return dict(json.loads(done.stdout))


def long_tail(samples: Samples, classes: int) -> list[int]:
    """Indices such that class k keeps RATIO ** (−k / (classes − 1)) of its images."""
    kept = []
    for k in range(classes):
        members = [i for i, label in enumerate(samples.labels) if label == k]
        kept += members[: max(1, round(len(members) * RATIO ** (-k / (classes - 1))))]
    return kept


def imbalance(seeds: int) -> None:
    print("| `--balance` | seed | top-1 accuracy | balanced accuracy | of the five rarest |")
    print("|---|---|---|---|---|")
    for balance in ("none", "weights", "sampling"):
        found = []
        for seed in range(seeds):
            data = read_digits(seed)
            kept = long_tail(data.train, len(data.classes))
            labels = [data.classes[data.train.labels[i]].id for i in kept]
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                table = write_csv(folder, data, kept, labels)
                options = ("--epochs=40", f"--seed={seed}", f"--balance={balance}")
                train(table, folder / "run", *options)
                scores = score(Classifier.load(folder / "run"), read_csv(table, seed).val)
            rare = [i for i, label in enumerate(scores.labels.tolist()) if label >= 5]
            few = type(scores)(scores.probabilities[rare], scores.labels[rare], tuple(rare))
            figures = (
                100 - scores.error(1),
                100 * class_metrics(scores).balanced_accuracy,
                100 * class_metrics(few).balanced_accuracy,
            )
            found.append(figures)
            print(f"| {balance} | {seed} | " + " | ".join(f"{f:.2f}" for f in figures) + " |")
        means = [mean(column) for column in zip(*found, strict=True)]
        print(f"| **{balance}** | **mean** | " + " | ".join(f"**{m:.2f}**" for m in means) + " |")


def flipped(
    rng: np.random.Generator, labels: Sequence[int], classes: int
) -> tuple[list[int], set[int]]:
    """The labels with FLIPPED of them another class, and which."""
    changed = rng.permutation(len(labels))[: round(FLIPPED * len(labels))].tolist()
    found = list(labels)
    for i in changed:
        found[i] = int((found[i] + rng.integers(1, classes)) % classes)
    return found, set(changed)


def noise(seeds: int) -> None:
    print("| seed | split | images | wrong labels | precision | precision, first 20 |")
    print("|---|---|---|---|---|---|")
    found: dict[str, list[tuple[float, float]]] = {"train": [], "val": []}
    for seed in range(seeds):
        data, rng = read_digits(seed), np.random.default_rng(seed)
        train_labels, wrong_train = flipped(rng, data.train.labels, 10)
        val_labels, wrong_val = flipped(rng, data.val.labels, 10)
        noisy = replace(data, val=replace(data.val, labels=tuple(val_labels)))
        everything = list(range(len(data.train)))
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            names = [data.classes[label].id for label in train_labels]
            table = write_csv(folder, noisy, everything, names)
            train(table, folder / "run", "--epochs=20", f"--seed={seed}")
            with (folder / "run" / "doubts.csv").open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        # In the folder the validation images are numbered after those of training.
        after = len(everything)
        for part, wrong, first in (("train", wrong_train, 0), ("val", wrong_val, after)):
            doubted = [int(Path(r["path"]).stem) - first for r in rows if r["part"] == part]
            k = len(wrong)
            right = [100 * mean(i in wrong for i in doubted[:n]) for n in (k, 20)]
            found[part].append((right[0], right[1]))
            photos = len(noisy.train if part == "train" else noisy.val)
            print(f"| {seed} | {part} | {photos} | {k} | {right[0]:.1f} % | {right[1]:.1f} % |")
    for part, figures in found.items():
        first, few = (mean(column) for column in zip(*figures, strict=True))
        print(f"| **mean** | **{part}** | | | **{first:.1f} %** | **{few:.1f} %** |")


def mosaics(samples: Samples, rng: np.random.Generator) -> tuple[list[Image.Image], list[str]]:
    """As many images of 2×2 cells as there are scans, each cell a scan or, by half, empty."""
    photos, labels = [], []
    for _ in range(len(samples)):
        photo, has = np.zeros((2, 2, 8, 8), np.uint8), set()
        for cell in np.ndindex(2, 2):
            if rng.random() < 0.5:
                index = int(rng.integers(len(samples)))
                photo[cell] = samples.sources[index]
                has.add(samples.labels[index])
        photos.append(Image.fromarray(photo.transpose(0, 2, 1, 3).reshape(16, 16)))
        labels.append("|".join(map(str, sorted(has))))
    return photos, labels


def several(seeds: int) -> None:
    print("| `--balance` | seed | mAP | micro-F1 | macro-F1 | all labels right |")
    print("|---|---|---|---|---|---|")
    names = ("mean_average_precision", "micro_f1", "macro_f1", "exact_match")
    for balance in ("none", "weights"):
        found = []
        for seed in range(seeds):
            data, rng = read_digits(seed), np.random.default_rng(seed)
            with tempfile.TemporaryDirectory() as temporary:
                folder, rows = Path(temporary), ["path,label,split"]
                for part, samples in (("train", data.train), ("val", data.val)):
                    for photo, label in zip(*mosaics(samples, rng), strict=True):
                        photo.save(folder / f"{len(rows)}.png")
                        rows.append(f"{len(rows)}.png,{label},{part}")
                table = folder / "labels.csv"
                table.write_text("\n".join(rows) + "\n", encoding="utf-8")
                options = ("--epochs=30", f"--seed={seed}", f"--balance={balance}")
                says = train(table, folder / "run", *options)
            figures = [says[name] for name in names]
            found.append(figures)
            print(f"| {balance} | {seed} | " + " | ".join(f"{f:.2f}" for f in figures) + " |")
        means = [mean(column) for column in zip(*found, strict=True)]
        print(f"| **{balance}** | **mean** | " + " | ".join(f"**{m:.2f}**" for m in means) + " |")


EXPERIMENTS = {"imbalance": imbalance, "noise": noise, "several": several}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    EXPERIMENTS[arguments.experiment](arguments.seeds)
