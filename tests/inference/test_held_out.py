"""Which images a model is judged by."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from googlenet.data import learned
from googlenet.data.dataset import DataSet
from googlenet.data.learned import LearnedImages
from googlenet.data.load_data import load_data
from googlenet.inference.header import ModelHeader
from googlenet.inference.held_out import choose_held_out, default_split
from tests.fixtures import photo_folder, tiny_classifier


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, DataSet, ModelHeader]:
    """A folder, as it was split for a model, and the model's header."""
    folder = photo_folder(tmp_path / "data", {"red": 10, "green": 10})
    data = load_data(str(folder), 0)
    provenance = {
        "data_fingerprint": data.fingerprint(),
        "seed": 0,
        "split_rule": "image",
        "learned": LearnedImages.of(data.train).to_json(),
    }
    header = replace(tiny_classifier().header, classes=data.classes, provenance=provenance)
    return folder, data, header


def test_own_data_have_a_validation_split(trained: tuple[Path, DataSet, ModelHeader]) -> None:
    _, data, header = trained
    assert default_split(data, header) == "val"
    assert choose_held_out(data, [header], "val") == (data.val, [])


def test_of_a_grown_folder_the_images_that_were_trained_on_are_left_out(
    trained: tuple[Path, DataSet, ModelHeader], tmp_path: Path
) -> None:
    folder, data, header = trained
    grown = shutil.copytree(folder, tmp_path / "grown")
    photo_folder(grown / "new", {"red": 1, "green": 1}, seed=70_000)
    for colour in ("red", "green"):
        (grown / "new" / colour / "0.png").rename(grown / colour / "zz.png")
    shutil.rmtree(grown / "new")
    found = load_data(str(grown), 0)
    assert default_split(found, header) == "all"
    samples, lines = choose_held_out(found, [header], "all")
    assert len(samples) == len(data.val) + 2
    assert lines == [f"{len(data.train)} of these 22 images were trained on and are left out"]
    samples, lines = choose_held_out(found, [header], "all", whole=True)
    assert len(samples) == 22
    assert lines[0].startswith(f"warning: {len(data.train)} of these 22 images were trained on")


def test_where_all_was_trained_on_it_is_said(
    trained: tuple[Path, DataSet, ModelHeader],
) -> None:
    _, data, header = trained
    only = replace(data, val=data.train)
    samples, lines = choose_held_out(only, [header], "val")
    assert samples == data.train
    assert "were trained on: the errors say nothing about new images" in lines[0]


def test_large_record_gives_an_estimate(
    trained: tuple[Path, DataSet, ModelHeader], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, data, header = trained
    monkeypatch.setattr(learned, "MAX_HASHES", 4)
    record = LearnedImages.of(data.train).to_json()
    partial = replace(header, provenance={**header.provenance, "learned": record})
    samples, lines = choose_held_out(data, [partial], "train")
    assert samples == data.train
    count = len(samples)
    assert lines[0].startswith(f"warning: about {count} of these {count} images were trained on")


@pytest.mark.parametrize(
    ("provenance", "rule"),
    [
        ({}, "image"),
        ({"data_fingerprint": "x"}, "order"),  # of a model made before the rule was recorded
        ({"data_fingerprint": "x", "split_rule": "image"}, "image"),
        ({"split_rule": 3}, "image"),
    ],
)
def test_rule_of_a_model_s_split(provenance: dict[str, object], rule: str) -> None:
    header = replace(tiny_classifier().header, provenance=provenance)
    assert header.split_rule == rule
