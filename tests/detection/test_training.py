"""Training a detector: it learns, an interrupted run goes on with the same bits."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch

from googlenet.detection.detector_header import RegionSettings
from googlenet.detection.evaluation_run import evaluate_detectors, require_alike
from googlenet.detection.recipe import DetectionRecipe
from googlenet.detection.train_run import DetectionRun, DetectionSettings, prepare, train
from googlenet.runtime.console import Console
from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.training.epochs import Interrupted
from googlenet.training.run_folder import RunFolder
from tests.detection.scenes import save_classifier, scenes


class Stopping(Console):
    """Is interrupted when it has been asked a number of times."""

    def __init__(self, after: int) -> None:
        self.left = after
        super().__init__(StringIO())

    @property
    def interrupted(self) -> bool:
        self.left -= 1
        return self.left < 0

    @interrupted.setter
    def interrupted(self, value: bool) -> None:
        pass


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Scenes as a CSV file, and weights to start from."""
    folder = tmp_path_factory.mktemp("detection")
    return scenes(folder / "data"), save_classifier(folder / "model.safetensors")


def start(
    made: tuple[Path, Path], out: Path, console: Console, mode: str = "fast", resume: bool = False
) -> DetectionRun:
    data, weights = made
    settings = DetectionSettings(
        str(data),
        str(weights),
        RegionSettings(mode=mode, side=96, count=40),
        DetectionRecipe(epochs=2, regions=12, lr=1e-3, warmup=2),
    )
    return prepare(settings, RunFolder(out), console, resume)


def quiet() -> Console:
    return Stopping(10**9)


@pytest.mark.parametrize("mode", ["fast", "rcnn"])
def test_an_interrupted_run_ends_with_the_same_bits(
    mode: str, made: tuple[Path, Path], tmp_path: Path
) -> None:
    whole = start(made, tmp_path / "whole", quiet(), mode)
    train(whole)
    broken = start(made, tmp_path / "broken", Stopping(6 + 3), mode)  # six images, some steps
    with pytest.raises(Interrupted):
        train(broken)
    assert 0 < broken.trainer.step < broken.trainer.steps
    broken.folder.release()
    again = start(made, tmp_path / "broken", quiet(), mode, resume=True)
    assert again.trainer.step == broken.trainer.step
    train(again)
    for file in ("last.safetensors",):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "broken" / file).read_bytes()
    assert not (tmp_path / "broken/checkpoint.safetensors").exists()
    rows = (tmp_path / "broken/log.csv").read_text().splitlines()
    assert len(rows) == 3


def test_fast_training_leaves_the_shared_layers(made: tuple[Path, Path], tmp_path: Path) -> None:
    run = start(made, tmp_path / "run", quiet())
    before = {n: t.clone() for n, t in run.trainer.network.state_dict().items()}
    train(run)
    changed = {n for n, t in run.trainer.network.state_dict().items() if not t.equal(before[n])}
    assert changed
    assert all(
        name.startswith(("body.inception_5", "body.classifier", "box_regression"))
        for name in changed
    )


def test_without_memory_for_maps_the_same_bits(
    made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start(made, tmp_path / "first", quiet())
    train(first)
    monkeypatch.setattr("googlenet.detection.training.available_memory", lambda: 0)
    second = start(made, tmp_path / "second", quiet())
    train(second)
    assert not second.trainer.images[0].maps
    one, two = (r.trainer.network.state_dict() for r in (first, second))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_it_learns(made: tuple[Path, Path], tmp_path: Path) -> None:
    run = start(made, tmp_path / "run", quiet())
    run.trainer.recipe = DetectionRecipe(40, regions=16, positives=0.4, lr=2e-3, warmup=2)
    train(run)
    losses = [row["loss_classes"] for row in run.history]
    assert losses[-1] < 0.6 * losses[0]
    detector = run.trainer.detector
    detector.network.eval()
    result, found = evaluate_detectors([detector], run.data.train, "voc10", quiet())
    assert result.map50.value > 0.3  # without training it is below 0.05
    assert len(found) == 6
    assert result.seconds_per_image is not None


def test_the_watchdog_sees_every_step_and_image(
    made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[str] = []
    for module in ("train_run", "evaluation_run"):
        monkeypatch.setattr(f"googlenet.detection.{module}.beat", lambda m=module: beats.append(m))
    run = start(made, tmp_path / "run", quiet())
    train(run)
    run.trainer.network.eval()
    evaluate_detectors([run.trainer.detector], run.data.val, "voc10", quiet())
    assert beats == ["train_run"] * run.trainer.steps + ["evaluation_run"] * 3


def test_a_loss_that_is_not_finite(made: tuple[Path, Path], tmp_path: Path) -> None:
    run = start(made, tmp_path / "run", quiet())
    with torch.no_grad():
        run.trainer.network.box_regression.weight.fill_(np.nan)
    with pytest.raises(GoogLeNetError, match="is not finite: lower the rate"):
        train(run)


def test_another_data_set_at_resume(made: tuple[Path, Path], tmp_path: Path) -> None:
    run = start(made, tmp_path / "run", Stopping(9))
    with pytest.raises(Interrupted):
        train(run)
    run.folder.release()
    other = scenes(tmp_path / "other", train=4), made[1]
    with pytest.raises(UsageError, match="started with different images or classes"):
        start(other, tmp_path / "run", quiet(), resume=True)


def test_ensembles_must_fit(made: tuple[Path, Path], tmp_path: Path) -> None:
    one, two = (start(made, tmp_path / n, quiet()).trainer.detector for n in "ab")
    require_alike([one, two])
    two.header = two.header.with_facts(classes=two.header.classes[:1])
    with pytest.raises(UsageError, match="must have the same classes"):
        require_alike([one, two])
