"""The training loop: its loss, its bookkeeping, its bits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from googlenet.data.dataset import Samples
from googlenet.data.loader import Batch
from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.runtime.watchdog import State
from googlenet.training import loop
from googlenet.training.checkpoint import Progress, save_checkpoint
from googlenet.training.loop import Trainer, seed_step
from tests.training.small_runs import QUICK, nothing, same_bits, samples, state, trainer


class StopRequestedError(Exception):
    """What ends a run in the middle of an epoch here."""


def stop_after(steps: int) -> Callable[[], None]:
    left = steps

    def act() -> None:
        nonlocal left
        left -= 1
        if not left:
            raise StopRequestedError

    return act


def test_gradient_is_that_of_main_and_three_tenths_of_each_head() -> None:
    """Section 5: the heads' losses are added with weight 0.3, and reach the trunk."""
    ours, by_hand = (trainer(QUICK, samples(4), seed=1) for _ in range(2))
    for t in (ours, by_hand):
        switch_dropout_off(t)
    batch = ours.loader.load(0, range(4))
    ours.optimizer.step = lambda: None  # type: ignore[assignment,method-assign]
    ours.train_step(batch)
    network = by_hand.network.train()
    pixels = torch.from_numpy(batch.pixels).double() - torch.tensor(ours.loader.preprocessing.mean)
    pixels = pixels * torch.tensor(ours.loader.preprocessing.scale)
    logits = network.forward_heads(pixels.permute(0, 3, 1, 2).float())
    loss = torch.zeros(())
    for head, weight in (("main", 1.0), ("4a", 0.3), ("4d", 0.3)):
        logp = logits[head].log_softmax(1)
        nll = -logp[torch.arange(4), torch.from_numpy(batch.labels)].mean()
        smooth = -logp.mean()
        loss = loss + weight * ((1 - 0.1) * nll + 0.1 * smooth)
    loss.backward()  # type: ignore[no-untyped-call]
    theirs = dict(network.named_parameters())
    for name, parameter in ours.network.named_parameters():
        expected = theirs[name].grad
        assert parameter.grad is not None
        assert expected is not None
        assert torch.allclose(parameter.grad, expected, atol=1e-5, rtol=1e-3), name


def test_a_step_says_that_the_run_moves() -> None:
    t = trainer()
    batch = next(t.batches(0))
    State.moved = False
    t.train_step(batch)
    assert State.moved


def switch_dropout_off(t: Trainer) -> None:
    for module in t.network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


def test_logged_losses_are_means_over_images_not_over_batches() -> None:
    """Five images in batches of 3 and 2, at a rate of 0 so that the network stays the same."""
    recipe = QUICK.with_settings(
        {
            "batch": 3,
            "learning_rate": 0,
            "label_smoothing": 0,
            "variant": "paper",
            "crop_scale": "1,1",
        }
    )
    t = trainer(recipe, samples(5))
    switch_dropout_off(t)
    batches = list(t.batches(0))
    assert sorted(map(len, batches)) == [2, 3]
    with torch.no_grad():
        logits = torch.cat([t.network.forward_heads(t.to_inputs(b))["4a"] for b in batches])
    labels = torch.cat([torch.from_numpy(b.labels) for b in batches])
    row = t.train_epoch(nothing)
    assert row["loss_4a"] == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-5)
    assert set(row) == {
        *("loss_main", "loss_4a", "loss_4d", "train_accuracy"),
        *("images_per_second", "data_wait"),
    }


