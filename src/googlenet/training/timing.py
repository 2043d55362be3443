"""Measure how long a run's parts take on this machine, with its own data and network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import numpy as np

from googlenet import parallel
from googlenet.data.dataset import DataSet, Samples
from googlenet.evaluation.accuracy import CROP_BATCH_SIZE, score
from googlenet.images.views import view_count
from googlenet.inference.classifier import Classifier
from googlenet.runtime.device import ComputeDevice, fork_rng
from googlenet.runtime.errors import GoogLeNetError
from googlenet.training.checkpoint import Progress, save_checkpoint
from googlenet.training.loop import BN_STATS_IMAGES, Trainer
from googlenet.training.time_budget import Costs, TimeBudget

MIN_TIMED_FRACTION, MAX_TIMED_FRACTION = 0.02, 0.1  # of the budget, for the timed steps
MIN_TIMED_STEPS = 5  # unless they exceed MAX_TIMED_FRACTION
TIMED_BN_BATCHES = 4  # batches for which recomputing batch statistics is timed
REPORT_SECONDS = 10.0  # intervals, calibration and report: measured 5 on two busy cores


class MeasurementDoneError(Exception):
    """Ends the timed steps."""


def measure_costs(
    trainer: Trainer,
    data: DataSet,
    budget: TimeBudget,
    *,
    views: Sequence[int],
    label_check_images: int,
    output_dir: Path,
) -> Costs:
    """Measure the costs of a run.  `trainer` cannot be used afterwards: its weights change.

    views: of the final evaluation; label_check_images: training images evaluated after it;
    output_dir: where the run's files are written.  PyTorch's global random state is restored.
    Raises UsageError if the budget is used up before everything is measured.
    """
    with fork_rng():
        step = step_seconds(trainer, budget)
        parallel.on_rank0(budget.require_time)
        epoch = model_seconds(trainer, budget.clock)
        parallel.on_rank0(budget.require_time)
        fast, exact = (
            Classifier.from_network(
                trainer.network, data.classes, trainer.loader.preprocessing, device=device
            )
            for device in (trainer.machine, ComputeDevice(trainer.machine.device, "fp32"))
        )
        trainer.network.eval()
        validation = epoch + len(data.val) * image_seconds(fast, data.val, 1, budget.clock)
        validation += parallel.on_rank0(
            lambda: file_seconds(trainer, fast, output_dir, budget.clock)
        )
        parallel.on_rank0(budget.require_time)
        each = {v: image_seconds(exact, data.val, v, budget.clock) for v in sorted({*views, 1})}
    # Calibration needs one view per image, whether or not it is among the views.
    images = min(label_check_images, len(data.train)) + (0 if 1 in views else len(data.val))
    end = epoch + REPORT_SECONDS + images * each[1]
    costs = Costs(step, validation, end + sum(len(data.val) * each[v] for v in views))
    return parallel.on_rank0(lambda: costs)


def step_seconds(trainer: Trainer, budget: TimeBudget) -> float:
    """Mean seconds of a training step, including loading.

    Excludes the first step, which includes setup, and the steps whose images were prefetched
    during it.
    """
    times = [budget.clock()]
    queued = min(2 * trainer.workers + 1, trainer.epoch_steps // 2)

    def act() -> None:
        trainer.read_metrics()  # waits for the device
        times.append(budget.clock())
        taken, counted = times[-1] - times[0], len(times) - 2 - queued
        enough = taken > MIN_TIMED_FRACTION * budget.seconds and counted >= MIN_TIMED_STEPS
        too_long = taken > MAX_TIMED_FRACTION * budget.seconds and len(times) > 2
        if any(parallel.any_rank(enough or too_long)):
            raise MeasurementDoneError

    try:
        while trainer.epoch_steps * 3 > trainer.step:
            trainer.train_epoch(act)
    except MeasurementDoneError:
        pass
    steps = np.diff(times)
    return fmean(steps[1 + queued :].tolist() or steps[1:].tolist() or steps.tolist())


def model_seconds(trainer: Trainer, clock: Callable[[], float]) -> float:
    """Seconds to build the averaged model, including its batch statistics."""
    images, batch = min(BN_STATS_IMAGES, len(trainer.loader.samples)), trainer.recipe.batch
    times = [clock()]
    for batches in (1, 1, TIMED_BN_BATCHES):  # the first includes setup
        trainer.averaged_model(images=batches * batch)
        times.append(clock())
    _, one, some = np.diff(times).tolist()
    return one + max(0.0, some - one) / (TIMED_BN_BATCHES - 1) * max(0.0, images / batch - 1)


def image_seconds(
    classifier: Classifier, samples: Samples, views: int, clock: Callable[[], float]
) -> float:
    """Seconds per image to evaluate."""
    crops = view_count(views, classifier.preprocessing)
    images = min(len(samples), max(2, 2 * CROP_BATCH_SIZE // crops))
    some = samples.take(np.linspace(0, len(samples) - 1, images, dtype=int).tolist())
    began = clock()
    with suppress(GoogLeNetError):  # none of these images can be read; others may
        if views == 1:  # the first time includes setup
            score(classifier, some, views)
            began = clock()
        score(classifier, some, views)
    return (clock() - began) / images


def file_seconds(
    trainer: Trainer, classifier: Classifier, output_dir: Path, clock: Callable[[], float]
) -> float:
    """Seconds to write an epoch's files: two models and a checkpoint."""
    above = next(
        folder for folder in (output_dir, *output_dir.absolute().parents) if folder.is_dir()
    )
    began = clock()
    with TemporaryDirectory(prefix=".googlenet-", dir=above) as folder:
        save_checkpoint(Path(folder) / "checkpoint.safetensors", trainer, Progress(""))
        classifier.save(Path(folder) / "last.safetensors")
        classifier.save(Path(folder) / "best.safetensors")
    return clock() - began
