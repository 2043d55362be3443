"""Does it pay?  Training on labels that are hard, with and without what is made for them.

    python benchmarks/hard_labels.py imbalance [--seeds 3]

The data are made of the built-in digits: photos as PNG files and a CSV, in a folder that is
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
from pathlib import Path
from statistics import mean

from PIL import Image

from googlenet.classifier import Classifier
from googlenet.data.dataset import DataSet, Samples
from googlenet.data.digits import read_digits
from googlenet.data.table_file import read_csv
from googlenet.evaluation.accuracy import score
from googlenet.evaluation.measure import balanced_accuracy

SMALL = ("--size=32", "--width=0.25", "--no-mirror", "--set=area=0.6,1", "--precision=fp32")
RATIO = 50  # between the largest and the smallest class of the imbalanced set


def write_csv(folder: Path, data: DataSet, train: Sequence[int], labels: Sequence[str]) -> Path:
    """The chosen training photos with these labels, and all validation photos with theirs."""
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
    """Indices such that class k keeps RATIO ** (−k / (classes − 1)) of its photos."""
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
            figures = (100 - scores.error(1), balanced_accuracy(scores), balanced_accuracy(few))
            found.append(figures)
            print(f"| {balance} | {seed} | " + " | ".join(f"{f:.2f}" for f in figures) + " |")
        means = [mean(column) for column in zip(*found, strict=True)]
        print(f"| **{balance}** | **mean** | " + " | ".join(f"**{m:.2f}**" for m in means) + " |")


EXPERIMENTS = {"imbalance": imbalance}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    EXPERIMENTS[arguments.experiment](arguments.seeds)