def test_share_of_time_that_steps_wait_for_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes three seconds on while a batch loads, one second while it is learned,
    and a hundred between the steps, which is neither."""
    clock = 0.0

    def spend(seconds: float) -> None:
        nonlocal clock
        clock += seconds

    def slow(batches: Iterator[Batch]) -> Iterator[Batch]:
        for batch in batches:
            spend(3)
            yield batch

    def step(batch: Batch) -> None:
        spend(1)
        t.add("photos", len(batch))
        t.add("correct", 0)

    t = trainer(QUICK.with_settings({"batch": 5}))
    quick = t.batches
    monkeypatch.setattr("googlenet.training.loop.perf_counter", lambda: clock)
    monkeypatch.setattr(t, "batches", lambda epoch: slow(quick(epoch)))
    monkeypatch.setattr(t, "train_step", step)
    row = t.train_epoch(lambda: spend(100))
    assert row["data_wait"] == pytest.approx(75)
    assert row["images_per_second"] == pytest.approx(10 / 2)


def test_accuracy_counts_images() -> None:
    t = trainer(
        QUICK.with_settings({"batch": 3, "optimizer": "sgd", "learning_rate": 0}), samples(5)
    )
    for parameter in t.network.parameters():
        parameter.data.zero_()
    t.network.get_parameter("classifier.bias").data[1] = 1.0  # always the second class
    assert t.train_epoch(nothing)["train_accuracy"] == pytest.approx(100 * 2 / 5)


def test_without_heads_there_are_no_heads() -> None:
    t = trainer(QUICK.with_settings({"aux_loss_weight": 0}))
    assert t.network.aux_heads == ()
    assert "loss_4a" not in t.train_epoch(nothing)


@pytest.mark.parametrize(("workers", "augment"), [(0, "host"), (3, "host"), (3, "device")])
def test_same_seed_same_bits_with_any_number_of_workers(workers: int, augment: str) -> None:
    one, other = (trainer(workers=count, augment=augment) for count in (1, workers))
    for t in (one, other):
        while not t.finished:
            t.train_epoch(nothing)
    assert same_bits(state(one.network), state(other.network))
    assert same_bits(one.average.values, other.average.values)
    assert same_bits(state(one.averaged_model()), state(other.averaged_model()))


def test_other_seed_other_weights() -> None:
    one, other = trainer(seed=1), trainer(seed=2)
    assert not same_bits(state(one.network), state(other.network))


def test_dropout_depends_on_the_step_not_on_the_past() -> None:
    """Random numbers drawn by others between the steps change nothing."""
    quiet, loud = trainer(), trainer()
    quiet.train_epoch(nothing)

    def draw() -> None:
        torch.rand(3)

    loud.train_epoch(draw)
    assert same_bits(state(quiet.network), state(loud.network))


def test_dropout_differs_from_step_to_step_and_seed_to_seed() -> None:
    drawn = set()
    for seed in range(3):
        for step in range(3):
            seed_step(seed, step)
            drawn.add(float(torch.rand(1, dtype=torch.float64)))
    assert len(drawn) == 9


def test_mixing_is_part_of_a_step() -> None:
    plain, mixing = trainer(), trainer(replace(QUICK, cutmix_prob=1.0))
    for run in (plain, mixing):
        run.train_epoch(nothing)
    assert not same_bits(state(plain.network), state(mixing.network))
    assert trainer(replace(QUICK, cutmix_prob=-1.0, epochs=20)).cutmix_prob == 0.5
    assert trainer(replace(QUICK, cutmix_prob=-1.0)).cutmix_prob == 0


@pytest.mark.parametrize(("steps", "mixing"), [(1, 0.0), (2, 0.0), (3, 0.0), (2, 0.5)])
def test_epoch_goes_on_where_it_was_stopped(steps: int, mixing: float) -> None:
    """Ten images in three steps; also where the stop falls on an epoch's last step."""
    recipe = replace(QUICK, cutmix_prob=mixing)
    straight, stopped = trainer(recipe), trainer(recipe)
    rows = [straight.train_epoch(nothing) for _ in range(2)]
    with pytest.raises(StopRequestedError):
        stopped.train_epoch(stop_after(steps))
    assert (stopped.step, stopped.epoch) == (steps, 0)
    resumed = [stopped.train_epoch(nothing) for _ in range(2)]
    for row in rows + resumed:
        del row["images_per_second"], row["data_wait"]
    assert rows == resumed
    assert same_bits(state(straight.network), state(stopped.network))
    assert straight.finished
    assert stopped.finished


