"""The beginning of a training run: from settings, data and perhaps a checkpoint to a trainer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from googlenet import parallel
from googlenet.data.cache import build_cache
from googlenet.data.dataset import DataError, DataSet
from googlenet.data.load_data import load_data
from googlenet.data.loader import TrainingLoader
from googlenet.images.augment import Augmentation
from googlenet.inference.classifier import Classifier
from googlenet.models.baselines import Baseline
from googlenet.models.googlenet import AuxiliaryHead
from googlenet.models.registry import Network, build_network
from googlenet.runtime.console import Console
from googlenet.runtime.device import ComputeDevice
from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.training.checkpoint import (
    Checkpoint,
    Progress,
    other_machine,
    read_checkpoint,
    restore,
    save_checkpoint,
    spread,
)
from googlenet.training.loop import Trainer
from googlenet.training.plan import Plan, decide, measure
from googlenet.training.recipe import Recipe
from googlenet.training.run_folder import RunFolder
from googlenet.training.settings import Settings
from googlenet.training.tensorboard import Board
from googlenet.training.time_budget import TimeLimit
from googlenet.training.transfer import Origin, transfer

CHECKPOINT_SECONDS = 300.0  # between checkpoints within an epoch (docs/runs.md says why)


@dataclass
class Run:
    """What a run works with: built by `prepare`, carried on by `train`."""

    settings: Settings
    folder: RunFolder
    data: DataSet
    trainer: Trainer
    machine: ComputeDevice
    progress: Progress
    console: Console
    board: Board
    limit: TimeLimit | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    saved: int = 0  # the step of the last checkpoint
    warned: set[str] = field(default_factory=set)  # heads of which it was said that they are stuck
    named: set[str] = field(default_factory=set)  # photos of which it was said that they are bad


def prepare(
    settings: Settings,
    folder: RunFolder,
    console: Console,
    resume: bool,
    plan: Plan | None = None,
) -> Run:
    """Load the data, build the network, and go back to the checkpoint where there is one.

    `plan` says what is to be decided before; a run that goes on has decided already.  The folder
    is then locked, and holds a checkpoint, so that the disk is known to take one.
    """
    try:
        return locked(settings, folder, console, resume, plan or Plan())
    except BaseException:
        folder.release()
        raise


def locked(
    settings: Settings, folder: RunFolder, console: Console, resume: bool, plan: Plan
) -> Run:
    """`prepare`, which leaves no lock behind where this fails."""
    if resume:
        parallel.on_rank0(folder.open)
    machine = ComputeDevice.detect(settings.precision)
    data = load(settings)
    console.say(data.describe())
    if not resume and (plan.suit or plan.find_batch or plan.limit):
        parallel.on_rank0(folder.require_empty)
        settings = decide(plan, settings, scratch(data, machine), data, folder.path, console)
    trainer, progress = begun(settings, folder, data, machine, resume, console)
    if resume:
        console.say(where(trainer))
        if plan.limit:
            plan.limit.spent = progress.seconds
            measure(plan, settings, scratch(data, machine), data, folder.path)
    else:
        folder.place(parallel.on_rank0(lambda: create(folder, settings, trainer.network)))
    cache = parallel.on_all_ranks(lambda: build_cache(settings.cache, data.train))
    trainer.loader = replace(trainer.loader, cache=cache)
    board = Board(folder.path / "tensorboard")
    run = Run(settings, folder, data, trainer, machine, progress, console, board, plan.limit)
    parallel.on_rank0(lambda: begin_files(run))
    run.saved = run.trainer.step
    return run


def load(settings: Settings) -> DataSet:
    """The data, which every process reads for itself.

    Raises DataError where there is nothing to learn from, or not the same in all processes.
    """

    def read() -> DataSet:
        data = load_data(settings.data, settings.seed, multilabel=settings.multi_label or None)
        if not len(data.train) or not len(data.val):
            raise DataError(
                f"{data.name}: training needs photos to train and to validate on, got "
                f"{len(data.train)} and {len(data.val)}"
            )
        return data

    data = parallel.on_all_ranks(read)
    if parallel.world_size() > 1:
        parallel.require_equal_across_ranks(
            (data.fingerprint(), data.order_hash()), f"photos of {settings.data}"
        )
    return data


def begun(
    settings: Settings,
    folder: RunFolder,
    data: DataSet,
    machine: ComputeDevice,
    resume: bool,
    console: Console,
) -> tuple[Trainer, Progress]:
    """The trainer at the run's beginning, or with `resume` where its checkpoint left it.

    Files are read by the first process; the others get the trainer's state from it.
    """
    checkpoint = parallel.on_rank0_only(lambda: earlier(folder)) if resume else None
    network = build(settings, len(data.classes))

    def begin() -> Origin | None:
        if checkpoint:
            return checkpoint.origin
        return carry_over(network, settings, data, console) if settings.weights else None

    origin = parallel.on_rank0(begin)
    trainer = trainer_of(settings, data, machine, network, origin.kept if origin else ())
    here = machine.describe() | {"processes": str(parallel.world_size())}
    now = Progress(data.fingerprint(), data.order_hash(), settings.deciding(), here, origin)
    progress = parallel.on_rank0(lambda: restore(checkpoint, trainer, now) if checkpoint else now)
    spread(trainer)
    if checkpoint:
        note_other_machine(checkpoint, progress, console)
    return trainer, progress


def create(folder: RunFolder, settings: Settings, network: Network) -> Path:
    """Make the run's folder; returns its path."""
    folder.require_room(room(network))
    folder.create(settings.to_json())
    parallel.record_run_dir(folder.path)
    return folder.path


