"""A run from its settings to its folder: files, resuming, fine-tuning."""

from __future__ import annotations

import csv
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from googlenet.classifier import Classifier
from googlenet.data.dataset import DataError
from googlenet.errors import GoogLeNetError, UsageError
from googlenet.evaluation.accuracy import score
from googlenet.training.run import Interrupted, Run, train
from googlenet.training.settings import Settings
from tests.fixtures import photo_folder, slow
from tests.training.small_runs import QUICK, prepared, same_bits, settings

VARYING = {"seconds", "images_per_second", "data_wait"}  # a resumed run takes another time


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten photos to train on, in three steps an epoch, and six to validate on."""
    parts = {"train/red": 4, "train/green": 3, "train/blue": 3}
    parts |= {f"val/{colour}": 2 for colour in ("red", "green", "blue")}
    return photo_folder(tmp_path_factory.mktemp("data"), parts)


@pytest.fixture(scope="module")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The undisturbed run of two epochs."""
    run, _ = prepared(settings(data), tmp_path_factory.mktemp("runs") / "straight")
    train(run)
    return run


def tensors(run: Run) -> dict[str, dict[str, torch.Tensor]]:
    """Every tensor of the run's models and checkpoint."""
    return {p.name: load_file(p) for p in (run.folder.last, run.folder.best, run.folder.checkpoint)}


