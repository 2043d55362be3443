"""Set up a training run: from settings, data and possibly a checkpoint to a trainer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote

import torch

from googlenet import parallel
from googlenet.data.cache import build_cache
from googlenet.data.dataset import DataSet
from googlenet.data.learned import NOTHING_LEARNED, LearnedImages, hashes_of, learned_by
from googlenet.data.load_data import load_usable_data
from googlenet.data.loader import TrainingLoader
from googlenet.images.augment import Augmentation
from googlenet.inference.classifier import Classifier
from googlenet.load import load_classifier
from googlenet.models.baselines import Baseline
from googlenet.models.googlenet import AuxiliaryHead
from googlenet.models.registry import Network, build_network
from googlenet.runtime.console import Console
from googlenet.runtime.device import ComputeDevice
from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.training.checkpoint import (
    Checkpoint,
    Progress,
    broadcast_state,
    machine_differences,
    read_checkpoint,
    restore,
    save_checkpoint,
)
from googlenet.training.loop import Trainer
from googlenet.training.plan import Plan, measure, resolve
from googlenet.training.recipe import Recipe
from googlenet.training.run_folder import RunFolder
from googlenet.training.settings import Settings
from googlenet.training.tensorboard import TensorBoardLogger
from googlenet.training.time_budget import TimeBudget
from googlenet.training.transfer import PretrainedSource, transfer

FEW_IMAGES = 1000  # fewer are too few to train from scratch (docs/few_images.md)
CHECKPOINT_SECONDS = 300.0  # between checkpoints within an epoch (docs/runs.md)


@dataclass
class Run:
    """The state of a run: built by `prepare`, advanced by `train`."""

    settings: Settings
    folder: RunFolder
    data: DataSet
    trainer: Trainer
    machine: ComputeDevice
    progress: Progress
    console: Console
    tensorboard: TensorBoardLogger
    time_budget: TimeBudget | None = None
    learned: LearnedImages = NOTHING_LEARNED
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    saved: int = 0  # the step of the last checkpoint
    warned_heads: set[str] = field(default_factory=set)
    reported_unreadable: set[str] = field(default_factory=set)


def prepare(
    settings: Settings,
    folder: RunFolder,
    console: Console,
    resume: bool,
    plan: Plan | None = None,
    pretrained: Classifier | None = None,
    data: DataSet | None = None,
) -> Run:
    """Load the data, build the network, and restore the checkpoint of a resumed run.

    plan: what is to be determined first, for a new run.  pretrained, data: the model of the
    settings' `weights` and what their `data` names, if loaded already.  Afterwards the folder is
    locked and holds a checkpoint, so there is enough disk space for one.
    """
    try:
        return prepare_locked(settings, folder, console, resume, plan or Plan(), pretrained, data)
    except BaseException:
        folder.release()
        raise


def prepare_locked(
    settings: Settings,
    folder: RunFolder,
    console: Console,
    resume: bool,
    plan: Plan,
    pretrained: Classifier | None,
    data: DataSet | None,
) -> Run:
    """`prepare`, which releases the lock if this fails."""
    if resume:
        parallel.on_rank0(folder.lock_existing)
    machine = ComputeDevice.detect(settings.precision)
    data = data or load_training_data(settings)
    console.say_all([data.describe(), *data.account.lines()])
    if not (resume or settings.weights) and len(data.train) < FEW_IMAGES:
        console.say(few_images_note(settings, len(data.train)))
    if not resume and (plan.scale_epochs or plan.find_batch or plan.time_budget):
        parallel.on_rank0(folder.require_empty)
        settings = resolve(
            plan, settings, throwaway_trainer(data, machine), data, folder.path, console
        )
    trainer, progress = build_or_restore(
        settings, folder, data, machine, resume, console, pretrained
    )
    if resume:
        console.say(resume_message(trainer))
        if plan.time_budget:
            plan.time_budget.spent = progress.seconds
            measure(plan, settings, throwaway_trainer(data, machine), data, folder.path)
    else:
        folder.set_path(parallel.on_rank0(lambda: create_folder(folder, settings, trainer.network)))
    cache = parallel.on_all_ranks(lambda: build_cache(settings.cache, data.train))
    trainer.loader = replace(trainer.loader, cache=cache)
    board = TensorBoardLogger(folder.path / "tensorboard")
    run = Run(settings, folder, data, trainer, machine, progress, console, board, plan.time_budget)
    run.learned = parallel.on_rank0(lambda: record_learned(run))
    parallel.on_rank0(lambda: sync_files(run))
    run.saved = run.trainer.step
    return run


def few_images_note(settings: Settings, images: int) -> str:
    """What to do with too few images to train from scratch."""
    return (
        f"note: {images:,} training images are few to train from scratch; pretrained weights "
        f"usually do much better: googlenet train {quote(settings.data)} --weights bvlc "
        "(or with --head-only, in a minute)"
    )


def load_training_data(settings: Settings) -> DataSet:
    """The data; every process reads them itself.

    Raises DataError if a split is empty, GoogLeNetError if the processes' data differ.
    """

    def read() -> DataSet:
        return load_usable_data(
            settings.data,
            settings.seed,
            multilabel=settings.multilabel or None,
            split_rule=settings.split_rule,
        )

    data = parallel.on_all_ranks(read)
    if parallel.world_size() > 1:
        parallel.require_equal_across_ranks(
            (data.fingerprint(), data.order_hash()), f"images of {settings.data}"
        )
    return data


def build_or_restore(
    settings: Settings,
    folder: RunFolder,
    data: DataSet,
    machine: ComputeDevice,
    resume: bool,
    console: Console,
    pretrained: Classifier | None = None,
) -> tuple[Trainer, Progress]:
    """The trainer of a new run, or with `resume` in its checkpoint's state.

    Rank 0 reads the files; the others get the trainer's state from it.
    """
    checkpoint = parallel.on_rank0_only(lambda: load_checkpoint(folder)) if resume else None
    network = build_training_network(settings, len(data.classes))

    def begin() -> PretrainedSource | None:
        if checkpoint:
            return checkpoint.origin
        if settings.weights is None:
            return None
        source = pretrained or load_classifier(settings.weights)
        return init_from_pretrained(network, source, settings, data, console)

    origin = parallel.on_rank0(begin)
    trainer = build_trainer(settings, data, machine, network, origin.transferred if origin else ())
    here = machine.describe() | {"processes": str(parallel.world_size())}
    now = Progress(
        data.fingerprint(), data.order_hash(), settings.affecting_results(), here, origin
    )
    progress = parallel.on_rank0(lambda: restore(checkpoint, trainer, now) if checkpoint else now)
    broadcast_state(trainer)
    if checkpoint:
        warn_about_other_machine(checkpoint, progress, console)
    return trainer, progress


def record_learned(run: Run) -> LearnedImages:
    """The images that the model is trained on; says how many validation images are among them."""
    learned = LearnedImages.of(run.data.train)
    if run.progress.origin:
        learned = learned.union(learned_by(run.progress.origin.provenance))
    found = int(learned.contains(hashes_of(run.data.val)).sum())
    if found:
        run.console.say(
            f"warning: {found:,} of the {len(run.data.val):,} validation images are training "
            "images, of this run or of its --weights: the validation accuracy is too high"
        )
    return learned


def create_folder(folder: RunFolder, settings: Settings, network: Network) -> Path:
    """Create the run's folder; returns its path."""
    folder.check_disk(required_disk_bytes(network))
    folder.create(settings.to_json())
    parallel.record_run_dir(folder.path)
    return folder.path


