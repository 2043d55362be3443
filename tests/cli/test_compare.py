"""`googlenet compare`: a matrix of CKA."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from googlenet.insight.cka import linear_cka
from googlenet.insight.compare import compare
from tests.cli.conftest import Trained, command
from tests.fixtures import noise, tiny_classifier


@pytest.fixture
def other(tmp_path: Path) -> Path:
    path = tmp_path / "other.safetensors"
    tiny_classifier(variant="paper", seed=5).save(path)
    return path


def test_a_matrix_and_a_picture(trained: Trained, other: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(trained.data, data)
    (data / "val" / "red" / "bad.png").write_text("no photo")
    out = tmp_path / "out"
    answer = command("compare", trained.run, other, "--data", data, "--out", out, "--json")
    assert answer.code == 0, answer.err
    assert answer.err == "1 of 7 images could not be read\n"
    found = answer.json()
    assert (found["images"], found["unreadable"]) == (6, 1)
    assert len(found["cka"]) == len(found["layers_a"]) == 12
    with (out / "cka.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["layer"] for row in rows] == found["layers_a"]
    assert float(rows[3]["inception_4a"]) == pytest.approx(
        found["cka"][3][found["layers_b"].index("inception_4a")], abs=1e-6
    )
    with Image.open(found["picture"]) as picture:
        assert picture.width > 400


def test_a_model_is_like_itself(trained: Trained, tmp_path: Path) -> None:
    options = ["--data", trained.data, "--split", "train", "--layers", "conv1,4b.3x3:pre,5b"]
    answer = command("compare", trained.run, trained.run, *options, "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert [line.split() for line in lines[:-1]] == [
        ["conv1", "1.000"], ["inception_4b.3x3:pre", "1.000"], ["inception_5b", "1.000"],
    ]  # fmt: skip


def test_it_tends_to_the_plain_formula_on_all_images() -> None:
    """Of a thin layer, whose CKA of all images at once has hardly any bias."""
    a, b = tiny_classifier(seed=1), tiny_classifier(variant="torchvision", seed=2)
    photos = [noise(40, 40, seed) for seed in range(90)]
    layers = ["classifier"]
    found = compare(a, b, photos, layers, layers)
    logits = [
        classifier.outputs([classifier.load_input(photo) for photo in photos]).logits
        for classifier in (a, b)
    ]
    assert found.images == 90
    assert found.cka[0, 0] == pytest.approx(linear_cka(*logits), abs=0.05)


def test_layers_in_any_order_have_their_own_rows() -> None:
    classifier = tiny_classifier()
    photos = [noise(40, 40, seed) for seed in range(8)]
    forward = compare(classifier, classifier, photos, ["conv2", "inception_5b"], ["conv2"])
    backward = compare(classifier, classifier, photos, ["inception_5b", "conv2"], ["conv2"])
    np.testing.assert_allclose(forward.cka, backward.cka[::-1], rtol=1e-6)
    assert forward.cka[0, 0] == pytest.approx(1)
    assert not any(p.grad is not None for p in classifier.network.parameters())
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--layers", "conv1,4x"], 2, "layer must be one of the network's"),
        (["--data", "none"], 2, "none"),
        (["--images", "3"], 1, "CKA needs at least 4 images that can be read, got 3"),
    ],
)
def test_refusals_are_one_sentence(
    options: list[str], code: int, message: str, trained: Trained, tmp_path: Path
) -> None:
    data = [] if "--data" in options else ["--data", trained.data]
    answer = command(
        "compare", trained.run, trained.run, *data, *options, "--out", tmp_path / "out"
    )
    assert (answer.code, answer.out, answer.err.count("\n")) == (code, "", 1), answer.err
    assert message in answer.err
