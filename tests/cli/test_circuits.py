"""`googlenet circuits`: a picture and its numbers."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from googlenet import Classifier
from googlenet.insight.circuits import circuit
from tests.cli.conftest import Trained, command
from tests.fixtures import slow, tiny_classifier


def test_the_circuit_into_a_unit(trained: Trained, tmp_path: Path) -> None:
    answer = command("circuits", trained.run, "3b:2", "--out", tmp_path / "c", "--top", 3, "--json")
    assert answer.code == 0, answer.err
    found = answer.json()
    assert found == json.loads((tmp_path / "c" / "inception_3b_2.json").read_text())
    network = Classifier.load(trained.run).network
    expected = circuit(network, "inception_3b", 2, 3)
    assert [level["source"] for level in found["levels"]] == [each.source for each in expected]
    assert found["levels"][0]["connections"] == [e._asdict() for e in expected[0].connections]
    with Image.open(found["picture"]) as picture:
        colors = np.asarray(picture.convert("RGB"), int)
    assert (np.abs(colors[..., 0] - colors[..., 2]) > 60).mean() > 0.005  # red and blue
    lines = command("circuits", trained.run, "conv2:2", "--out", tmp_path / "c").out.splitlines()
    (connection, *_) = circuit(network, "conv2", 2)[0].connections
    assert lines[0].startswith(f"conv2:2 from conv1: {connection.unit} (")


@pytest.mark.slow
def test_units_are_shown(trained: Trained, tmp_path: Path) -> None:
    colors = []
    for number, more in enumerate(([], ["--visualize"])):
        options = ["conv2:1", "--top", 2, "--out", tmp_path / str(number), "--json", *more]
        answer = command("circuits", trained.run, *options)
        assert answer.code == 0, answer.err
        with Image.open(answer.json()["picture"]) as picture:
            pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
        colors.append(len(np.unique(pixels, axis=0)))
    assert colors[1] > 2 * colors[0]  # those of the pictures


@pytest.mark.parametrize("mode", ["RGB", slow("L")])
def test_the_first_filters(tmp_path: Path, mode: str) -> None:
    classifier = tiny_classifier()
    if mode == "L":
        classifier = grayscale()
    model = tmp_path / "m.safetensors"
    classifier.save(model)
    answer = command("circuits", model, "conv1", "--out", tmp_path / "c", "--json")
    assert answer.code == 0, answer.err
    found = answer.json()
    text = (tmp_path / "c" / "conv1.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert [float(row["r2"]) for row in rows] == [each["r2"] for each in found["filters"]]
    assert [each["r2"] for each in found["filters"]] == sorted(
        (each["r2"] for each in found["filters"]), reverse=True
    )
    with Image.open(found["picture"]) as picture:
        assert picture.size[0] > 1000


def grayscale() -> Classifier:
    from dataclasses import replace

    from googlenet.models.registry import build_network

    base = tiny_classifier()
    p = replace(base.preprocessing, channel_order="L", mean=(127.0,), scale=(0.02,))
    network = build_network("bn", 3, size=32, in_channels=1, width=0.05, with_aux_heads=False)
    return Classifier.from_network(network.eval(), base.classes, p)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("inception_4b", "TARGET must be LAYER:UNIT, or conv1 for its filters, got 'inception_4b'"),
        ("4b:9999", "unit must be a whole number from 0 to "),
        ("4b:-1", "unit must be a whole number from 0 to "),
        ("4b:" + 5000 * "9", "unit must be a whole number from 0 to "),
        ("inception4b:1", "(inception_4b"),
        ("pool3:1", "layer must have units of its own"),
    ],
)
def test_refusals_are_one_sentence(
    trained: Trained, tmp_path: Path, target: str, message: str
) -> None:
    answer = command("circuits", trained.run, target, "--out", tmp_path / "c")
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1), answer.err
    assert message in answer.err
    assert not (tmp_path / "c").exists()