def resume_message(trainer: Trainer) -> str:
    """Where a resumed run continues, in words."""
    if trainer.finished:
        return f"all {trainer.epoch} epochs are done: repeating the final evaluation"
    return f"resuming at step {trainer.step} (epoch {trainer.epoch + 1})"


def build_trainer(
    settings: Settings,
    data: DataSet,
    machine: ComputeDevice,
    network: Network,
    pretrained_params: tuple[str, ...],
) -> Trainer:
    """The settings' trainer for a network."""
    steps = settings.recipe.augmentation(settings.preprocessing)
    loader = TrainingLoader(
        data.train,
        settings.preprocessing,
        Augmentation(steps, settings.seed),
        settings.decoder,
        augment=settings.augment,
    )
    return Trainer(
        network,
        settings.recipe,
        loader,
        seed=settings.seed,
        machine=machine,
        workers=settings.workers,
        shuffle=settings.shuffle,
        pretrained_params=pretrained_params,
    )


def throwaway_trainer(data: DataSet, machine: ComputeDevice) -> Callable[[Settings], Trainer]:
    """Builds trainers for measurements only."""
    return lambda settings: build_trainer(
        settings, data, machine, build_training_network(settings, len(data.classes)), ()
    )


def load_checkpoint(folder: RunFolder) -> Checkpoint | None:
    """The checkpoint of the run to resume; None if it was stopped before its first one.

    Raises GoogLeNetError if it is damaged or missing; the message says what is there instead.
    """
    instead = ""
    if folder.last.exists():
        instead = (
            f"; {folder.last}, the model of the last complete epoch, is not affected: use it, or "
            "start a new run with it as --weights"
        )
    if not folder.checkpoint.exists():
        if instead:
            raise GoogLeNetError(f"{folder.checkpoint}: is missing{instead}")
        return None
    try:
        return read_checkpoint(folder.checkpoint)
    except GoogLeNetError as error:
        raise type(error)(f"{error}{instead}") from error


