"""`googlenet train --head-only`: a run like others, its classifier fitted to features."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from googlenet import Classifier
from tests.cli.conftest import SMALL, Answer, Trained, command
from tests.fixtures import photo_folder


@pytest.fixture(scope="module")
def fitted(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    """Other classes than those of the pretrained model, whose layer is therefore dropped."""
    folder = tmp_path_factory.mktemp("head-only")
    parts = {"train/red": 9, "train/blue": 9, "val/red": 5, "val/blue": 5}
    data = photo_folder(folder / "data", parts)
    answer = command("train", data, "--weights", trained.run, "--head-only", "--out",
                     folder / "run", "--json")  # fmt: skip
    assert answer.code == 0, answer.err
    return folder, answer


def test_files_are_those_of_a_run(fitted: tuple[Path, Answer]) -> None:
    folder, answer = fitted
    run, found = folder / "run", answer.json()
    assert found["top1_accuracy"] == 100
    assert found["epochs"] == 1
    for name in ("last.safetensors", "best.safetensors", "checkpoint.safetensors", "log.csv",
                 "report.html", "doubts.csv", "settings.json"):  # fmt: skip
        assert (run / name).is_file(), name
    (row,) = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    assert row["l2_penalty"] > 0
    assert row["train_accuracy"] == 100
    settings = json.loads((run / "settings.json").read_text())
    assert settings["head_only"] is True
    model = Classifier.load(run)
    assert model.provenance["recipe"] == "head-only"
    assert model.calibration is not None
    assert "few to train from scratch" not in answer.err


def test_only_the_classifier_has_changed(fitted: tuple[Path, Answer], trained: Trained) -> None:
    before = Classifier.load(trained.run).network.state_dict()
    for name, tensor in Classifier.load(fitted[0] / "run").network.state_dict().items():
        if not name.startswith("classifier."):
            assert torch.equal(tensor, before[name]), name


def test_the_same_command_makes_the_same_model(
    fitted: tuple[Path, Answer], trained: Trained, tmp_path: Path
) -> None:
    answer = command("train", fitted[0] / "data", "--weights", trained.run, "--head-only",
                     "--out", tmp_path / "again")  # fmt: skip
    assert answer.code == 0, answer.err
    assert "classifier fitted to 18 images, L2 penalty " in answer.out
    one, other = (
        Classifier.load(run).network.state_dict()["classifier.weight"]
        for run in (fitted[0] / "run", tmp_path / "again")
    )
    torch.testing.assert_close(one, other)


def test_it_is_resumed(fitted: tuple[Path, Answer]) -> None:
    answer = command("train", fitted[0] / "data", "--out", fitted[0] / "run", "--resume")
    assert answer.code == 0, answer.err
    assert "repeating the final evaluation" in answer.out


def test_multilabel(trained: Trained, tmp_path: Path) -> None:
    photo_folder(tmp_path, {"red": 8, "blue": 8})
    rows = [
        f"{colour}/{path.name},{labels},{'val' if i > 5 else 'train'}"
        for colour, labels in (("red", "red|warm"), ("blue", "blue"))
        for i, path in enumerate(sorted((tmp_path / colour).iterdir()))
    ]
    table = tmp_path / "labels.csv"
    table.write_text("path,label,split\n" + "\n".join(rows) + "\n")
    answer = command("train", table, "--weights", trained.run, "--head-only", "--out",
                     tmp_path / "run", "--json")  # fmt: skip
    assert answer.code == 0, answer.err
    assert answer.json()["mean_average_precision"] > 60
    assert Classifier.load(tmp_path / "run").multilabel


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--head-only needs --weights, the model that computes the features"),
        (["--epochs", "3"], "--head-only trains no other layers, got --epochs: leave it out"),
        (["--set", "dropout=0.1"], "--head-only trains no other layers, got --set: leave it out"),
        (["--time-limit", "5m"], "got --time-limit: leave it out"),
    ],
)
def test_what_it_refuses(
    trained: Trained, tmp_path: Path, options: list[str], message: str
) -> None:
    out = tmp_path / "run"
    answer = command("train", trained.data, "--head-only", "--out", out, *options)
    assert answer.code == 2
    assert message in answer.err
    assert not out.exists()


def test_few_images_from_scratch_name_the_way(trained: Trained, tmp_path: Path) -> None:
    assert f"googlenet train {trained.data} --weights bvlc" in trained.answer.err
    answer = command("train", trained.data, "--weights", trained.run, "--out", tmp_path / "r",
                     *SMALL[4:])  # fmt: skip
    assert answer.code == 0, answer.err
    assert "few to train from scratch" not in answer.out


def test_more_epochs_name_the_way(trained: Trained) -> None:
    answer = command("train", trained.data, "--out", trained.run, "--resume", "--epochs", "4")
    assert answer.code == 2
    assert (
        f"googlenet train {trained.data} --weights {trained.run} --epochs N --out NEW_RUN"
        in answer.err
    )
