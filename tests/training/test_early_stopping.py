"""When a run that gets no better ends; and which model it leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from googlenet import Classifier
from googlenet.training.early_stopping import best_epoch, should_stop_early
from googlenet.training.epochs import Interrupted
from googlenet.training.run import train
from googlenet.training.setup import Run
from tests.fixtures import photo_folder
from tests.training.small_runs import QUICK, prepared, same_bits, settings, state


@pytest.mark.parametrize(
    ("measures", "patience", "over"),
    [
        ([], 1, False),
        ([50], 1, False),
        ([50, 50], 1, True),  # as good is no better
        ([50, 50], 0, False),
        ([50, 60, 55, 59], 3, False),
        ([50, 60, 55, 59, 60], 3, True),
        ([60, 50, 55, 61], 3, False),
    ],
)
def test_patience_counts_from_the_first_of_the_best(
    measures: list[float], patience: int, over: bool
) -> None:
    assert should_stop_early(measures, patience) is over


def test_best_epoch_is_the_first_of_the_best() -> None:
    assert best_epoch([3, 7, 7, 5]) == 1


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parts = {f"train/{c}": 4 for c in ("red", "green", "blue")}
    parts |= {f"val/{c}": 2 for c in ("red", "green", "blue")}
    return photo_folder(tmp_path_factory.mktemp("data"), parts)


# At a rate of 0 no epoch is better than the first, so that patience ends the run.
STILL = QUICK.with_settings(
    {"optimizer": "sgd", "learning_rate": 0, "epochs": 9, "patience": 2, "weight_average": "none"}
)


@pytest.fixture(scope="module")
def stopped(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, str]:
    run, said = prepared(settings(data, recipe=STILL), tmp_path_factory.mktemp("runs") / "run")
    train(run)
    return run, said.getvalue()


def test_run_ends_and_its_model_is_the_best_epochs(stopped: tuple[Run, str]) -> None:
    run, said = stopped
    best = max(range(3), key=lambda i: run.progress.history[i]["top1_accuracy"])
    assert len(run.progress.history) == 3 + best
    assert f"early stopping: no improvement since epoch {best + 1}" in said
    model = Classifier.load(run.folder.last)
    assert model.provenance["epochs"] == best + 1
    assert same_bits(state(model.network), state(Classifier.load(run.folder.best).network))


@pytest.mark.slow
def test_resumed_run_stops_where_the_undisturbed_one_does(
    stopped: tuple[Run, str], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, _ = stopped
    options = settings(data, recipe=STILL)
    run, _ = prepared(options, tmp_path / "run")
    learn = run.trainer.train_step

    def interrupt(batch: object) -> None:
        learn(batch)  # type: ignore[arg-type]
        run.console.interrupted = run.trainer.step == 4

    monkeypatch.setattr(run.trainer, "train_step", interrupt)
    with pytest.raises(Interrupted):
        train(run)
    resumed, _ = prepared(options, tmp_path / "run", resume=True)
    train(resumed)
    assert len(resumed.progress.history) == len(straight.progress.history)
    models = [Classifier.load(r.folder.last).network.state_dict() for r in (straight, resumed)]
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
    again, _ = prepared(options, tmp_path / "run", resume=True)
    train(again)
    assert again.progress.history == resumed.progress.history
