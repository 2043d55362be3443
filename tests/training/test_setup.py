"""The beginning of a run: what it needs, what it goes on from, fine-tuning."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from googlenet.data.labels import DataError
from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.training.run import train
from googlenet.training.setup import Run, build_training_network
from tests.fixtures import photo_folder
from tests.training.small_runs import QUICK, log, prepared, settings


def test_crash_before_the_first_checkpoint_begins_again(
    done: Run, data: Path, tmp_path: Path
) -> None:
    prepared(settings(data), tmp_path / "run")
    resumed, _ = prepared(settings(data), tmp_path / "run", resume=True)
    train(resumed)
    assert log(resumed) == log(done)


def test_second_run_does_not_overwrite_the_first(done: Run, data: Path) -> None:
    with pytest.raises(UsageError, match="--out must be a new or empty folder"):
        prepared(settings(data), done.folder.path)


def test_resuming_with_other_images(done: Run, data: Path, tmp_path: Path) -> None:
    other = photo_folder(tmp_path / "data", {f"train/{c}": 5 for c in ("red", "green", "blue")})
    with pytest.raises(UsageError, match="the run started with different images or classes"):
        prepared(settings(other), done.folder.path, resume=True)


def test_data_may_move_between_sessions(done: Run, data: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    moved.symlink_to(data)
    resumed, _ = prepared(settings(moved), done.folder.path, resume=True)
    assert resumed.trainer.finished
    resumed.folder.release()


def test_data_without_validation(tmp_path: Path) -> None:
    only = photo_folder(tmp_path, {"val/red": 2, "val/blue": 2})
    with pytest.raises(DataError, match="needs training and validation images, got 0 and 4"):
        prepared(settings(only), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_crops_of_other_sides_where_a_network_takes_one_alone(data: Path, tmp_path: Path) -> None:
    recipe = QUICK.with_settings(
        {"variant": "lenet5", "progressive_resize": "0.5,1", "optimizer": "sgd"}
    )
    with pytest.raises(UsageError, match="progressive_resize must be 1,1 for lenet5"):
        prepared(settings(data, recipe=recipe), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({}, [0.7, 0.7, 0.4]),  # the variant's own, which are the paper's
        ({"dropout": 0.1}, [0.7, 0.7, 0.1]),
        ({"head_dropout": 0.2}, [0.2, 0.2, 0.4]),
        ({"dropout": 0, "head_dropout": 0}, [0.0, 0.0, 0.0]),
    ],
)
def test_recipe_says_what_is_dropped(said: dict[str, float], found: list[float]) -> None:
    recipe = QUICK.with_settings({"dropout": -1, "head_dropout": -1} | said)
    network = build_training_network(settings("photos", recipe=recipe), classes=3)
    assert [m.p for m in network.modules() if isinstance(m, torch.nn.Dropout)] == found


def test_fine_tuning_tells_of_every_tensor(done: Run, data: Path, tmp_path: Path) -> None:
    """Other classes: the last layers begin anew, the rest goes on from the model's weights."""
    two = photo_folder(tmp_path / "data", {"red": 5, "blue": 5})
    recipe = QUICK.with_settings({"epochs": 1, "freeze": "inception_4e", "learning_rate": 0.01})
    weights = str(done.folder.last)
    run, said = prepared(settings(two, recipe=recipe, weights=weights), tmp_path / "run")
    source = load_file(done.folder.last)
    assert f"{weights}: transferred {len(source) - 2} tensors" in said.getvalue()
    assert "dropped classifier.weight (other classes), classifier.bias" in said.getvalue()
    assert "reinitialized aux_4a." in said.getvalue()
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
