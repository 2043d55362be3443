"""Images whose label a model doubts."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from googlenet import Classifier
from googlenet.data.dataset import Samples
from googlenet.data.labels import Class
from googlenet.evaluation.label_issues import (
    find_label_issues,
    label_issues,
    sample_of,
    strongest_first,
    write_label_issues,
)
from googlenet.evaluation.scores import Scores
from googlenet.training.run import train
from tests.fixtures import COLOURS, photo_folder, pixels, tinted, tiny_classifier
from tests.training.small_runs import QUICK, prepared, settings

CLASSES = (Class("a", "first"), Class("b", "second"), Class("c", "third"))
PHOTOS = Samples(tuple(Path(f"{n}.png") for n in range(6)), (0, 1, 2, 0, 1, 2))


def scores() -> Scores:
    """Of four of the images, two of which the model would call otherwise."""
    probabilities = torch.tensor(
        [[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.05, 0.9, 0.05], [0.1, 0.8, 0.1]], dtype=torch.float64
    )
    return Scores(probabilities, torch.tensor([0, 1, 2, 1]), (0, 1, 2, 4))


def test_doubts_are_the_wrong_answers_the_surest_first() -> None:
    found = label_issues(scores(), PHOTOS, CLASSES, "val")
    assert [(d.index, d.path, d.label, d.answer) for d in found] == [
        (2, "2.png", "c", "b"),
        (1, "1.png", "b", "a"),
    ]
    assert [d.strength for d in found] == pytest.approx([0.85, 0.1])


def test_csv_has_a_row_a_doubt(tmp_path: Path) -> None:
    write_label_issues(tmp_path / "doubts.csv", label_issues(scores(), PHOTOS, CLASSES, "val"))
    with (tmp_path / "doubts.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {
        "part": "val", "path": "2.png", "label": "c", "answer": "b",
        "probability": "0.9000", "label_probability": "0.0500",
    }  # fmt: skip
    assert len(rows) == 2


@pytest.mark.parametrize(("photos", "most"), [(6, 9), (6, 6), (6, 4), (6, 0)])
def test_images_to_look_through_are_chosen_by_the_seed(photos: int, most: int) -> None:
    chosen = [sample_of(PHOTOS, most, seed) for seed in (0, 0, 1, 2, 3)]
    assert len(chosen[0]) == min(photos, most) == len(set(chosen[0]))
    assert chosen[0] == chosen[1]
    assert (len({tuple(c) for c in chosen}) > 1) is (0 < most < photos)


def test_chosen_images_keep_their_place(tmp_path: Path) -> None:
    """Images 1 and 3 of four, the first of which cannot be read."""
    classifier: Classifier = tiny_classifier()
    good = [pixels(tinted(colour, n)) for n, colour in enumerate([*COLOURS, "red"])]
    samples = Samples((good[0], tmp_path / "missing.png", *good[2:]), (0, 1, 2, 0))
    answers = [next(classifier.predict([photo])).label for photo in good]
    wrong = [n for n in (2, 3) if answers[n] != classifier.classes[samples.labels[n]].name]
    calls: list[None] = []
    found = find_label_issues(
        classifier, samples, "train", [1, 2, 3], 1, lambda: calls.append(None)
    )
    assert sorted(d.index for d in found) == wrong
    assert wrong
    assert len(calls) == 3


def test_run_finds_flipped_labels(tmp_path: Path) -> None:
    """Colors told apart almost surely, two images of each part called another color."""
    photo_folder(tmp_path, {f"{part}/{c}": n for part, n in (("train", 16), ("val", 6))
                            for c in ("red", "blue")})  # fmt: skip
    wrong = set()
    for part in ("train", "val"):
        for colour, other in (("red", "blue"), ("blue", "red")):
            moved = tmp_path / part / other / f"wrong-{colour}.png"
            (tmp_path / part / colour / "0.png").rename(moved)
            wrong.add(str(moved))
    recipe = QUICK.with_settings({"epochs": 6, "batch": 8, "dropout": 0, "weight_average": "none"})
    run, said = prepared(settings(tmp_path, recipe=recipe), tmp_path / "run")
    trained = train(run, label_check_images=100)
    assert "checking 32 training images for label errors" in said.getvalue()
    assert wrong <= {d.path for d in trained.label_issues[:8]}
    assert list(trained.label_issues) == strongest_first(trained.label_issues)
    assert {d.part for d in trained.label_issues} == {"train", "val"}
    assert (tmp_path / "run" / "doubts.csv").read_text().count("\n") == 1 + len(
        trained.label_issues
    )


def test_nothing_to_doubt(tmp_path: Path) -> None:
    sure = Scores(torch.eye(3, dtype=torch.float64), torch.arange(3), (0, 1, 2))
    assert label_issues(sure, PHOTOS, CLASSES, "val") == []
    write_label_issues(tmp_path / "doubts.csv", [])
    assert (tmp_path / "doubts.csv").read_text() == (
        "part,path,label,answer,probability,label_probability\n"
    )
