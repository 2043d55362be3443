"""What things cost on this machine, measured on the run's own photos and network."""

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
from googlenet.training.time_budget import Costs, TimeLimit

FEWEST, MOST = 0.02, 0.1  # shares of the limit that the measured steps may take
STEPS = 5  # measured at least, if they take less than MOST
SOME = 4  # batches whose statistics are measured
REPORT_SECONDS = 10.0  # for intervals, calibration and the report: 5 on two busy cores


class EnoughError(Exception):
    """What ends the measured steps."""


def calibrate(
    trainer: Trainer,
    data: DataSet,
    limit: TimeLimit,
    *,
    views: Sequence[int],
    doubts: int,
    beside: Path,
) -> Costs:
    """Measure the costs of a run.  `trainer` is used up: its weights change.

    views: of the last evaluation; doubts: how many training photos are evaluated after it;
    beside: the folder on whose disk the run's files are written.  PyTorch's global random state
    is left as it was.  Raises UsageError where the limit is over before all is measured.
    """
    with fork_rng():
        step = step_seconds(trainer, limit)
        parallel.on_rank0(limit.require_time)
        epoch = model_seconds(trainer, limit.clock)
        parallel.on_rank0(limit.require_time)
        fast, exact = (
            Classifier(
                trainer.network,
                data.classes,
                trainer.loader.preprocessing,
                trainer.recipe.variant,
                machine=machine,
            )
            for machine in (trainer.machine, ComputeDevice(trainer.machine.device, "fp32"))
        )
        trainer.network.eval()
        validation = epoch + len(data.val) * photo_seconds(fast, data.val, 1, limit.clock)
        validation += parallel.on_rank0(lambda: file_seconds(trainer, fast, beside, limit.clock))
        parallel.on_rank0(limit.require_time)
        each = {v: photo_seconds(exact, data.val, v, limit.clock) for v in sorted({*views, 1})}
    # The calibration needs a single view of each photo, be it among the views or not.
    photos = min(doubts, len(data.train)) + (0 if 1 in views else len(data.val))
    end = epoch + REPORT_SECONDS + photos * each[1]
    costs = Costs(step, validation, end + sum(len(data.val) * each[v] for v in views))
    return parallel.on_rank0(lambda: costs)


def step_seconds(trainer: Trainer, limit: TimeLimit) -> float:
    """Mean seconds of a training step, loading included.

    The first step is not counted, in which much is set up, nor are those whose photos were
    loaded while that went on.
    """
    times = [limit.clock()]
    queued = min(2 * trainer.workers + 1, trainer.epoch_steps // 2)

    def act() -> None:
        trainer.read_metrics()  # waits for the device
        times.append(limit.clock())
        taken, counted = times[-1] - times[0], len(times) - 2 - queued
        enough = taken > FEWEST * limit.seconds and counted >= STEPS
        if any(parallel.any_rank(enough or (taken > MOST * limit.seconds and len(times) > 2))):
            raise EnoughError

    try:
        while trainer.epoch_steps * 3 > trainer.step:
            trainer.train_epoch(act)
    except EnoughError:
        pass
    steps = np.diff(times)
    return fmean(steps[1 + queued :].tolist() or steps[1:].tolist() or steps.tolist())


def model_seconds(trainer: Trainer, clock: Callable[[], float]) -> float:
    """Seconds to make the averaged model, with the batch statistics of its own."""
    photos, batch = min(BN_STATS_IMAGES, len(trainer.loader.samples)), trainer.recipe.batch
    times = [clock()]
    for batches in (1, 1, SOME):  # in the first, much is set up
        trainer.averaged_model(images=batches * batch)
        times.append(clock())
    _, one, some = np.diff(times).tolist()
    return one + max(0.0, some - one) / (SOME - 1) * max(0.0, photos / batch - 1)


def photo_seconds(
    classifier: Classifier, samples: Samples, views: int, clock: Callable[[], float]
) -> float:
    """Seconds to evaluate a photo."""
    crops = view_count(views, classifier.preprocessing)
    photos = min(len(samples), max(2, 2 * CROP_BATCH_SIZE // crops))
    some = samples.take(np.linspace(0, len(samples) - 1, photos, dtype=int).tolist())
    began = clock()
    with suppress(GoogLeNetError):  # none of these can be read; others may
        if views == 1:  # the first time, in which much is set up, does not count
            score(classifier, some, views)
            began = clock()
        score(classifier, some, views)
    return (clock() - began) / photos


def file_seconds(
    trainer: Trainer, classifier: Classifier, beside: Path, clock: Callable[[], float]
) -> float:
    """Seconds to write what an epoch writes: two models and a checkpoint."""
    above = next(folder for folder in (beside, *beside.absolute().parents) if folder.is_dir())
    began = clock()
    with TemporaryDirectory(prefix=".googlenet-", dir=above) as folder:
        save_checkpoint(Path(folder) / "checkpoint.safetensors", trainer, Progress(""))
        classifier.save(Path(folder) / "last.safetensors")
        classifier.save(Path(folder) / "best.safetensors")
    return clock() - began
