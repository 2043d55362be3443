"""The training loop: steps, epochs, and the model that comes out of them.

Every random number is drawn for (seed, step) or (seed, epoch, sample), never from a stream that
runs on, so a run that was interrupted goes on to the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from time import perf_counter

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
from googlenet.training.averaging import WeightAverage, recompute_statistics
from googlenet.training.balance import balanced_order
from googlenet.training.cutmix import mixed
from googlenet.training.data_parallel import (
    Share,
    add_up_step,
    agreed,
    mean_statistics,
    photos_of,
)
from googlenet.training.objective import objective
from googlenet.training.optimizer import build_optimizer, freeze_up_to, set_rate
from googlenet.training.recipe import Recipe
from googlenet.training.schedule import rate_factor

STATISTICS_PHOTOS = 2048  # how many training photos set the average's batch statistics


class Trainer:
    """A network in training: `step` counts the batches that it has learnt from.

    `carried` names the tensors that fine-tuning brought along.  Raises UsageError for a recipe
    that does not fit the network or the number of photos.
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
        carried: tuple[str, ...] = (),
    ) -> None:
        optimize(network.to(device=machine.device, memory_format=torch.channels_last))  # type: ignore[call-overload]
        self.network = network
        self.recipe, self.loader, self.seed = recipe, loader, seed
        self.machine, self.workers = machine, workers
        self.frozen = freeze_up_to(network, recipe.freeze)
        self.optimizer = build_optimizer(network, recipe, carried)
        self.shuffle = shuffle
        self.mixing = recipe.cutmix_prob_for(len(loader.samples))
        self.objective = objective(recipe, loader.samples, network.classes, machine.device)
        sizes = [len(batch) for batch in self.epoch_draws(0)]
        self.epoch_steps = len(sizes)
        # Batch normalisation can tell nothing from a single photo.
        self.least = 2 if any(isinstance(m, _BatchNorm) for m in network.modules()) else 1
        if self.least > 1 and min(sizes) < self.least * parallel.world_size():
            each = "each process at every step" if parallel.world_size() > 1 else "every step"
            raise UsageError(
                f"batch must leave {self.least} photos or more to {each} with batch "
                f"normalisation, got {recipe.batch} for {len(loader.samples)} photos"
            )
        start = int(recipe.polyak_start * recipe.epochs * self.epoch_steps)
        self.average = WeightAverage(network, recipe.weight_average, recipe.ema_decay, start)
        self.step = 0
        self.sums: dict[str, float] = {}  # over the photos of the epoch so far
        self.ended: dict[str, float] = {}  # those of the epoch before
        self.bad: dict[str, str] = {}  # photos that could not be read, and why

    @property
    def epoch(self) -> int:
        """How many epochs are complete: with all their steps, and their means taken."""
        return (self.step - bool(self.sums)) // self.epoch_steps

    @property
    def steps(self) -> int:
        """How many the whole run has."""
        return self.recipe.epochs * self.epoch_steps

    @property
    def finished(self) -> bool:
        return self.epoch >= self.recipe.epochs

    def train_epoch(self, after_step: Callable[[], None]) -> dict[str, float]:
        """Train to the end of the current epoch; returns its means over photos.

        `images_per_second` counts the steps alone, `data_wait` is the share of the time, in
        percent, in which the next step's photos were not ready yet.
        `after_step` is called after every step, when everything is consistent: it may save,
        and may raise to stop.
        """
        epoch = self.epoch
        asked = perf_counter()
        for batch in agreed(self.batches(epoch), self.divisor, self.least):
            began = perf_counter()
            self.bad |= batch.unreadable
            if photos_of(batch) >= self.least:
                self.train_step(batch)
            self.step += 1
            self.add("compute_seconds", perf_counter() - began)
            self.add("wait_seconds", began - asked)
            after_step()
            asked = perf_counter()
        return self.means()

    def batches(self, epoch: int) -> Iterator[Batch]:
        """What is left of an epoch's batches, loaded ahead in threads."""
        done = self.step - epoch * self.epoch_steps
        return self.load(epoch, self.epoch_draws(epoch)[done:])

    def load(self, epoch: int, draws: list[NDArray[np.int64]]) -> Iterator[Batch]:
        """This process's share of each of an epoch's batches."""
        shares = [draw[parallel.rank() :: parallel.world_size()] for draw in draws]
        side = self.recipe.crop_size(epoch, self.loader.preprocessing.size)
        return prefetch(lambda chosen: self.loader.load(epoch, chosen, side), shares, self.workers)

    def epoch_draws(self, epoch: int) -> list[NDArray[np.int64]]:
        """What an epoch draws of the photos, a batch each, as `TrainingLoader.load` takes it."""
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
        """Learn from a batch; or with other processes from one of which each has a share."""
        seed_step(self.seed, self.step, parallel.rank())
        rate = self.learning_rate(self.step)
        set_rate(self.optimizer, rate)
        self.network.train()
        for name in self.frozen:
            self.network.get_submodule(name).eval()
        self.optimizer.zero_grad()
        losses, correct = self.derive(batch)
        if not torch.isfinite(self.total(losses)):
            raise GoogLeNetError(
                f"the loss became {self.total(losses).item()} at step {self.step} with learning "
                f"rate {rate:.4g}: start again with a lower one, --set learning_rate=…"
            )
        self.optimizer.step()
        self.average.update(self.network, self.step + 1)
        self.count(losses, correct, photos_of(batch))

    def derive(self, batch: Batch) -> tuple[dict[str, Tensor], int]:
        """Sets the gradient of the loss; returns it by head, and how many answers were right."""
        whole = batch.whole if isinstance(batch, Share) else None
        losses: dict[str, Tensor] = {}
        correct = 0
        if len(batch):
            labels = self.labels(batch)
            divisor = None if whole is None else whole.divisor.to(self.machine.device)
            crops = mixed(self.crops(batch), self.mixing)
            with self.machine.autocast():
                logits = self.forward(crops.crops)
            losses = {
                head: crops.loss(self.objective, out.float(), labels, divisor)
                for head, out in logits.items()
            }
            self.total(losses).backward()  # type: ignore[no-untyped-call]
            losses = {head: loss.detach() for head, loss in losses.items()}
            correct = self.objective.correct(logits["main"], labels)
        if whole is None:
            return losses, correct
        heads = self.network.heads if self.recipe.aux_loss_weight else ()
        figures = torch.zeros(2 + len(heads), device=self.machine.device)
        names = ("main", *heads)
        if losses:
            figures += torch.tensor([*(float(losses[name]) for name in names), correct]).to(figures)
        add_up_step(self.network, [figures], len(batch) / whole.photos)
        *values, right = figures
        return dict(zip(names, values, strict=True)), int(right)

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        """The loss that is minimised: the main one, and the heads' with their weight."""
        heads = sum(value for head, value in losses.items() if head != "main")
        return losses["main"] + self.recipe.aux_loss_weight * heads

    def labels(self, batch: Batch) -> Tensor:
        return torch.from_numpy(batch.labels).to(self.machine.device)

    def divisor(self, batch: Batch) -> Tensor:
        return self.objective.divisor(self.labels(batch))

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        if self.recipe.aux_loss_weight:
            return self.network.forward_heads(crops)
        main: Tensor = self.network(crops)
        return {"main": main}

    def crops(self, batch: Batch) -> Tensor:
        pixels = torch.from_numpy(batch.pixels).to(self.machine.device)
        if batch.cuts:
            return cropped(pixels, batch.cuts, self.loader.preprocessing)
        return self.loader.preprocessing.normalize(pixels)

    def learning_rate(self, step: int) -> float:
        """The rate of the step after `step` steps, for the recipe's batch size."""
        progress = step / self.epoch_steps
        recipe = self.recipe
        factor = rate_factor(recipe.schedule, recipe.warmup_fraction, progress, recipe.epochs)
        return recipe.learning_rate * factor

    def count(self, losses: dict[str, Tensor], correct: int, photos: int) -> None:
        """Add a batch to the epoch's sums: over photos, so a short batch counts for what it is."""
        self.add("photos", photos)
        self.add("correct", correct)
        for head, loss in losses.items():
            self.add(f"loss_{head}", loss.item() * photos)

    def add(self, name: str, value: float) -> None:
        self.sums[name] = self.sums.get(name, 0.0) + value

    def means(self) -> dict[str, float]:
        """The epoch's sums as means over photos; begins the next epoch's."""
        photos = self.sums.get("photos", 0.0)
        if not photos:
            raise GoogLeNetError("no photo of the training data could be read")
        row = {k: v / photos for k, v in self.sums.items() if k.startswith("loss_")}
        row["train_accuracy"] = 100 * self.sums["correct"] / photos
        compute, wait = self.sums["compute_seconds"], self.sums.get("wait_seconds", 0.0)
        row["images_per_second"] = photos / compute
        row["data_wait"] = 100 * wait / (wait + compute)
        self.ended, self.sums = self.sums, {}
        return row

    def reopen_epoch(self) -> None:
        """Take back the end of the epoch, whose means have been taken: it is to come again."""
        self.sums = self.ended

    def model(
        self, after_batch: Callable[[], None] = lambda: None, photos: int = STATISTICS_PHOTOS
    ) -> Network:
        """The network with averaged weights and its own batch statistics, without heads.

        The statistics are of so many photos, about.  The run's state and random numbers are
        left as they are.  `after_batch` is called after every batch of the statistics and may
        raise to stop.
        """
        network: Network = deepcopy(self.network)
        network.drop_heads()
        self.average.copy_to(network)
        network.eval()
        if self.recipe.weight_average != "none":
            self.fit_statistics(network, photos, after_batch)
        return network

    def fit_statistics(
        self, network: Network, photos: int, after_batch: Callable[[], None]
    ) -> None:
        """Set batch statistics by training crops, as the last epoch drew them.

        Several processes each do it by their shares of the batches, and take the mean.
        """
        epoch, batch = max(0, self.epoch - 1), self.recipe.batch
        loaded = self.load(epoch, self.epoch_draws(epoch)[: max(1, photos // batch)])

        def crops() -> Iterator[Tensor]:
            for batch in loaded:
                if len(batch) >= self.least:
                    yield self.crops(batch)
                after_batch()

        def fit() -> int:
            with self.machine.autocast():
                return recompute_statistics(network, crops(), self.frozen)

        mean_statistics(network, parallel.on_all_ranks(fit), self.frozen)


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Seed PyTorch for a step's dropout and mixing, from (seed, step) and the process's rank."""
    source = (seed, step, rank) if rank else (seed, step)
    state = np.random.SeedSequence(source).generate_state(1, np.uint64)
    torch.manual_seed(int(state[0]))
