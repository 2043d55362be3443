"""A training run of a detector: from settings to a finished run folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from googlenet.detection.annotations import BoxDataSet
from googlenet.detection.detector import Detector
from googlenet.detection.detector_header import DetectorHeader, RegionSettings
from googlenet.detection.load_boxes import load_boxes
from googlenet.detection.recipe import DetectionRecipe
from googlenet.detection.region_network import from_classifier
from googlenet.detection.training import DetectorTrainer, StepLoss
from googlenet.inference.header import FORMAT, ModelHeader, parse_metadata
from googlenet.inference.model_file import model_text, read_safetensors, write_tensors
from googlenet.load import load_classifier
from googlenet.models.googlenet import GoogLeNet
from googlenet.runtime.console import Console
from googlenet.runtime.device import ComputeDevice
from googlenet.runtime.errors import GoogLeNetError, ModelFileError, UsageError
from googlenet.runtime.prefetch import prefetch
from googlenet.runtime.watchdog import beat
from googlenet.training.epochs import Interrupted
from googlenet.training.run_folder import RunFolder

CHECKPOINT_KEY = "googlenet-detector-checkpoint"
CHECKPOINT_SECONDS = 60.0
REPORTED = 20  # steps between two losses on the progress bar


@dataclass(frozen=True)
class DetectionSettings:
    """What a run is started with.  data, weights: as the command line names them."""

    data: str
    weights: str
    regions: RegionSettings = field(default_factory=RegionSettings)
    recipe: DetectionRecipe = field(default_factory=DetectionRecipe)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> DetectionSettings:
        """Raises TypeError, KeyError or UsageError for what `to_json` did not write."""
        return cls(
            str(value["data"]),
            str(value["weights"]),
            RegionSettings(**value["regions"]),
            DetectionRecipe(**value["recipe"]),
        )


@dataclass
class DetectionRun:
    """A run that is ready: its data, its trainer, and what it has done."""

    settings: DetectionSettings
    folder: RunFolder
    data: BoxDataSet
    trainer: DetectorTrainer
    console: Console
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0  # including earlier sessions


def prepare(
    settings: DetectionSettings, folder: RunFolder, console: Console, resume: bool
) -> DetectionRun:
    """Load data and weights, lock the run folder, and restore the state of a resumed run."""
    if resume:
        folder.lock_existing()
    data = load_boxes(settings.data, settings.recipe.seed)
    console.say_all([data.describe(), *shortened(data.account.lines())])
    if not any(len(image.truth) for image in data.train):
        raise GoogLeNetError(f"{data.name}: needs training images with boxes, has none")
    detector = new_detector(settings, data)
    if not resume:
        folder.create(settings.to_json())
    proposals = detector.proposals(folder.path / "proposals").boxes
    trainer = DetectorTrainer(detector, data.train, proposals, settings.recipe)
    run = DetectionRun(settings, folder, data, trainer, console)
    if resume and folder.checkpoint.is_file():
        read_state(run)
    return run


def shortened(lines: list[str], most: int = 10) -> list[str]:
    """At most so many lines, and how many more there are."""
    left = len(lines) - most
    return lines[:most] + ([f"… and {left:,} more: googlenet check"] if left > 0 else [])


def new_detector(settings: DetectionSettings, data: BoxDataSet) -> Detector:
    """A detector of the data's classes from a classifier's weights.

    Raises UsageError for weights that are not those of a GoogLeNet.
    """
    classifier = load_classifier(settings.weights)
    network = classifier.network
    if not isinstance(network, GoogLeNet):
        raise UsageError(f"--weights must be those of a GoogLeNet, got {classifier.variant}")
    generator = torch.Generator().manual_seed(settings.recipe.seed)
    size = settings.regions.roi_size
    regions = from_classifier(network, classifier.classes, data.classes, size, generator)
    model = ModelHeader(
        network.name,
        data.classes,
        classifier.preprocessing,
        width=network.width,
        provenance={"data": data.name, "weights": settings.weights, "seed": settings.recipe.seed},
        licence=classifier.licence,
    )
    return Detector(DetectorHeader(model, settings.regions), regions)


def train(run: DetectionRun) -> Path:
    """Train to the end; returns the detector's file.

    Raises Interrupted after a signal; --resume goes on from there.
    """
    trainer, console, folder = run.trainer, run.console, run.folder
    with console.interruptible():
        prepare_images(run)
        started = saved = perf_counter()
        earlier, left = run.seconds, trainer.steps - trainer.step
        losses: list[StepLoss] = []
        with console.bar(trainer.steps, "train", trainer.steps - left, unit=" steps") as bar:
            while trainer.step < trainer.steps:
                losses.append(trainer.train_step())
                beat()
                bar.update()
                if not trainer.step % REPORTED:
                    bar.set_postfix_str(f"loss {sum(losses[-1]):.3f}")
                run.seconds = earlier + perf_counter() - started
                if not trainer.step % trainer.steps_per_epoch:
                    end_epoch(run, losses)
                    losses = []
                stop = console.interrupted
                if stop or perf_counter() - saved > CHECKPOINT_SECONDS:
                    write_state(run)
                    saved = perf_counter()
                if stop:
                    raise Interrupted
    trainer.detector.save(folder.last)
    folder.checkpoint.unlink(missing_ok=True)
    return folder.last


def prepare_images(run: DetectionRun) -> None:
    """Proposals and maps of every training image, with progress.  Raises Interrupted."""
    trainer, console = run.trainer, run.console
    count = len(trainer.images)
    with console.bar(count, "proposals", unit=" images") as bar:
        # PyTorch's threads share the work on a map; two readers overlap proposals with it.
        for _ in prefetch(trainer.prepare, range(count), 2):
            bar.update()
            if console.interrupted:
                raise Interrupted


def end_epoch(run: DetectionRun, losses: list[StepLoss]) -> None:
    """A row of the log."""
    trainer = run.trainer
    epoch = trainer.step // trainer.steps_per_epoch
    row = {
        "epoch": float(epoch),
        "loss_classes": sum(loss.classes for loss in losses) / len(losses),
        "loss_boxes": sum(loss.boxes for loss in losses) / len(losses),
        "seconds": run.seconds,
    }
    run.history.append(row)
    run.folder.write_log(run.history)
    run.console.say(
        f"epoch {epoch:>3}/{run.settings.recipe.epochs}  loss: classes {row['loss_classes']:.3f}, "
        f"boxes {row['loss_boxes']:.3f}  {row['seconds']:.0f} s"
    )


def write_state(run: DetectionRun) -> None:
    values = {
        "format": FORMAT,
        "step": run.trainer.step,
        "history": run.history,
        "seconds": run.seconds,
        "images": len(run.data.train),
        "classes": [c.id for c in run.data.classes],
        "machine": ComputeDevice().describe(),
    }
    write_tensors(run.folder.checkpoint, run.trainer.state(), {CHECKPOINT_KEY: json.dumps(values)})


def read_state(run: DetectionRun) -> None:
    """Go on from the checkpoint.  Raises UsageError where the data have changed."""
    path = run.folder.checkpoint
    tensors, metadata = read_safetensors(path)
    values = parse_metadata(
        path, model_text(path, metadata, CHECKPOINT_KEY, "checkpoint"), CHECKPOINT_KEY
    )
    now = (len(run.data.train), [c.id for c in run.data.classes])
    if (values.get("images"), values.get("classes")) != now:
        raise UsageError(f"{path}: the run started with different images or classes")
    try:
        run.trainer.restore(tensors, int(values["step"]))
        run.history = [dict(row) for row in values["history"]]
        run.seconds = float(values["seconds"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"{path}: is a damaged checkpoint ({error!r})") from error
    run.console.say(f"resumed at step {run.trainer.step} of {run.trainer.steps}")
