"""Real images from the command line: a few hundred of Imagenette, one epoch, and what follows."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.cli.conftest import command

CLASSES = ("n01440764", "n02979186", "n03417042")  # tench, cassette player, garbage truck


@pytest.mark.slow
def test_train_evaluate_and_predict_real_images(shared_data: Path, tmp_path: Path) -> None:
    root = shared_data / "imagenette2-160"
    table, run = tmp_path / "labels.csv", tmp_path / "run"
    rows = [
        (path, wnid, part)
        for wnid in CLASSES
        for part, count in (("train", 160), ("val", 40))
        for path in sorted((root / part / wnid).glob("*.JPEG"))[:count]
    ]
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    trained = command(
        "train", table, "--out", run, "--size", "64", "--width", "0.25", "--epochs", "3",
        "--batch", "32", "--precision", "fp32", "--json",
    )  # fmt: skip
    assert trained.code == 0, trained.err
    assert trained.json()["top1_accuracy"] > 45  # chance is 33.3
    assert trained.json()["skipped"] == 0
    evaluated = command("evaluate", run, "--data", table, "--views", "1,10,144", "--json")
    one, ten, all_of_them = evaluated.json()["results"]
    assert one["images"] == ten["images"] == all_of_them["images"] == 120
    assert one["top1_error"] == pytest.approx(100 - trained.json()["top1_accuracy"], abs=1e-3)
    photos = root / "val" / CLASSES[0]
    predicted = command("predict", run, photos, "--out", tmp_path / "x.csv")
    assert predicted.code == 0
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 1 + len(list(photos.iterdir()))