def warn_about_other_machine(checkpoint: Checkpoint, progress: Progress, console: Console) -> None:
    """Warn if the run was on a machine whose results may not be bit-identical."""
    then = checkpoint.values.get("machine")
    differing = machine_differences(then, progress.machine) if isinstance(then, dict) else []
    if differing:
        console.say(
            f"note: the run was on another machine before ({'; '.join(differing)}): "
            "results may differ from an uninterrupted run's by rounding"
        )


def required_disk_bytes(network: Network) -> int:
    """Upper bound of a run's files: two checkpoints, for a moment, and the models."""
    size: int = sum(tensor.nbytes for tensor in network.state_dict().values())
    return 2 * 3 * size + 3 * size + (1 << 20)


def sync_files(run: Run) -> None:
    """Bring the folder's files in line with the run's state."""
    if not run.folder.checkpoint.exists():
        save_checkpoint(run.folder.checkpoint, run.trainer, run.progress)
    if run.progress.history:
        run.folder.write_log(run.progress.history)
    run.tensorboard.begin(run.progress.history)


def build_training_network(settings: Settings, classes: int) -> Network:
    """The network to train, initialized from the seed."""
    network = build_network(
        settings.recipe.variant,
        classes,
        size=settings.preprocessing.size,
        in_channels=settings.preprocessing.channels,
        width=settings.width,
        with_aux_heads=settings.recipe.aux_loss_weight > 0,
        initialization=settings.recipe.initialization,
        generator=torch.Generator().manual_seed(settings.seed),
    )
    if settings.recipe.progressive_resize != (1.0, 1.0):
        require_any_size(network)
    set_dropout(network, settings.recipe)
    return network


def set_dropout(network: Network, recipe: Recipe) -> None:
    """Set the dropout probabilities that the recipe gives."""
    if recipe.dropout >= 0:
        network.dropout.p = recipe.dropout
    for module in network.modules():
        if isinstance(module, AuxiliaryHead) and recipe.head_dropout >= 0:
            module.dropout.p = recipe.head_dropout


def require_any_size(network: Network) -> None:
    """Raises UsageError for a network whose fully connected layers need one image size."""
    if isinstance(network, Baseline) and network.fixed:
        raise UsageError(
            f"progressive_resize must be 1,1 for {network.name}: its fully connected layers need "
            "one image size"
        )


def init_from_pretrained(
    network: Network, source: Classifier, settings: Settings, data: DataSet, console: Console
) -> PretrainedSource:
    """Fine-tuning: initialize the network from a trained model; returns what was transferred."""
    same = source.classes == data.classes and source.multilabel == data.multilabel
    account = transfer(source.network.state_dict(), network, same)
    for line in account.lines():
        console.say(f"{settings.weights}: {line}")
    return PretrainedSource(account.transferred, dict(source.provenance), source.licence)
