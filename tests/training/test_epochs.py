"""The epochs of a run: its log, Ctrl-C, bad images, heads that learn nothing."""

from __future__ import annotations

import csv
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from googlenet.runtime.errors import UsageError
from googlenet.training.epochs import Interrupted
from googlenet.training.run import train
from googlenet.training.settings import Settings
from googlenet.training.setup import Run
from tests.fixtures import slow
from tests.training.small_runs import QUICK, log, prepared, same_bits, settings, tensors


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
    assert f"resuming at step {step} " in said.getvalue()
    train(resumed)
    assert log(resumed) == log(done)
    for name, theirs in tensors(done).items():
        assert same_bits(tensors(resumed)[name], theirs), name


def test_crops_on_the_device_interrupted_and_resumed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within an epoch; other bits than with crops on the host, and settings that say so."""
    options = settings(data, augment="device")
    straight, _ = prepared(options, tmp_path / "straight")
    train(straight)
    out = tmp_path / "run"
    run, _ = prepared(options, out)
    interrupt_at(run, 2, monkeypatch)
    with pytest.raises(Interrupted):
        train(run)
    found = Settings.from_json(run.folder.read_settings())
    assert found.augment == "device"
    with pytest.raises(UsageError, match="augment was 'device', got 'host'"):
        prepared(replace(found, augment="host"), out, resume=True)
    resumed, _ = prepared(found, out, resume=True)
    train(resumed)
    for name, theirs in tensors(straight).items():
        assert same_bits(tensors(resumed)[name], theirs), name


def test_csv_of_images_with_a_bad_one(data: Path, tmp_path: Path) -> None:
    rows = [f"{p},{p.parent.name},{p.parent.parent.name}" for p in sorted(data.rglob("*.png"))]
    bad = tmp_path / "bad.jpg"
    bad.write_text("no photo")
    rows += [f"{bad},red,train", "missing.png,red,val"]
    table = tmp_path / "labels.csv"
    table.write_text("path,label,split\n" + "\n".join(rows) + "\n")
    run, said = prepared(settings(table), tmp_path / "run")
    trained = train(run)
    assert len(trained.scores[1]) == 6
    assert list(run.trainer.unreadable) == [str(bad)]
    assert said.getvalue().count("skipped: ") == 2  # each once, of training and of validation
    assert f"skipped: {bad}: cannot be read as an image" in said.getvalue()


def test_stuck_heads_are_told_once(data: Path, tmp_path: Path) -> None:
    """At a rate of zero nothing is ever learned; the warning waits for the warm-up's end."""
    still = QUICK.with_settings({"epochs": 5, "learning_rate": 0, "warmup_fraction": 0,
                                 "variant": "paper", "label_smoothing": 0,
                                 "crop_scale": "1,1"})  # fmt: skip
    run, said = prepared(settings(data, recipe=still), tmp_path / "run")
    train(run)
    assert said.getvalue().count("warning: head main is at chance level") == 1
    assert "--variant bn" in said.getvalue()