def test_rate_follows_the_schedule_step_by_step() -> None:
    recipe = QUICK.with_settings({"epochs": 4, "schedule": "cosine", "warmup_fraction": 0.5})
    t = trainer(recipe)
    assert t.epoch_steps == 3
    rates = [t.learning_rate(step) / recipe.learning_rate for step in range(12)]
    assert rates[:6] == pytest.approx([step / 6 for step in range(6)])
    assert rates[6:] == pytest.approx([(1 + np.cos(np.pi * k / 6)) / 2 for k in range(6)])
    groups = t.optimizer.param_groups
    peaks = [group["initial_lr"] for group in groups]
    assert set(peaks) == {recipe.muon_lr, recipe.learning_rate * recipe.non_muon_lr_scale}
    seen: list[list[float]] = []
    t.train_epoch(lambda: seen.append([group["lr"] for group in groups]))
    for step, found in enumerate(seen):
        assert found == pytest.approx([rates[step] * peak for peak in peaks])


def test_crops_on_the_device_are_learnt_from_as_the_host_s() -> None:
    """The network sees the same to within a level and a half, in both epochs' sizes."""
    recipe = QUICK.with_settings({"progressive_resize": "0.7,1", "crop_scale": "0.5,1"})
    host, device = (trainer(recipe, size=48, augment=augment) for augment in ("host", "device"))
    scale = torch.tensor(host.loader.preprocessing.scale)[:, None, None]
    for epoch in range(2):
        for one, other in zip(host.batches(epoch), device.batches(epoch), strict=True):
            seen, found = host.to_inputs(one), device.to_inputs(other)
            assert found.shape == seen.shape
            assert found.dtype == torch.float32
            inner = ((found - seen) / scale).abs()[:, :, 2:-2, 2:-2]
            assert inner.max() <= 1.5
        device.step = host.step = host.epoch_steps


def test_crops_grow_from_epoch_to_epoch() -> None:
    recipe = QUICK.with_settings({"progressive_resize": "0.5,1", "epochs": 3})
    t = trainer(recipe, size=80)
    seen = []
    while not t.finished:
        seen += [batch.pixels.shape[1:] for batch in t.batches(t.epoch)][:1]
        t.train_epoch(nothing)
    assert seen == [(40, 40, 3), (64, 64, 3), (80, 80, 3)]


def test_frozen_stages_do_not_change_by_a_bit() -> None:
    """Neither weights nor statistics, in training and in the model that comes out of it."""
    t = trainer(QUICK.with_settings({"freeze": "inception_3b"}))
    before = state(t.network)
    while not t.finished:
        t.train_epoch(nothing)
    frozen = {"conv1", "conv2_reduce", "conv2", "inception_3a", "inception_3b"}
    for after in (state(t.network), state(t.averaged_model())):
        changed = {
            name.split(".")[0] for name in after if not torch.equal(after[name], before[name])
        }
        assert not frozen & changed
        assert {"inception_4a", "inception_5b", "classifier"} <= changed


def test_model_is_the_average_without_heads_and_leaves_the_run_alone() -> None:
    t = trainer()
    t.train_epoch(nothing)
    before, average = state(t.network), {n: v.clone() for n, v in t.average.values.items()}
    random_state = torch.get_rng_state()
    model = t.averaged_model()
    assert model.aux_heads == ()
    assert not model.training
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, average[name])
    assert not torch.equal(
        model.get_buffer("conv1.bn.running_mean"), before["conv1.bn.running_mean"]
    )
    assert same_bits(state(t.network), before)
    assert same_bits(t.average.values, average)
    assert torch.equal(torch.get_rng_state(), random_state)


def test_model_without_average_is_the_network_to_the_bit() -> None:
    t = trainer(QUICK.with_settings({"weight_average": "none"}))
    t.train_epoch(nothing)
    trained = state(t.network)
    model = state(t.averaged_model())
    assert model
    assert all(torch.equal(tensor, trained[name]) for name, tensor in model.items())


