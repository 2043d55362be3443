"""A finished run, for the tests of its beginning, its epochs and its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from googlenet.training.run import train
from googlenet.training.setup import Run
from tests.fixtures import photo_folder
from tests.training.small_runs import prepared, settings


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images to train on, in three steps an epoch, and six to validate on."""
    parts = {"train/red": 4, "train/green": 3, "train/blue": 3}
    parts |= {f"val/{colour}": 2 for colour in ("red", "green", "blue")}
    return photo_folder(tmp_path_factory.mktemp("data"), parts)


@pytest.fixture(scope="session")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The undisturbed run of two epochs."""
    run, _ = prepared(settings(data), tmp_path_factory.mktemp("runs") / "straight")
    train(run)
    return run