def log(run: Run) -> list[dict[str, float]]:
    lines = (run.folder.path / "log.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in VARYING} for line in lines]


def test_files_of_a_run(done: Run) -> None:
    names = {path.name for path in done.folder.path.iterdir()} - {"tensorboard"}
    assert names == {
        "settings.json", "log.csv", "log.jsonl", "doubts.csv",
        "last.safetensors", "best.safetensors", "checkpoint.safetensors", ".lock",
    }  # fmt: skip
    assert Settings.from_json(done.folder.read_settings()) == done.settings


def test_log_has_a_row_an_epoch(done: Run) -> None:
    rows = log(done)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert {
        "learning_rate", "loss_main", "loss_4a", "loss_4d", "train_accuracy", "val_loss",
        "top1_accuracy", "top5_accuracy",
    } < set(rows[0])  # fmt: skip
    with (done.folder.path / "log.csv").open(newline="") as file:
        assert [float(row["loss_main"]) for row in csv.DictReader(file)] == [
            row["loss_main"] for row in rows
        ]


def test_model_says_how_good_it_is_and_where_it_comes_from(done: Run, data: Path) -> None:
    model = Classifier.load(done.folder.path)
    assert [c.name for c in model.classes] == ["blue", "green", "red"]
    assert (model.variant, model.network.heads) == ("bn", ())
    assert model.provenance["data_fingerprint"] == done.data.fingerprint()
    assert (model.provenance["epochs"], model.provenance["weights"]) == (2, None)
    assert str(data) not in json.dumps(model.header())
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


def interrupt_at(run: Run, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a real SIGINT arrive during that step of the run."""
    learn = run.trainer.train_step

    def train_step(batch: Any) -> None:
        learn(batch)
        if run.trainer.step + 1 == step:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(run.trainer, "train_step", train_step)


# Within an epoch, at its end, after, at the run's.
@pytest.mark.parametrize("step", [slow(2), slow(3), 4, 6])
def test_interrupted_and_resumed_is_undisturbed(
    step: int, done: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, out = settings(data), tmp_path / "run"
    run, _ = prepared(options, out)
    interrupt_at(run, step, monkeypatch)
    with pytest.raises(Interrupted, match=rf"stopped at step {step} of 6, .* --out {out} --resume"):
        train(run)
    resumed, said = prepared(replace(options, workers=3), out, resume=True)
    assert f"going on at step {step} " in said.getvalue()
    train(resumed)
    assert log(resumed) == log(done)
    for name, theirs in tensors(done).items():
        assert same_bits(tensors(resumed)[name], theirs), name


def test_crash_before_the_first_checkpoint_begins_again(
    done: Run, data: Path, tmp_path: Path
) -> None:
    prepared(settings(data), tmp_path / "run")
    resumed, _ = prepared(settings(data), tmp_path / "run", resume=True)
    train(resumed)
    assert log(resumed) == log(done)


def test_finished_run_that_is_resumed_is_evaluated_again(done: Run, data: Path) -> None:
    before = tensors(done)
    resumed, said = prepared(settings(data), done.folder.path, resume=True)
    assert "all 2 epochs are done: what follows them is done again" in said.getvalue()
    trained = train(resumed, views=(1, 10))
    assert set(trained.classifier.metrics) == {"1", "10"}
    assert same_bits(tensors(resumed)["last.safetensors"], before["last.safetensors"])


def test_second_run_does_not_overwrite_the_first(done: Run, data: Path) -> None:
    with pytest.raises(UsageError, match="--out must be a new or empty folder"):
        prepared(settings(data), done.folder.path)


def test_resuming_with_other_photos(done: Run, data: Path, tmp_path: Path) -> None:
    other = photo_folder(tmp_path / "data", {f"train/{c}": 5 for c in ("red", "green", "blue")})
    with pytest.raises(UsageError, match="the run began with other photos than these"):
        prepared(settings(other), done.folder.path, resume=True)


def test_data_may_move_between_sessions(done: Run, data: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    moved.symlink_to(data)
    resumed, _ = prepared(settings(moved), done.folder.path, resume=True)
    assert resumed.trainer.finished


def test_data_without_validation(tmp_path: Path) -> None:
    only = photo_folder(tmp_path, {"val/red": 2, "val/blue": 2})
    with pytest.raises(DataError, match="training needs photos to train and to validate on"):
        prepared(settings(only), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_csv_of_photos_with_a_bad_one(data: Path, tmp_path: Path) -> None:
    rows = [f"{p},{p.parent.name},{p.parent.parent.name}" for p in sorted(data.rglob("*.png"))]
    bad = tmp_path / "bad.jpg"
    bad.write_text("no photo")
    rows += [f"{bad},red,train", "missing.png,red,val"]
    table = tmp_path / "labels.csv"
    table.write_text("path,label,split\n" + "\n".join(rows) + "\n")
    run, said = prepared(settings(table), tmp_path / "run")
    trained = train(run)
    assert len(trained.scores[1]) == 6
    assert list(run.trainer.bad) == [str(bad)]
    assert said.getvalue().count("left out: ") == 2  # each once, of training and of validation
    assert f"left out: {bad}: cannot be read as an image" in said.getvalue()


def test_fine_tuning_tells_of_every_tensor(done: Run, data: Path, tmp_path: Path) -> None:
    """Other classes: the last layers begin anew, the rest goes on from the model's weights."""
    two = photo_folder(tmp_path / "data", {"red": 5, "blue": 5})
    recipe = QUICK.with_settings({"epochs": 1, "freeze": "inception_4e", "learning_rate": 0.01})
    weights = str(done.folder.last)
    run, said = prepared(settings(two, recipe=recipe, weights=weights), tmp_path / "run")
    source = load_file(done.folder.last)
    assert f"{weights}: kept {len(source) - 2} tensors" in said.getvalue()
    assert "dropped classifier.weight (other classes), classifier.bias" in said.getvalue()
    assert "re-initialised aux_4a." in said.getvalue()
    model = train(run).classifier
    assert model.provenance["weights"]["recipe"] == "modern"  # the source's own provenance
    for name, tensor in model.network.state_dict().items():
        stage = name.split(".")[0]
        if stage in run.trainer.frozen:
            assert torch.equal(tensor, source[name]), name
    assert not torch.equal(model.network.get_parameter("inception_5a.1x1.conv.weight"),
                           source["inception_5a.1x1.conv.weight"])  # fmt: skip


def test_fine_tuning_from_what_is_no_model(data: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    for name, error in (("notes.txt", GoogLeNetError), ("missing.safetensors", UsageError)):
        with pytest.raises(error, match=name):
            prepared(settings(data, weights=str(tmp_path / name)), tmp_path / "run")


def test_stuck_heads_are_told_once(data: Path, tmp_path: Path) -> None:
    """At a rate of zero nothing is ever learnt; the warning waits for the warm-up's end."""
    still = QUICK.with_settings({"epochs": 5, "learning_rate": 0, "warmup": 0, "variant": "paper",
                                 "label_smoothing": 0, "area": "1,1"})  # fmt: skip
    run, said = prepared(settings(data, recipe=still), tmp_path / "run")
    train(run)
    assert said.getvalue().count("warning: head main has learnt nothing") == 1
    assert "--variant bn" in said.getvalue()