def test_learns_what_is_there_to_learn() -> None:
    """Colors told apart by a network of a tenth of the width: five seeds gave 88 % and more."""
    recipe = QUICK.with_settings({"epochs": 12, "batch": 8, "weight_average": "none", "dropout": 0})
    t = trainer(recipe, samples(48), width=0.1)
    rows = []
    while not t.finished:
        rows.append(t.train_epoch(nothing))
    assert rows[-1]["train_accuracy"] > 70 > rows[0]["train_accuracy"]


def bad_samples(*bad: int) -> Samples:
    """Six images, those of the given numbers unreadable."""
    good = samples(6)
    sources = tuple(
        np.zeros((0, 3), np.uint8) if i in bad else s for i, s in enumerate(good.sources)
    )
    return Samples(sources, good.labels)


def test_bad_images_are_named_and_left_out() -> None:
    t = trainer(QUICK.with_settings({"epochs": 2}), bad_samples(1, 4))
    assert t.train_epoch(nothing)["loss_main"] > 0
    assert set(t.unreadable) == {"#1", "#4"}
    t.train_epoch(nothing)
    assert len(t.unreadable) == 2


def test_nothing_but_bad_images() -> None:
    with pytest.raises(GoogLeNetError, match="none of the training images could be read"):
        trainer(QUICK, bad_samples(*range(6))).train_epoch(nothing)


def test_batch_normalization_never_meets_a_single_image() -> None:
    """At 32 pixels its last maps have one pixel, and PyTorch refuses one value a channel."""
    with pytest.raises(
        UsageError, match=r"batch must leave at least 2 images to .* got 1 for 10 images"
    ):
        trainer(QUICK.with_settings({"batch": 1}))
    with pytest.raises(UsageError, match="got 2 for 5 images"):
        trainer(QUICK.with_settings({"batch": 2}), samples(5))
    plain = QUICK.with_settings({"batch": 1, "variant": "paper", "epochs": 1})
    assert trainer(plain, samples(2)).train_epoch(nothing)["loss_main"] > 0


def test_bad_image_that_leaves_another_alone_in_its_batch() -> None:
    t = trainer(QUICK.with_settings({"batch": 2}), bad_samples(3))
    t.train_epoch(nothing)
    assert t.step == 3
    assert t.averaged_model() is not t.network


def test_loss_that_is_no_number_ends_the_run() -> None:
    t = trainer(QUICK.with_settings({"learning_rate": 10_000, "warmup_fraction": 0, "epochs": 60}))
    message = r"the loss became (nan|inf) at step \d+ with learning rate .*--set learning_rate="
    with pytest.raises(GoogLeNetError, match=message):
        deque(t.train_epoch(nothing) for _ in range(60))


def test_metrics_read_later_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, which no step waits for."""
    rows = []
    for every in (1, 50):
        monkeypatch.setitem(loop.READ_EVERY, "cpu", every)
        t = trainer(QUICK, samples(8), seed=1)
        row = t.train_epoch(nothing)
        rows.append({name: row[name] for name in row if "loss" in name or "accuracy" in name})
        assert not t.unread
    assert rows[0] == rows[1]


def test_a_loss_read_later_is_not_saved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is reported with its own step within the epoch, and a checkpoint is refused."""
    monkeypatch.setitem(loop.READ_EVERY, "cpu", 50)
    t = trainer(QUICK.with_settings({"batch": 2}), samples(8), seed=1)

    def spoil() -> None:
        with torch.no_grad():
            t.network.get_parameter("classifier.weight").fill_(torch.nan)

    with pytest.raises(GoogLeNetError, match="at step 1 with"):
        t.train_epoch(spoil)
    t.train_step(t.loader.load(0, range(2)))
    with pytest.raises(GoogLeNetError, match="the loss became nan"):
        save_checkpoint(tmp_path / "checkpoint.safetensors", t, Progress(""))
    assert not list(tmp_path.iterdir())
