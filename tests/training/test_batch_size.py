"""`--batch auto` under limits of memory."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch

from googlenet.data.dataset import Samples
from googlenet.data.loader import Batch
from googlenet.runtime.console import Console
from googlenet.runtime.errors import GoogLeNetError
from googlenet.training import plan
from googlenet.training.batch_size import (
    MEMORY_HEADROOM,
    bytes_per_image,
    candidates,
    find_batch,
    first_readable_image,
    fits_cuda,
)
from googlenet.training.plan import Plan
from googlenet.training.run import train
from googlenet.training.run_folder import RunFolder
from googlenet.training.setup import prepare
from tests.fixtures import photo_folder
from tests.training.small_runs import QUICK, samples, settings, trainer


def test_the_recipes_batch_first_then_powers_of_two() -> None:
    assert candidates(48) == [48, 32, 16, 8, 4, 2, 1]
    assert candidates(64) == [64, 32, 16, 8, 4, 2, 1]
    assert candidates(1) == [1]


def test_bytes_an_image_grow_with_width_and_hold_at_least_the_first_maps() -> None:
    """conv1 alone keeps its input (3×32×32) and 16×16 maps before and after normalization."""
    narrow, wide = (
        bytes_per_image(t, first_readable_image(t))
        for t in (trainer(width=0.1), trainer(width=0.4))
    )
    assert narrow >= 4 * (3 * 32 * 32 + 2 * 6 * 16 * 16)
    assert 2 < wide / narrow < 5  # parameters would grow sixteenfold


@pytest.mark.parametrize(("photos", "batch"), [(1000, 48), (47.9, 32), (8, 8), (3, 2)])
def test_batch_is_what_the_memory_holds(photos: float, batch: int) -> None:
    """Room for so many images, by the same measure."""
    each = MEMORY_HEADROOM * bytes_per_image(trainer(), first_readable_image(trainer()))
    found, said = find_batch(trainer(), 48, lambda: round(photos * each) + 1)
    assert found == batch
    assert f"{each / 1e6:.1f} MB per image" in said


def test_batch_of_crops_on_the_device() -> None:
    """What a step keeps does not depend on where crops are made, but for their own copy."""
    host, device = (trainer(augment=augment) for augment in ("host", "device"))
    one, other = (bytes_per_image(t, first_readable_image(t)) for t in (host, device))
    assert other == pytest.approx(one, abs=4 * 3 * 32 * 32)
    assert find_batch(device, 48, lambda: round(8 * MEMORY_HEADROOM * other) + 1)[0] == 8


def test_memory_that_holds_nothing() -> None:
    with pytest.raises(GoogLeNetError, match="not even a batch of 2 images fits into memory"):
        find_batch(trainer(), 48, lambda: 1000)


def test_images_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    good = samples(3)
    some = Samples((tmp_path / "missing.png", *good.sources), (0, *good.labels))
    assert first_readable_image(trainer(data=some)).labels.tolist() == [0]
    with pytest.raises(GoogLeNetError, match="none of the training images could be read"):
        first_readable_image(trainer(data=Samples((tmp_path / "missing.png",) * 2, (0, 1))))


def test_what_a_gpu_refuses_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of a card with room for ten images, raised here by hand: no GPU is needed."""
    t = trainer()
    learn, tried = t.train_step, []

    def train_step(batch: Batch) -> None:
        tried.append(len(batch))
        if len(batch) > 10:
            raise torch.OutOfMemoryError("CUDA out of memory")
        learn(batch)

    monkeypatch.setattr(t, "train_step", train_step)
    photo = first_readable_image(t)
    assert not fits_cuda(t, photo, 16)
    assert fits_cuda(t, photo, 8)
    assert tried == [16, 8, 8]
    assert all(p.grad is None for p in t.network.parameters())


def test_found_batch_and_its_rate_are_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = photo_folder(tmp_path / "data", {"red": 10, "blue": 10})
    monkeypatch.setattr(
        plan, "find_batch", lambda t, most, processes: (most // 4, "as the test says")
    )
    recipe = QUICK.with_settings({"batch": 16, "epochs": 1})
    for given, rate in (((), recipe.learning_rate / 4), (("learning_rate",), recipe.learning_rate)):
        said = io.StringIO()
        out = RunFolder(tmp_path / f"run-{len(given)}")
        options = settings(data, recipe=recipe)
        run = prepare(
            options, out, Console(said), False, Plan(find_batch=True, overrides=frozenset(given))
        )
        assert f"batch 4 (as the test says), learning rate {rate:.4g}" in said.getvalue()
        found = json.loads(out.settings.read_text())["recipe"]
        assert (found["batch"], found["learning_rate"]) == (4, rate)
        assert run.trainer.epoch_steps == 4
    train(run)