def where(trainer: Trainer) -> str:
    """The place in which a resumed run goes on, in words."""
    if trainer.finished:
        return f"all {trainer.epoch} epochs are done: what follows them is done again"
    return f"going on at step {trainer.step} of epoch {trainer.epoch + 1}"


def trainer_of(
    settings: Settings,
    data: DataSet,
    machine: ComputeDevice,
    network: Network,
    carried: tuple[str, ...],
) -> Trainer:
    """The settings' trainer of a network, at its beginning."""
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
        pretrained_params=carried,
    )


def scratch(data: DataSet, machine: ComputeDevice) -> Callable[[Settings], Trainer]:
    """Makes trainers to measure with; the run's own begins after them, untouched."""
    return lambda settings: trainer_of(
        settings, data, machine, build(settings, len(data.classes)), ()
    )


def earlier(folder: RunFolder) -> Checkpoint | None:
    """The checkpoint of a run to go on with; None where it was stopped before its first one.

    Raises GoogLeNetError where it is damaged or gone, and says what there is instead.
    """
    instead = ""
    if folder.last.exists():
        instead = (
            f"; {folder.last}, the model of its last whole epoch, is not affected: use it as it "
            "is, or begin a new run with it as --weights"
        )
    if not folder.checkpoint.exists():
        if instead:
            raise GoogLeNetError(f"{folder.checkpoint}: is not there to go on from{instead}")
        return None
    try:
        return read_checkpoint(folder.checkpoint)
    except GoogLeNetError as error:
        raise type(error)(f"{error}{instead}") from error


def note_other_machine(checkpoint: Checkpoint, progress: Progress, console: Console) -> None:
    """Say it where this machine may go on to other bits than the one of before would have."""
    then = checkpoint.values.get("machine")
    differing = other_machine(then, progress.machine) if isinstance(then, dict) else []
    if differing:
        console.say(
            f"note: the run was on another machine before ({'; '.join(differing)}): "
            "its results may differ in their last digits from those of an undisturbed run"
        )


def room(network: Network) -> int:
    """Bytes that a run's files take at most: two checkpoints for a moment, and the models."""
    size: int = sum(tensor.nbytes for tensor in network.state_dict().values())
    return 2 * 3 * size + 3 * size + (1 << 20)


def begin_files(run: Run) -> None:
    """Bring the folder in line with the run's state, whatever an earlier session left there."""
    if not run.folder.checkpoint.exists():
        save_checkpoint(run.folder.checkpoint, run.trainer, run.progress)
    if run.progress.history:
        run.folder.write_log(run.progress.history)
    run.board.begin(run.progress.history)


def build(settings: Settings, classes: int) -> Network:
    """The network to train, its weights drawn from the seed."""
    network = build_network(
        settings.recipe.variant,
        classes,
        size=settings.preprocessing.size,
        in_channels=settings.preprocessing.channels,
        width=settings.width,
        heads=settings.recipe.aux_loss_weight > 0,
        initialisation=settings.recipe.initialization,
        generator=torch.Generator().manual_seed(settings.seed),
    )
    if settings.recipe.progressive_resize != (1.0, 1.0):
        require_any_size(network)
    set_dropout(network, settings.recipe)
    return network


def set_dropout(network: Network, recipe: Recipe) -> None:
    """Dropout before the classifiers, where the recipe does not leave it to the variant."""
    if recipe.dropout >= 0:
        network.dropout.p = recipe.dropout
    for module in network.modules():
        if isinstance(module, AuxiliaryHead) and recipe.head_dropout >= 0:
            module.dropout.p = recipe.head_dropout


def require_any_size(network: Network) -> None:
    """Raises UsageError for a network whose connected layers take photos of one size alone."""
    if isinstance(network, Baseline) and network.fixed:
        raise UsageError(
            f"progressive_resize must be 1,1 for {network.name}: its fully connected layers need "
            "one image size"
        )


def carry_over(network: Network, settings: Settings, data: DataSet, console: Console) -> Origin:
    """Fine-tuning: put a trained model's tensors into the network, and remember where from."""
    source = Classifier.load(str(settings.weights))
    same = source.classes == data.classes and source.multi == data.multilabel
    account = transfer(source.network.state_dict(), network, same)
    for line in account.lines():
        console.say(f"{settings.weights}: {line}")
    return Origin(account.kept, source.provenance, source.licence)
