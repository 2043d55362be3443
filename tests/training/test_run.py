"""A run from its settings to its folder: files, the model, the same bits again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from googlenet import Classifier
from googlenet.evaluation.accuracy import score
from googlenet.training.run import train
from googlenet.training.settings import Settings
from googlenet.training.setup import Run
from tests.training.small_runs import QUICK, log, prepared, same_bits, settings, tensors


def test_files_of_a_run(done: Run) -> None:
    names = {path.name for path in done.folder.path.iterdir()} - {"tensorboard"}
    assert names == {
        "settings.json", "log.csv", "log.jsonl", "doubts.csv",
        "last.safetensors", "best.safetensors", "checkpoint.safetensors", ".lock",
    }  # fmt: skip
    assert Settings.from_json(done.folder.read_settings()) == done.settings


def test_model_says_how_good_it_is_and_where_it_comes_from(done: Run, data: Path) -> None:
    model = Classifier.load(done.folder.path)
    assert [c.name for c in model.classes] == ["blue", "green", "red"]
    assert (model.variant, model.network.aux_heads) == ("bn", ())
    assert model.provenance["data_fingerprint"] == done.data.fingerprint()
    assert (model.provenance["epochs"], model.provenance["weights"]) == (2, None)
    assert str(data) not in json.dumps(model.header.to_json())
    found = score(model, done.data.val)
    metrics = model.metrics["1"]
    assert (metrics["top1_error"], metrics["top5_error"]) == (found.error(1), found.error(5))
    assert metrics["images"] == 6
    assert set(metrics["intervals"]) == {
        "top1_error", "top5_error", "macro_f1", "balanced_accuracy",
    }  # fmt: skip
    assert log(done)[-1]["top1_accuracy"] == pytest.approx(100 - found.error(1))


def test_same_settings_same_bits(done: Run, data: Path, tmp_path: Path) -> None:
    again, _ = prepared(settings(data, workers=3), tmp_path / "again")
    train(again)
    assert log(again) == log(done)
    for name, theirs in tensors(done).items():
        assert same_bits(tensors(again)[name], theirs), name


def test_global_random_state_is_left_alone(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.get_rng_state()
    run, _ = prepared(settings(data, recipe=QUICK.with_settings({"epochs": 1})), tmp_path / "run")
    train(run)
    assert torch.equal(torch.get_rng_state(), expected)


def test_finished_run_that_is_resumed_is_evaluated_again(done: Run, data: Path) -> None:
    before = tensors(done)
    resumed, said = prepared(settings(data), done.folder.path, resume=True)
    assert "all 2 epochs are done: repeating the final evaluation" in said.getvalue()
    trained = train(resumed, views=(1, 10))
    assert set(trained.classifier.metrics) == {"1", "10"}
    assert same_bits(tensors(resumed)["last.safetensors"], before["last.safetensors"])
