"""The training loop: steps, epochs, and the averaged model.

Random numbers are a function of (seed, step) or (seed, epoch, sample), never of a stream's
history, so an interrupted run resumes bit-identically.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from math import isfinite
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from googlenet import parallel
from googlenet.data.loader import Batch, TrainingLoader, epoch_order, even_batches, prefetch
from googlenet.data.shuffle import shard_window_order
from googlenet.images.device_crops import cropped
from googlenet.kernels.optimize import optimize
from googlenet.models.registry import Network
from googlenet.runtime.device import ComputeDevice
from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.runtime.watchdog import beat
from googlenet.training.averaging import WeightAverage, recompute_bn_stats
from googlenet.training.balance import balanced_order
from googlenet.training.cutmix import cutmix
from googlenet.training.data_parallel import (
    BatchShard,
    all_reduce_step,
    global_batch_size,
    sync_bn_stats,
    synchronized_batches,
)
from googlenet.training.objective import build_objective
from googlenet.training.optimizer import build_optimizer, freeze_up_to, scale_learning_rates
from googlenet.training.recipe import Recipe
from googlenet.training.schedule import lr_factor

BN_STATS_IMAGES = 2048  # training images from which the average's batch statistics are computed


# Steps between readings of a device's metrics: a GPU need not be waited for at each of them.
READ_EVERY = {"cpu": 1, "cuda": 50}


class StepMetrics(NamedTuple):
    """What a step computed, still on its device."""

    step: int
    heads: tuple[str, ...]
    images: int
    metrics: Tensor  # total loss, the heads' losses, correct predictions


class Trainer:
    """A network in training; `step` counts the steps so far.

    `pretrained_params`: names of the tensors that fine-tuning started from.  Raises UsageError
    for a recipe that does not fit the network or the number of images.
    """

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        loader: TrainingLoader,
        *,
        seed: int,
        machine: ComputeDevice,
        workers: int = 2,
        shuffle: str = "full",
        pretrained_params: tuple[str, ...] = (),
    ) -> None:
        optimize(network.to(device=machine.device, memory_format=torch.channels_last))  # type: ignore[call-overload]
        self.network = network
        self.recipe, self.loader, self.seed = recipe, loader, seed
        self.machine, self.workers = machine, workers
        self.frozen = freeze_up_to(network, recipe.freeze)
        self.optimizer = build_optimizer(network, recipe, pretrained_params)
        self.shuffle = shuffle
        self.cutmix_prob = recipe.cutmix_prob_for(len(loader.samples))
        self.objective = build_objective(recipe, loader.samples, network.classes, machine.device)
        sizes = [len(batch) for batch in self.epoch_batches(0)]
        self.epoch_steps = len(sizes)
        # Batch normalization needs two images or more.
        self.min_batch = 2 if any(isinstance(m, _BatchNorm) for m in network.modules()) else 1
        if self.min_batch > 1 and min(sizes) < self.min_batch * parallel.world_size():
            each = "each process at every step" if parallel.world_size() > 1 else "every step"
            raise UsageError(
                f"batch must leave at least {self.min_batch} images to {each} with batch "
                f"normalization, got {recipe.batch} for {len(loader.samples)} images"
            )
        start = int(recipe.polyak_start * recipe.epochs * self.epoch_steps)
        self.average = WeightAverage(network, recipe.weight_average, recipe.ema_decay, start)
        self.step = 0
        self.unread: list[StepMetrics] = []
        self.sums: dict[str, float] = {}  # over the images of the epoch so far
        self.last_sums: dict[str, float] = {}  # of the epoch before
        self.unreadable: dict[str, str] = {}  # images and why they could not be read

    @property
    def epoch(self) -> int:
        """Complete epochs: those with all their steps done and their means taken."""
        return (self.step - bool(self.sums)) // self.epoch_steps

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.recipe.epochs * self.epoch_steps

    @property
    def finished(self) -> bool:
        return self.epoch >= self.recipe.epochs

    def train_epoch(self, after_step: Callable[[], None]) -> dict[str, float]:
        """Train to the end of the current epoch; returns its means over images.

        `images_per_second` excludes the time waiting for data; `data_wait` is that time in
        percent.  `after_step` is called after every step, when all state is consistent: it may
        save, and may raise to stop.
        """
        epoch = self.epoch
        requested = perf_counter()
        batches = self.batches(epoch)
        for batch in synchronized_batches(batches, self.loss_denominator, self.min_batch):
            began = perf_counter()
            self.unreadable |= batch.unreadable
            if global_batch_size(batch) >= self.min_batch:
                self.train_step(batch)
            self.step += 1
            self.add("compute_seconds", perf_counter() - began)
            self.add("wait_seconds", began - requested)
            after_step()
            requested = perf_counter()
        began = perf_counter()
        self.read_metrics()
        self.add("compute_seconds", perf_counter() - began)
        return self.epoch_means()

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The epoch's remaining batches, prefetched by threads."""
        done = self.step - epoch * self.epoch_steps
        return self.load(epoch, self.epoch_batches(epoch)[done:])

    def load(self, epoch: int, batches: list[NDArray[np.int64]]) -> Iterator[Batch]:
        """This process's shard of each of the epoch's batches."""
        shards = [draws[parallel.rank() :: parallel.world_size()] for draws in batches]
        crop_size = self.recipe.crop_size(epoch, self.loader.preprocessing.size)
        return prefetch(
            lambda draws: self.loader.load(epoch, draws, crop_size), shards, self.workers
        )

    def epoch_batches(self, epoch: int) -> list[NDArray[np.int64]]:
        """The epoch's sample draws, one array per batch, as `TrainingLoader.load` takes them."""
        samples = self.loader.samples
        if self.recipe.balance == "balanced_sampler":
            order = balanced_order(samples.labels, self.seed, epoch)
        elif self.shuffle == "blocks":
            order = shard_window_order(samples, self.seed, epoch)
        else:
            order = epoch_order(len(samples), self.seed, epoch)
        drawn = max(1, round(self.recipe.epoch_fraction * len(order)))
        return even_batches(order[:drawn], self.recipe.batch)

    def train_step(self, batch: Batch) -> None:
        """One optimizer step on a batch, or with other processes on one it is a shard of."""
        seed_step(self.seed, self.step, parallel.rank())
        scale_learning_rates(self.optimizer, self.lr_factor(self.step))
        self.network.train()
        for name in self.frozen:
            self.network.get_submodule(name).eval()
        self.optimizer.zero_grad()
        losses, correct = self.forward_backward(batch)
        metrics = torch.stack([self.total_loss(losses), *losses.values(), correct])
        size = global_batch_size(batch)
        self.unread.append(StepMetrics(self.step, tuple(losses), size, metrics))
        if len(self.unread) >= READ_EVERY[self.machine.device]:
            self.read_metrics()
        self.optimizer.step()
        self.average.update(self.network, self.step + 1)
        beat()

    def forward_backward(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """Compute the gradient; returns the loss of each head and the correct predictions."""
        whole = batch.global_batch if isinstance(batch, BatchShard) else None
        losses: dict[str, Tensor] = {}
        correct = torch.zeros((), device=self.machine.device)
        if len(batch):
            labels = self.labels(batch)
            denominator = whole.loss_denominator.to(self.machine.device) if whole else None
            mixed = cutmix(self.to_inputs(batch), self.cutmix_prob)
            with self.machine.autocast():
                logits = self.forward(mixed.inputs)
            losses = {
                head: mixed.loss(self.objective, out.float(), labels, denominator)
                for head, out in logits.items()
            }
            self.total_loss(losses).backward()  # type: ignore[no-untyped-call]
            losses = {head: loss.detach() for head, loss in losses.items()}
            correct = self.objective.correct(logits["main"], labels).float()
        if whole is None:
            return losses, correct
        heads = ("main", *(self.network.aux_heads if self.recipe.aux_loss_weight else ()))
        metrics = torch.zeros(len(heads) + 1, device=self.machine.device)
        if losses:
            metrics += torch.stack([*(losses[head] for head in heads), correct])
        all_reduce_step(self.network, [metrics], len(batch) / whole.size)
        *sums, right = metrics
        return dict(zip(heads, sums, strict=True)), right

    def total_loss(self, losses: dict[str, Tensor]) -> Tensor:
        """The main loss plus the weighted losses of the auxiliary heads."""
        aux = sum(loss for head, loss in losses.items() if head != "main")
        return losses["main"] + self.recipe.aux_loss_weight * aux

    def labels(self, batch: Batch) -> Tensor:
        return self.to_device(batch.labels)

    def loss_denominator(self, batch: Batch) -> Tensor:
        return self.objective.loss_denominator(self.labels(batch))

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        if self.recipe.aux_loss_weight:
            return self.network.forward_heads(inputs)
        main: Tensor = self.network(inputs)
        return {"main": main}

    def to_inputs(self, batch: Batch) -> Tensor:
        """The batch's crops on the device, normalized: (N, C, H, W)."""
        pixels = self.to_device(batch.pixels)
        if batch.cuts:
            return cropped(pixels, batch.cuts, self.loader.preprocessing)
        return self.loader.preprocessing.normalize(pixels)

    def to_device(self, array: NDArray[Any]) -> Tensor:
        """The array's values on the device, which is not waited for."""
        tensor = torch.from_numpy(array)
        if self.machine.device == "cpu":
            return tensor
        return tensor.pin_memory().to(self.machine.device, non_blocking=True)

    def learning_rate(self, step: int) -> float:
        """The recipe's learning rate at a step, before any parameter group's scale."""
        return self.recipe.learning_rate * self.lr_factor(step)

    def lr_factor(self, step: int) -> float:
        epoch, recipe = step / self.epoch_steps, self.recipe
        return lr_factor(recipe.schedule, recipe.warmup_fraction, epoch, recipe.epochs)

    def read_metrics(self) -> None:
        """Add the steps since the last call to the epoch's sums, weighted by their images.

        Waits for the device.  Raises GoogLeNetError for a loss that is not finite.
        """
        unread, self.unread = self.unread, []
        for step, heads, images, metrics in unread:
            total, *losses, correct = metrics.tolist()
            if not isfinite(total):
                raise GoogLeNetError(
                    f"the loss became {total} at step {step} with learning rate "
                    f"{self.learning_rate(step):.4g}: start again with a lower one, "
                    "--set learning_rate=…"
                )
            self.add("photos", images)
            self.add("correct", correct)
            for head, loss in zip(heads, losses, strict=True):
                self.add(f"loss_{head}", loss * images)

    def add(self, name: str, value: float) -> None:
        self.sums[name] = self.sums.get(name, 0.0) + value

    def epoch_means(self) -> dict[str, float]:
        """The epoch's sums as means over images; resets the sums for the next epoch."""
        self.read_metrics()
        images = self.sums.get("photos", 0.0)
        if not images:
            raise GoogLeNetError("none of the training images could be read")
        row = {k: v / images for k, v in self.sums.items() if k.startswith("loss_")}
        row["train_accuracy"] = 100 * self.sums["correct"] / images
        compute, wait = self.sums["compute_seconds"], self.sums.get("wait_seconds", 0.0)
        row["images_per_second"] = images / compute
        row["data_wait"] = 100 * wait / (wait + compute)
        self.last_sums, self.sums = self.sums, {}
        return row

    def undo_epoch_end(self) -> None:
        """Restore the sums of the epoch whose means were taken, so that it ends again."""
        self.sums = self.last_sums

    def averaged_model(
        self, after_batch: Callable[[], None] = lambda: None, images: int = BN_STATS_IMAGES
    ) -> Network:
        """The network with averaged weights and recomputed batch statistics, without aux heads.

        The statistics are those of about `images` training images.  The run's state and random
        numbers are unchanged.  `after_batch` is called after every batch and may raise to stop.
        """
        network: Network = deepcopy(self.network)
        network.drop_heads()
        self.average.copy_to(network)
        network.eval()
        if self.recipe.weight_average != "none":
            self.recompute_bn_stats(network, images, after_batch)
        return network

    def recompute_bn_stats(
        self, network: Network, images: int, after_batch: Callable[[], None]
    ) -> None:
        """Compute batch statistics from the last epoch's training crops.

        Several processes each use their shards of the batches; the results are averaged.
        """
        epoch, batch_size = max(0, self.epoch - 1), self.recipe.batch
        batches = self.epoch_batches(epoch)[: max(1, images // batch_size)]
        loaded = self.load(epoch, batches)

        def inputs() -> Iterator[Tensor]:
            for batch in loaded:
                if len(batch) >= self.min_batch:
                    yield self.to_inputs(batch)
                beat()
                after_batch()

        def recompute() -> int:
            with self.machine.autocast():
                return recompute_bn_stats(network, inputs(), self.frozen)

        sync_bn_stats(network, parallel.on_all_ranks(recompute), self.frozen)


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Seed PyTorch for a step's dropout and CutMix, from (seed, step, rank)."""
    source = (seed, step, rank) if rank else (seed, step)
    state = np.random.SeedSequence(source).generate_state(1, np.uint64)
    torch.manual_seed(int(state[0]))
